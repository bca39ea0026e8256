"""The documents are true where a machine can tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lacuna_inference import __version__
from lacuna_server import readme, reference
from lacuna_server.core.reasons import Withheld
from lacuna_server.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_generated_tables_are_up_to_date(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert readme.filled(ROOT / name) == text, "run: make docs"
    for table in readme.TABLES:
        assert f"<!-- {table} -->" in text


def test_the_reference_of_the_command_line_is_up_to_date() -> None:
    page = reference.page()
    assert (ROOT / "docs/cli.md").read_text(encoding="utf-8") == page, "run: make docs"
    for words in ("lacuna complete", "lacuna models fetch", "lacuna bench typing", "lacuna bundle check"):
        assert f"\n## {words}\n" in page
    assert "| `--candidates` | 1 to 8 | `1` |" in page
    assert "| `--json` |  |  |" in page


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_tables_name_every_setting_and_every_reason_in_their_language(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    rows = {row.split("`")[1]: row for row in text.split("\n") if row.startswith("| `")}
    assert {*Settings.model_fields, *map(str, Withheld)} <= set(rows)
    if ".zh-" in name:
        assert all(re.search(r"[\u4e00-\u9fff]", rows[str(reason)]) for reason in Withheld)
        meanings = [rows[field].rpartition(" | ")[2] for field in Settings.model_fields]
        assert all(re.search(r"[\u4e00-\u9fff、]", meaning) for meaning in meanings)
        assert not re.search("您|自带模型|词元", text)


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_both_readmes_have_the_same_commands() -> None:
    def blocks(name: str) -> list[str]:
        found = re.findall(r"```\w+\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
        return [re.sub(r"(--|#) .*", "", block) for block in found]

    assert blocks("README.md") == blocks("README.zh-CN.md")


@pytest.mark.parametrize("file", ["neovim.lua", "emacs-eglot.el", "helix-languages.toml", "kate-settings.json"])
def test_the_readme_s_set_ups_are_those_that_the_editors_tests_load(file: str) -> None:
    lines = (ROOT / "docs/editors" / file).read_text(encoding="utf-8").split("\n")[1:]
    assert "\n".join(lines).strip() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_playground_is_built_from_its_source() -> None:
    """The page's frame is copied as it is; a script of another state would miss what it looks for."""
    built, source = (ROOT / "server" / place for place in ("lacuna_server/http/static", "playground/src"))
    assert (built / "index.html").read_bytes() == (source / "index.html").read_bytes()
    page, script = ((built / name).read_text(encoding="utf-8") for name in ("index.html", "playground.js"))
    modules = "".join(module.read_text(encoding="utf-8") for module in source.glob("*.ts"))
    looked_for = set(re.findall(r'\b(?:byId|button|input|select|any)\("([\w-]+)"', modules))
    assert len(looked_for) > 20
    assert {name for name in looked_for if f'id="{name}"' not in page or f'"{name}"' not in script} == set()


def test_modules_that_the_architecture_names_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for name in re.findall(r"`(?:[\w/]+/)?(\w+\.py)`", text):
        assert list(ROOT.glob(f"[!.]*/**/{name}")), name


def test_the_version_is_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
