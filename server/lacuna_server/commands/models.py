"""`lacuna models`: lists, describes, fetches and converts models."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from lacuna_inference.api import BUNDLED
from lacuna_server.commands.show import print_table, progress, stderr, stdout
from lacuna_server.settings import Settings


def list_models() -> None:
    """Prints the bundled model and the models in the hub's local cache."""
    from lacuna_inference.models.loading import sources

    table = Table("model", "size", "folder", box=None, pad_edge=False)
    folder = sources.bundled_folder()
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    table.add_row(BUNDLED, _mib(size), str(folder))
    for name, path, on_disk in sources.cached_models():
        table.add_row(name, _mib(on_disk), str(path))
    print_table(table)


def info(settings: Settings, as_json: bool) -> None:
    """Prints a description of the model, and whether it fits."""
    from lacuna_inference.models.describe import describe

    with progress(f"reading {settings.model}"):
        description = describe(settings.model_options())
    if as_json:
        print(json.dumps(asdict(description), indent=2, default=str))  # noqa: T201
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("model", description.name)
    table.add_row("folder", str(description.path))
    table.add_row("architecture", description.architecture)
    doubt = f", but {description.doubt}" if description.doubt else ""
    table.add_row("prompt family", f"{description.family}{doubt}")
    if description.languages:
        table.add_row("languages", ", ".join(description.languages))
    table.add_row("parameters", f"{description.parameters / 1e6:.1f} M")
    table.add_row(
        "weights", f"{_mib(description.weight_bytes)} in {description.dtype}, {_mib(description.disk_bytes)} on disk"
    )
    table.add_row("context", f"{description.context} tokens")
    table.add_row("vocabulary", f"{description.vocabulary} tokens")
    table.add_row("device", f"{description.device}: {'it fits' if description.fits else 'it does not fit'}")
    print_table(table)


def fetch(hub_id: str, revision: str | None) -> None:
    """Downloads a model and prints what to do next."""
    from lacuna_inference.models import fetch as fetcher

    path = fetcher.fetch(hub_id, revision)
    stdout.print(f"{hub_id} is in {path}")
    if fetcher.needs_conversion(path):
        option = f" --revision {revision}" if revision else ""
        stderr.print(f"Its weights are pickled. Convert them once: lacuna models convert {hub_id}{option}")


def convert(name: str, dtype_name: str | None, revision: str | None, force: bool) -> None:
    """Converts pickled weights and prints the new files. With `force` they replace existing files."""
    from lacuna_inference.models import convert as converter
    from lacuna_inference.models import loader
    from lacuna_inference.models.loading import sources

    folder = sources.folder_of(name, revision)
    dtype = loader.dtype_named(dtype_name) if dtype_name else None
    with progress(f"converting {name}") as bar:
        task = bar.task_ids[0]
        written = converter.convert(
            folder, dtype, lambda share, text: bar.update(task, completed=share, description=text), force
        )
    for file in written:
        stdout.print(str(Path(file)))


def _mib(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"
