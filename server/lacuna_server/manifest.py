"""Writes into the VS Code extension what follows from the code: settings and their descriptions, published models."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lacuna_inference.models import catalogue
from lacuna_server.settings import PROTECTED, Settings

_OTHER_NAMES = {"engine": "engine.url", "engine_kind": "engine.kind", "engine_ca_file": "engine.caFile"}
_LEFT_OUT = frozenset({"engine_token_file", "completion_channel"})
"""The token is in the editor's secret storage, and VS Code has only one suitable completion channel."""
_COPIED = ("enum", "minimum", "maximum", "exclusiveMinimum", "pattern", "items", "additionalProperties")


def name_of(setting: str) -> str:
    """A setting's name in VS Code, without `lacuna.`. The inverse of `serverName` in the extension's settings.ts."""
    first, *rest = setting.split("_")
    return _OTHER_NAMES.get(setting, first + "".join(word.capitalize() for word in rest))


def properties() -> dict[str, dict[str, Any]]:
    """The settings of the schema in the format of package.json."""
    fields = Settings.model_json_schema()["properties"]
    return {f"lacuna.{name_of(name)}": _declared(name, fields[name]) for name in fields if name not in _LEFT_OUT}


def descriptions() -> dict[str, str]:
    """The settings' descriptions by their keys in package.nls.json."""
    return {
        f"settings.{name_of(name)}": _sentence(field.description or "")
        for name, field in Settings.model_fields.items()
        if name not in _LEFT_OUT
    }


def models() -> list[dict[str, Any]]:
    """The models of the catalogue that can be fetched, for the extension's menu; each once, as the smallest file."""
    smallest = {entry.title: entry for entry in catalogue.entries() if entry.source}  # GGUF files come last
    kept = ("name", "title", "source", "bytes", "licence", "conditions", "languages")
    return [{key: getattr(entry, key) for key in kept} for entry in smallest.values()]


def written(folder: Path) -> dict[Path, str]:
    """The text of the files, by path. Everything in them that does not come from the code is kept."""
    package, translations = folder / "package.json", folder / "package.nls.json"
    manifest = json.loads(package.read_text(encoding="utf-8"))
    declared = manifest["contributes"]["configuration"]["properties"]
    kept = {
        name: value
        for name, value in declared.items()
        if not str(value["markdownDescription"]).startswith("%settings.")
    }
    manifest["contributes"]["configuration"]["properties"] = {**kept, **properties()}
    texts = json.loads(translations.read_text(encoding="utf-8"))
    texts = {key: text for key, text in texts.items() if not key.startswith("settings.")} | descriptions()
    listed = folder / "src" / "catalogue.json"
    return {package: _json(manifest), translations: _json(texts), listed: _json(models())}


def _declared(name: str, field: dict[str, Any]) -> dict[str, Any]:
    kinds = field.get("anyOf", [field])
    types = [kind["type"] for kind in kinds]
    return {
        "type": types[0] if len(types) == 1 else types,
        "default": field["default"],
        **{key: kinds[0][key] for key in _COPIED if key in kinds[0]},
        "scope": "machine" if name in PROTECTED else "window",
        "markdownDescription": f"%settings.{name_of(name)}%",
    }


def _sentence(text: str) -> str:
    text = text.replace(" (command line and environment only)", " (user settings only)")
    return f"{text[:1].upper()}{text[1:]}."


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file, text in written(Path(sys.argv[1])).items():
        file.write_text(text, encoding="utf-8")
