"""The VS Code extension matches the settings schema, in both languages."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from lacuna_server import manifest
from lacuna_server.core.reasons import Withheld
from lacuna_server.workspace import Why

FOLDER = Path(__file__).parents[2] / "vscode-extension"
CATEGORIES = {
    "AI", "Chat", "Data Science", "Debuggers", "Education", "Extension Packs", "Formatters", "Keymaps",
    "Language Packs", "Linters", "Machine Learning", "Notebooks", "Other", "Programming Languages", "SCM Providers",
    "Snippets", "Testing", "Themes", "Visualization",
}  # fmt: skip
"""Those of the marketplace."""
TRANSLATED = re.compile(r"""(?<![\w.])(?:vscode\.l10n\.)?t\(\s*"((?:[^"\\]|\\.)*)\"""")


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return found


def test_its_settings_are_those_of_the_schema() -> None:
    for file, text in manifest.written(FOLDER).items():
        assert file.read_text(encoding="utf-8") == text, "run: make docs"


def test_the_extension_knows_the_server_s_names_of_the_settings() -> None:
    """As `serverName` in settings.ts maps a name back."""
    nested = {"engine.url": "engine", "engine.kind": "engine_kind", "engine.caFile": "engine_ca_file"}
    for name in manifest.Settings.model_fields:
        there = manifest.name_of(name)
        assert nested.get(there, re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", there)) == name


def test_both_languages_have_every_text_of_the_manifest() -> None:
    used = set(re.findall(r"%([\w.]+)%", (FOLDER / "package.json").read_text(encoding="utf-8")))
    english, chinese = read("package.nls.json"), read("package.nls.zh-cn.json")
    assert used == set(english) == set(chinese)
    assert all(re.search(r"[\u4e00-\u9fff]", text) or "`auto`" in text for text in chinese.values())


def test_every_text_of_the_extension_and_every_reason_is_translated() -> None:
    sources = [file.read_text(encoding="utf-8") for file in FOLDER.glob("src/*.ts")]
    texts = {text for source in sources for text in TRANSLATED.findall(source)}
    assert len(texts) > 50
    reasons = {reason.sentence for reason in Withheld} | {why.value for why in Why}
    assert texts | reasons == set(read("l10n/bundle.l10n.zh-cn.json"))


@pytest.mark.parametrize("file", ["package.nls.zh-cn.json", "l10n/bundle.l10n.zh-cn.json"])
def test_translations_keep_placeholders(file: str) -> None:
    texts = read(file)
    originals = read("package.nls.json") if "nls" in file else {text: text for text in texts}
    for key, text in texts.items():
        for mark in re.findall(r"\{\d\}|command:[\w.]+", originals[key]):
            assert mark in text, key


def test_settings_that_could_run_code_are_user_settings() -> None:
    properties = read("package.json")["contributes"]["configuration"]["properties"]
    for name in ("trustRemoteCode", "logFile", "logLevel", "engine.url", "bundle"):
        assert properties[f"lacuna.{name}"]["scope"] == "machine"


def test_the_version_is_that_of_the_server() -> None:
    from lacuna_inference import __version__

    assert read("package.json")["version"] == __version__


def test_a_marketplace_finds_what_it_expects() -> None:
    package, texts = read("package.json"), read("package.nls.json")
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", package["name"])
    assert package["publisher"]
    assert package["author"]["name"]
    assert package["displayName"]
    assert texts[package["description"].strip("%")]
    assert package["license"] == "Apache-2.0"
    assert (FOLDER / "LICENSE").read_bytes() == (FOLDER.parent / "LICENSE").read_bytes()
    assert package["pricing"] == "Free"
    assert package["qna"] is False  # nobody would answer there
    assert package["categories"]
    assert set(package["categories"]) <= CATEGORIES
    assert 0 < len(package["keywords"]) <= 30
    assert re.fullmatch("#[0-9a-f]{6}", package["galleryBanner"]["color"])
    assert package["galleryBanner"]["theme"] in ("dark", "light")
    for file in ("README.md", "CHANGELOG.md"):
        assert (FOLDER / file).stat().st_size > 0


def test_the_icon_is_a_picture_of_at_least_128_pixels() -> None:
    icon = (FOLDER / read("package.json")["icon"]).read_bytes()
    assert icon.startswith(b"\x89PNG")
    assert min(struct.unpack(">II", icon[16:24])) >= 128


def test_it_is_built_for_the_version_that_it_needs() -> None:
    package = read("package.json")
    assert package["engines"]["vscode"].lstrip("^") == package["devDependencies"]["@types/vscode"].lstrip("~")


def test_limits_in_untrusted_and_virtual_workspaces_are_explained() -> None:
    package, texts = read("package.json"), read("package.nls.json")
    for kind in ("untrustedWorkspaces", "virtualWorkspaces"):
        assert package["capabilities"][kind]["supported"] == "limited"
        assert texts[package["capabilities"][kind]["description"].strip("%")]
    declared = package["contributes"]["configuration"]["properties"]
    restricted = set(package["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"])
    assert restricted == {f"lacuna.{name}" for name in ("path", "bundle", "model", "revision")}
    assert restricted <= set(declared)


def test_no_address_is_invented() -> None:
    """The project has none; whoever publishes a copy names theirs: `make vsix URL=https://...`."""
    package = read("package.json")
    assert not {"repository", "bugs", "homepage", "badges", "sponsor"} & set(package)
    for file in ("README.md", "CHANGELOG.md"):  # a relative link would need the repository's address
        for target in re.findall(r"\]\(([^)]+)\)", (FOLDER / file).read_text(encoding="utf-8")):
            assert target.startswith(("#", "https://")) or (FOLDER / target).exists(), target
