"""Bundles that must not be installed, and what is left after a failed installation."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_gguf import write_gguf

from lacuna_inference.errors import BadRequest, LacunaError
from lacuna_inference.models.loading import sources
from lacuna_server.bundle import create, installer
from lacuna_server.bundle import wheel as wheels
from lacuna_server.bundle.create import BundleContents
from lacuna_server.bundle.installer import MANIFEST, TOP, BundleError

SILENT: Callable[[str], None] = lambda _: None  # noqa: E731


def folder_of(directory: Path, weights: str = "config.json", **changed: Any) -> Path:
    """An unpacked bundle with two small files, no packages, and `changed` values in its manifest."""
    folder = directory / TOP
    for name, content in (("wheels/lacuna_lsp-9-py3-none-any.whl", b"wheel"), (f"models/m/{weights}", b"{}")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    files = [file for file in folder.rglob("*") if file.is_file()]
    manifest = {
        "format": 1, "lacuna": "9", "platform": installer.here(), "python": installer.python_here(), "model": "m",
        "vsix": None,
        "files": {
            file.relative_to(folder).as_posix(): {
                "bytes": file.stat().st_size, "sha256": installer.sha256_of(file)
            } for file in files
        },
    }  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps({**manifest, **changed}))
    return folder


def elsewhere(path: Path) -> None:
    """Moves `path` out of the bundle, and leaves a link to it."""
    target = path.parents[len(path.parts) - path.parts.index(TOP) - 1] / "elsewhere"
    path.rename(target)
    path.symlink_to(target)


def tar_of(folder: Path) -> Path:
    target = folder.parent / "bundle.tar"
    with tarfile.open(target, "w:") as archive:
        archive.add(folder, TOP)
    return target


def test_a_complete_bundle_is_accepted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    assert installer.checked(folder)["lacuna"] == "9"
    with installer.opened(tar_of(folder)) as unpacked:
        assert installer.checked(unpacked) == installer.checked(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "models/m/config.json").write_bytes(b"[]"), r"config.json has changed .*SHA-256"),
        (lambda f: (f / "models/m/config.json").write_bytes(b"{} "), "config.json has changed"),
        (lambda f: (f / "models/m/config.json").unlink(), "lacks models/m/config.json"),
        (lambda f: (f / "models/m/more.bin").touch(), "more.bin, which is not in its manifest"),
        (lambda f: (f / MANIFEST).write_text("{"), "is not a bundle of Lacuna"),
        (lambda f: (f / MANIFEST).unlink(), "is not a bundle of Lacuna"),
        (lambda f: (f / MANIFEST).write_text('{"files": []}'), "is not a bundle of Lacuna"),
        (lambda f: (f / MANIFEST).write_text("[" * 100_000), "is not a bundle of Lacuna"),
        (lambda f: (f / MANIFEST).write_bytes(b"\xff"), "is not a bundle of Lacuna"),
        (lambda f: (f / MANIFEST).write_text("null"), "is not a bundle of Lacuna"),
        (lambda f: elsewhere(f / "models"), "contains models, which is not a regular file or folder"),
        (lambda f: elsewhere(f / "models" / "m"), "contains models/m, which is not a regular file or folder"),
        (lambda f: elsewhere(f / "models" / "m" / "config.json"), "config.json, which is not a regular file or folder"),
        (lambda f: os.mkfifo(f / "pipe"), "contains pipe, which is not a regular file or folder"),
    ],
)
def test_a_changed_file_stops_the_installation(tmp_path: Path, spoil: Callable[[Path], Any], message: str) -> None:
    folder = folder_of(tmp_path)
    spoil(folder)
    with pytest.raises(BundleError, match=message):
        installer.install(folder, tmp_path / "into", SILENT)
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"platform": "plan9-mips"}, r"for Python 3.\d+ on plan9-mips, and this is .* lacuna bundle create --platform"),
        ({"python": "3.99"}, "for Python 3.99"),
        ({"format": 2}, "another version of Lacuna"),
        ({"files": {"../x": {"bytes": 0, "sha256": ""}}}, "names a file outside itself"),
        ({"files": {"/etc/passwd": {"bytes": 0, "sha256": ""}}}, "names a file outside itself"),
        ({"files": {"C:\\x": {"bytes": 0, "sha256": ""}}}, "names a file outside itself"),
        ({"lacuna": "../../../x"}, "an invalid 'lacuna'"),
        ({"lacuna": None}, "an invalid 'lacuna'"),
        ({"model": "../m"}, "an invalid 'model'"),
        ({"model": ["m"]}, "an invalid 'model'"),
        ({"model": 'm"; touch x; "'}, "an invalid 'model'"),
        ({"model": "other"}, "lacks models/other/config.json"),
        ({"vsix": "/etc/passwd"}, "an invalid 'vsix'"),
        ({"vsix": "lacuna.vsix"}, "lacks lacuna.vsix"),
        ({"platform": 7}, "an invalid 'platform'"),
        ({"files": {"x": 7}}, "an invalid 'files'"),
        ({"files": {"x": {"bytes": "1", "sha256": ""}}}, "an invalid 'files'"),
    ],
)
def test_an_incompatible_bundle_is_rejected(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        installer.install(folder_of(tmp_path, **changed), tmp_path / "into", SILENT)
    assert not (tmp_path / "into").exists()


def test_another_machines_bundle_can_be_checked_here(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, platform="plan9-mips")
    assert installer.checked(folder, platform_matters=False)["platform"] == "plan9-mips"


@settings(max_examples=30)
@given(st.floats(0, 0.99))
def test_a_bundle_truncated_anywhere_is_rejected(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    directory = tmp_path_factory.mktemp("cut")
    whole = tar_of(folder_of(directory))
    content = whole.read_bytes().rstrip(b"\0")
    whole.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match=r"damaged or incomplete|lacks|not a bundle|has changed"):
        installer.install(whole, directory / "into", SILENT)
    assert not (directory / "into").exists()
    assert sorted(file.name for file in directory.iterdir()) == ["bundle.tar", TOP]  # no unpacked files are left


def test_a_path_without_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("hello\n" * 1000)
    for path, message in ((tmp_path / "missing.tar", "no bundle"), (tmp_path / "text.tar", "damaged")):
        with pytest.raises(BundleError, match=message):
            installer.install(path, tmp_path / "into", SILENT)


@pytest.mark.parametrize("name", ["../outside", "/absolute", "other/file", f"{TOP}/../../outside"])
def test_an_archive_that_would_write_elsewhere_is_rejected(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "bundle.tar", "w:") as archive:
        member = tarfile.TarInfo(name)
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(BundleError, match="no bundle of Lacuna contains"):
        installer.install(tmp_path / "bundle.tar", tmp_path / "into", SILENT)


def test_links_are_rejected(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bundle.tar", "w:") as archive:
        member = tarfile.TarInfo(f"{TOP}/link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(member)
    with pytest.raises(BundleError, match="no bundle of Lacuna contains"):
        installer.install(tmp_path / "bundle.tar", tmp_path / "into", SILENT)


def test_a_failed_installation_leaves_the_older_one_unchanged(tmp_path: Path) -> None:
    """The wheel is invalid: pip fails after the virtual environment was created."""
    into = tmp_path / "into"
    (into / "bin").mkdir(parents=True)
    (into / "versions" / "8-old").mkdir(parents=True)
    (into / "bin" / "lacuna").write_text("old")
    with pytest.raises(BundleError, match="pip install failed"):
        installer.install(folder_of(tmp_path), into, SILENT)
    assert (into / "bin" / "lacuna").read_text() == "old"
    assert [file.name for file in (into / "versions").iterdir()] == ["8-old"]


def test_the_launcher_starts_the_new_version_at_once(tmp_path: Path) -> None:
    manifest = installer.checked(folder_of(tmp_path))
    program = tmp_path / "$place `x`" / "venv" / "bin" / "lacuna"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$LACUNA_MODEL" "$@"\n')
    program.chmod(0o755)
    launcher = installer._write_launcher(tmp_path / "$place `x`", tmp_path / "into", manifest)
    output = subprocess.run([launcher, "doctor"], capture_output=True, text=True, check=True).stdout
    assert output == f"{tmp_path}/$place `x`/models/m doctor\n"


def test_invalid_options_create_nothing(tmp_path: Path) -> None:
    good = BundleContents(tmp_path / "lacuna.tar", installer.here(), installer.python_here())
    for wanted, message in (
        (BundleContents(tmp_path / "lacuna.tar", "plan9-mips", "3.11"), "no platform called plan9-mips"),
        (BundleContents(tmp_path / "missing" / "lacuna.tar", good.platform, good.python), "no folder"),
        (BundleContents(good.output, good.platform, good.python, wheel=tmp_path / "missing.whl"), "no file"),
    ):
        with pytest.raises(BadRequest, match=message):
            create.create(wanted, SILENT)
    (tmp_path / "folder").mkdir()
    (tmp_path / "lacuna_lsp-9-py3-none-any.whl").write_bytes(b"no wheel")
    for changed, message in (
        ({"output": tmp_path / "folder"}, "is a folder"),
        ({"wheel": tmp_path / "lacuna_lsp-9-py3-none-any.whl"}, "is not a wheel of lacuna-lsp"),
    ):
        with pytest.raises(BadRequest, match=message):
            create.create(replace(good, **changed), SILENT)
    (tmp_path / "folder").rmdir()
    (tmp_path / "lacuna_lsp-9-py3-none-any.whl").unlink()
    with pytest.raises(LacunaError, match="missing-model"):
        create.create(BundleContents(good.output, good.platform, good.python, model="missing-model"), SILENT)
    assert list(tmp_path.iterdir()) == []


def test_outside_a_checkout_a_bundle_has_the_wheel_that_it_runs_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index, where the name may belong to somebody else, is never asked for it."""
    asked: list[tuple[str, ...]] = []

    def of_installation(folder: Path) -> Path:
        own = folder / "lacuna_lsp-9-py3-none-any.whl"
        own.write_bytes(b"the wheel that this runs from")
        return own

    monkeypatch.setattr(create, "_checkout", lambda: None)
    monkeypatch.setattr(wheels, "of_installation", of_installation)
    monkeypatch.setattr(create, "_pip", lambda *arguments: asked.append(arguments))
    contents = BundleContents(tmp_path / "lacuna.tar", installer.here(), installer.python_here())
    assert create._add_wheels(contents, tmp_path / "wheels") == "9"
    (downloaded,) = asked
    assert downloaded[0] == "download"
    assert downloaded[-2:] == ("torch", str(tmp_path / "wheels/lacuna_lsp-9-py3-none-any.whl"))
    assert not any(name.startswith("lacuna") for name in downloaded)


