"""`lacuna bundle`: creates, installs and checks bundles."""

from __future__ import annotations

from pathlib import Path

from lacuna_inference.errors import LacunaError
from lacuna_server.bundle import installer
from lacuna_server.bundle.create import BundleContents
from lacuna_server.commands.show import stderr, stdout


def create(wanted: BundleContents) -> None:
    """Writes a bundle, and prints how to install it."""
    from lacuna_server.bundle import create as bundle_creator

    path = bundle_creator.create(wanted, stderr.print)
    stdout.print(f"{path}: {path.stat().st_size / 1e6:.0f} MB for Python {wanted.python} on {wanted.platform}")
    stderr.print(f"On the other machine: tar xf {path.name} && python3 {installer.TOP}/install.py")


def install(bundle: Path, into: Path | None) -> None:
    """Installs a bundle on this machine, beside existing ones. Raises LacunaError for one that cannot be used."""
    try:
        launcher = installer.install(bundle, into or installer.default_folder(), stderr.print)
    except installer.BundleError as error:
        raise LacunaError(str(error)) from error
    stdout.print(f"Installed. Run: {launcher}")


def check(bundle: Path) -> None:
    """Compares every file of a bundle with its checksum, even if the bundle is for another machine."""
    try:
        with installer.opened(bundle) as folder:
            manifest = installer.checked(folder, platform_matters=False)
    except installer.BundleError as error:
        raise LacunaError(str(error)) from error
    count, size = len(manifest["files"]), sum(file["bytes"] for file in manifest["files"].values())
    stdout.print(
        f"{bundle} is intact: {count} files, {size / 1e6:.0f} MB, Lacuna {manifest['lacuna']} for Python"
        f" {manifest['python']} on {manifest['platform']}, model: {manifest['model'] or 'bundled'}"
    )
