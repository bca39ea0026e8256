"""`lacuna bundle`: bundles for machines without a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from lacuna_server.bundle import installer
from lacuna_server.cli_options import MODEL_HELP, Revision, command
from lacuna_server.commands import bundle as bundle_command

bundle_app = typer.Typer(no_args_is_help=True, help="Install Lacuna on a machine without a network.")


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """The machine that a bundle is for."""

    platform: Annotated[
        str,
        typer.Option(show_default="this machine's", help="linux-x86_64, linux-arm64, macos-arm64 or windows-x86_64."),
    ] = installer.here()
    python: Annotated[
        str, typer.Option(show_default="the one that runs this", help="Python version of the target machine.")
    ] = installer.python_here()


@dataclass(frozen=True, slots=True)
class ContentOptions:
    """What a bundle contains."""

    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "bundled"
    revision: Revision = None
    wheel: Annotated[Path | None, typer.Option(help="Lacuna's wheel; built from this installation by default.")] = None
    vsix: Annotated[Path | None, typer.Option(help="The VS Code extension to include.")] = None
    constraint: Annotated[Path | None, typer.Option(help="A pip constraints file.")] = None
    pip: Annotated[list[str] | None, typer.Option(help="An additional option for pip download; repeatable.")] = None


@bundle_app.command("create")
@command
def create(
    content: ContentOptions,
    target: TargetOptions,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("lacuna.tar"),
) -> None:
    """Put wheels, a model and an installer into one file; uses the network, through pip."""
    from lacuna_server.bundle.create import BundleContents

    contents = BundleContents(
        output, target.platform, target.python, content.model, content.revision, content.wheel, content.vsix,
        content.constraint, tuple(content.pip or ()),
    )  # fmt: skip
    bundle_command.create(contents)


@bundle_app.command("install")
def install(
    bundle: Annotated[Path, typer.Argument(help="The bundle, or the folder it was unpacked to.")],
    into: Annotated[Path | None, typer.Option(help="Folder to install into.")] = None,
) -> None:
    """Install a bundle without a network. A running older version keeps running until it is restarted."""
    bundle_command.install(bundle, into)


@bundle_app.command("check")
def check(bundle: Annotated[Path, typer.Argument(help="The bundle, or the folder it was unpacked to.")]) -> None:
    """Compare every file of a bundle with its checksum."""
    bundle_command.check(bundle)