def test_a_failed_pip_leaves_nothing(tmp_path: Path) -> None:
    wheel = tmp_path / "lacuna_lsp-9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("lacuna_lsp-9.dist-info/METADATA", "Metadata-Version: 2.4\nName: lacuna-lsp\nVersion: 9\n")
    wanted = BundleContents(
        tmp_path / "lacuna.tar", installer.here(), installer.python_here(), wheel=wheel, options=("--no-index",)
    )
    with pytest.raises(LacunaError, match="pip could not get the packages"):
        create.create(wanted, SILENT)
    assert [file.name for file in tmp_path.iterdir()] == ["lacuna_lsp-9-py3-none-any.whl"]


def test_wheels_for_another_machine_are_requested_by_its_tags(tmp_path: Path) -> None:
    target = create._target(BundleContents(tmp_path / "x", "linux-arm64", "3.12"))
    assert "manylinux2014_aarch64" in target
    assert target[target.index("--python-version") + 1] == "3.12"
    assert create._target(BundleContents(tmp_path / "x", installer.here(), installer.python_here())) == [
        "--only-binary", ":all:"
    ]  # fmt: skip


FIELDS = ("format", "lacuna", "platform", "python", "model", "vsix", "files", "bytes", "sha256", "..")
WILD = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS), inner),
)


