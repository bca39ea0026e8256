"""`lacuna models`: lists, describes, fetches, packs and converts models."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from lacuna_inference.errors import LacunaError
from lacuna_server.commands.show import print_table, progress, stderr, stdout
from lacuna_server.settings import Settings

if TYPE_CHECKING:
    from lacuna_inference.models.on_disk import OnDisk


def list_models(settings: Settings, as_json: bool) -> None:
    """Prints the models on this disk: what `--model` takes, and whether each fits."""
    from lacuna_inference.models.on_disk import on_disk

    options = settings.model_options()
    with progress("looking for models"):
        models = on_disk(options)
        bandwidth = _bandwidth(options.device)
    rows = [asdict(model) | {"tokens_per_s": _speed(model, bandwidth)} for model in models]
    if as_json:
        print(json.dumps(rows, indent=2))  # noqa: T201
        return
    table = Table("model", "size", "type", "family", "fits", "speed", box=None, pad_edge=False)
    if any(model.problem for model in models):
        table.add_column("cannot be used")
    for model, row in zip(models, rows, strict=True):
        fits = {True: "yes", False: "no", None: ""}[model.fits]
        speed = f"about {row['tokens_per_s']:.0f} tokens/s" if row["tokens_per_s"] else ""
        shown = (model.name, _mib(model.bytes), model.type, model.family, fits, speed, model.problem)
        table.add_row(*shown[: len(table.columns)])
    print_table(table)


def _bandwidth(device: str) -> float | None:
    """Bytes per second that `device` reads; None without such a device."""
    from lacuna_inference.models import bandwidth, loader

    try:
        return bandwidth.measured(loader.choose_device(device))
    except LacunaError:
        return None


def _speed(model: OnDisk, bandwidth: float | None) -> float | None:
    """Tokens per second, if reading the weights were all that decoding takes; None if unknown."""
    return round(bandwidth / model.read_bytes, 1) if bandwidth and model.read_bytes else None


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
    table.add_row("file" if description.path.is_file() else "folder", str(description.path))
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


def fetch(name: str, revision: str | None) -> None:
    """Downloads a model and prints what to do next."""
    from lacuna_inference.models import catalogue
    from lacuna_inference.models import fetch as fetcher

    path = fetcher.fetch(name, revision)
    entry = catalogue.find(name)
    if entry is not None and entry.conditions:
        stderr.print(f"Its licence, {entry.licence}, limits uses: read it at {entry.hub_id}.")
    stdout.print(f"{name} is {'in ' if path.is_dir() else ''}{path}")
    if fetcher.needs_conversion(path):
        option = f" --revision {revision}" if revision else ""
        stderr.print(f"Its weights are pickled. Convert them once: lacuna models convert {name}{option}")


def fetch_from_index(name: str) -> None:
    """Takes a model out of packages, and prints the name by which it is used."""
    from lacuna_inference.models import fetch as fetcher

    with progress(f"fetching {name}") as bar:
        task = bar.task_ids[0]
        model, folder = fetcher.fetch_from_index(
            name, lambda share, text: bar.update(task, completed=share, description=f"fetching {name}: {text}")
        )
    stdout.print(f"{model} is in {folder}")


def pack(model: str, revision: str | None, max_mb: float, name: str, out: Path, version: str) -> None:
    """Makes packages of a model, and prints their paths and what to do with them."""
    from lacuna_inference.models.loading import sources
    from lacuna_inference.models.packages import pack as packer

    folder = sources.find(model, revision)
    name = name or packer.name_of(folder)
    with progress(f"packing {name}"):
        wheels = packer.pack(folder, name, round(max_mb * 10**6), out, version)
    for wheel in wheels:
        stdout.print(str(wheel))
    stderr.print(f"Put them on your package index. Then: lacuna models fetch {name} --from-index")


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
