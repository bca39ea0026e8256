"""Writes the tables generated from the code into the pages of docs/, between their markers: `make docs`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from lacuna_inference.models import catalogue
from lacuna_inference.prompt.families import FAMILIES, Family, LayoutPart, Placeholder
from lacuna_server import settings
from lacuna_server.core.reasons import Withheld
from lacuna_server.manifest import name_of

TABLES = ("settings", "families", "reasons", "catalogue")
_EXTENSION = Path("vscode-extension")
_CHINESE_FOLDER = "zh-CN"
_CHINESE = {
    "setting": "设置", "default": "默认值", "meaning": "含义", "family": "格式", "models": "模型",
    "prompt for one hole": "填一个空的提示", "reason": "原因", "left to right": "从左到右",
    "the bundled model": "内置模型", "any other model (left to right only)": "其他任何模型（仅从左到右）",
    "CodeGen 350M to 16B (left to right only)": "CodeGen 350M 至 16B（仅从左到右）",
    "Granite code 3B to 34B": "Granite code 3B 至 34B",
    "StarCoder, StarCoderBase 1B to 15B, others with their tokens":
        "StarCoder、StarCoderBase 1B 至 15B，以及使用相同 token 的其他模型",
    "DeepSeek-Coder 1.3B to 33B, DeepSeek V2 to V4": "DeepSeek-Coder 1.3B 至 33B、DeepSeek V2 至 V4",
    "Qwen2.5-Coder 0.5B to 32B, Qwen3-Coder, Qwen3.5, others with their tokens":
        "Qwen2.5-Coder 0.5B 至 32B、Qwen3-Coder、Qwen3.5，以及使用相同 token 的其他模型",
    "GLM-4.5 to GLM-4.7": "GLM-4.5 至 GLM-4.7",
    "name": "名称", "model": "模型", "from": "来源", "size": "大小", "licence": "许可证", "completes": "补全的语言",
    "context": "上下文", "many languages": "多种语言",
    "settings.engineTokenFile": "存放其所需 token 的文件（仅命令行和环境变量）",
    "settings.completionChannel": "`auto`、`inline`、`popup` 或 `both`：编辑器在哪里显示建议",
}  # fmt: skip
"""Translations that the extension does not have."""

Row = tuple[str, ...]
Translate = Callable[[str, str], str]
"""The translation of a key, given its English text."""


def filled(file: Path) -> str:
    """The text of a page with its tables, between `<!-- NAME -->` and `<!-- /NAME -->`, generated in its language.

    A page in a folder `zh-CN` is Chinese, any other is English.
    """
    text = file.read_text(encoding="utf-8")
    translate = _chinese(_root(file)) if _CHINESE_FOLDER in file.parts else _english
    tables = (_settings(translate), _families(translate), _reasons(translate), _catalogue(translate))
    for name, rows in zip(TABLES, tables, strict=True):
        pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        content = _markdown(rows).replace("\\", "\\\\")
        text = pattern.sub(rf"\g<1>{content}\n\g<2>", text)
    return text


def _settings(translate: Translate) -> Iterator[Row]:
    yield tuple(translate(head, head) for head in ("setting", "default", "meaning"))
    for name, field in settings.Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        meaning = translate(f"settings.{name_of(name)}", field.description or "").removesuffix("。")
        yield f"`{name}`", f"`{default}`" if default else "", meaning


def _families(translate: Translate) -> Iterator[Row]:
    yield tuple(translate(head, head) for head in ("family", "models", "prompt for one hole"))
    for family in FAMILIES:
        layout = _layout(family)
        yield f"`{family.name}`", translate(family.published, family.published), translate(layout, layout)


def _reasons(translate: Translate) -> Iterator[Row]:
    yield tuple(translate(head, head) for head in ("reason", "meaning"))
    for reason in Withheld:
        yield f"`{reason}`", translate(reason.sentence, reason.sentence)


def _catalogue(translate: Translate) -> Iterator[Row]:
    yield tuple(translate(head, head) for head in ("name", "model", "from", "size", "licence", "completes", "context"))
    for entry in catalogue.entries():
        many = translate("many languages", "many languages")
        yield (
            f"`{entry.name}`", entry.title, f"`{entry.source}`" if entry.source else translate("Lacuna", "Lacuna"),
            f"{entry.bytes / 10**9:.2g} GB" if entry.bytes < 10**9 else f"{entry.bytes / 10**9:.1f} GB",
            f"{entry.licence} \\*" if entry.conditions else entry.licence,
            many if catalogue.EVERY in entry.languages else ", ".join(entry.languages), f"{entry.context}",
        )  # fmt: skip


def _markdown(rows: Iterator[Row]) -> str:
    head = next(rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def _english(_key: str, text: str) -> str:
    return text


def _root(file: Path) -> Path:
    """The repository that `file` is in."""
    return next(folder for folder in file.resolve().parents if (folder / _EXTENSION).is_dir())


def _chinese(root: Path) -> Translate:
    """Translates with the Chinese texts of the extension, and replaces VS Code's names of settings by the server's."""
    texts: dict[str, str] = dict(_CHINESE)
    for name in ("package.nls.zh-cn.json", "l10n/bundle.l10n.zh-cn.json"):
        texts |= json.loads((root / _EXTENSION / name).read_text(encoding="utf-8"))
    replacements = {"（仅限用户设置）": "（仅命令行和环境变量）"} | {
        name_of(name): name for name in settings.Settings.model_fields
    }

    def translate(key: str, text: str) -> str:
        return re.sub(r"（仅限用户设置）|(?<=`)\w+(?=`)", lambda m: replacements.get(m[0], m[0]), texts.get(key, text))

    return translate


def _layout(family: Family) -> str:
    if family.infill is None:
        return "left to right"
    return " ".join(_part(part, family) for part in family.infill)


def _part(part: LayoutPart, family: Family) -> str:
    if part is Placeholder.HEADER and family.header_sentinel:
        return f"{_part(family.header_sentinel, family)} {part.value}"
    return part.value if isinstance(part, Placeholder) else f"`{part}`".replace("|", r"\|")


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(filled(file), encoding="utf-8")