@settings(max_examples=60)
@given(WILD)
def test_any_invalid_manifest_is_a_one_line_error(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    folder = tmp_path_factory.mktemp("wild")
    for manifest in (
        content,
        {"format": 1, "files": {}, **content} if isinstance(content, dict) else {"files": content},
    ):
        (folder / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(BundleError):
            installer.checked(folder)


@pytest.mark.parametrize(
    ("model", "name"),
    [("team/tiny", "tiny"), ("tiny", "tiny"), ("./a b", "a-b"), ("./x$(y)", "x--y-"), ("./.m", "model")],
)
def test_a_model_s_name_in_a_bundle_is_a_plain_file_name(tmp_path: Path, model: str, name: str) -> None:
    path = tmp_path / "snapshots" / "0" if model == "team/tiny" else tmp_path / model
    assert create._name_of(model, path) == name


@pytest.mark.parametrize(
    ("model", "file", "name", "copied"),
    [
        ("./m-Q8_0.gguf", "m-Q8_0.gguf", "m-Q8_0", "m-Q8_0.gguf"),
        ("ollama:me/qwen:0.5b", "sha256-0", "qwen-0.5b", "model.gguf"),
        ("team/tiny:sub/m.gguf", "snapshots/0/sub/m.gguf", "m", "m.gguf"),
    ],
)
def test_a_gguf_model_in_a_bundle(tmp_path: Path, model: str, file: str, name: str, copied: str) -> None:
    source = sources.inspect(model, write_gguf(tmp_path / file))
    assert create._name_of(model, source.path) == name
    assert list(create._files_of(source).values()) == [copied]


def test_a_bundle_with_a_gguf_model(tmp_path: Path) -> None:
    assert installer.checked(folder_of(tmp_path, "m-00001-of-00002.gguf"))["model"] == "m"
