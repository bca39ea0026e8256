"""The VS Code extension matches the settings schema, in both languages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lacuna_server import manifest
from lacuna_server.core.reasons import Withheld

FOLDER = Path(__file__).parents[2] / "vscode-extension"
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
    assert texts | {reason.sentence for reason in Withheld} == set(read("l10n/bundle.l10n.zh-cn.json"))


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
