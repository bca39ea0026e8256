"""Checks of the documentation that can be automated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lacuna_inference import __version__
from lacuna_inference.prompt.families import FAMILIES
from lacuna_server import docs_tables, reference
from lacuna_server.core.reasons import Withheld
from lacuna_server.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDERS = ["docs", "docs/zh-CN"]
TABLES = {"settings": "settings.md", "families": "models.md", "reasons": "reasons.md", "catalogue": "models.md"}
"""The page that each generated table is on, in both folders."""
IN_BOTH_LANGUAGES = [
    ("README.md", "README.zh-CN.md"),
    ("docs/editors/README.md", "docs/zh-CN/editors.md"),
    *((f"docs/{name}", f"docs/zh-CN/{name}") for name in (*sorted(set(TABLES.values())), "measuring.md")),
]
LONGEST_README_IN_LINES = 200


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("table", docs_tables.TABLES)
def test_the_generated_tables_are_up_to_date(table: str, folder: str) -> None:
    page = ROOT / folder / TABLES[table]
    text = page.read_text(encoding="utf-8")
    assert f"<!-- {table} -->" in text
    assert docs_tables.filled(page) == text, "run: make docs"


def test_the_command_line_reference_is_up_to_date() -> None:
    page = reference.page()
    assert (ROOT / "docs/cli.md").read_text(encoding="utf-8") == page, "run: make docs"
    for words in ("lacuna complete", "lacuna models fetch", "lacuna bench typing", "lacuna bundle check"):
        assert f"\n## {words}\n" in page
    assert "| `--candidates` | 1 to 8 | `1` |" in page
    assert "| `--json` |  |  |" in page


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("[!C]*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda path: path.name
)
def test_documented_commands_accept_their_options(path: Path) -> None:
    """Options without a command may belong to any command."""
    known = options()
    for code in re.findall(r"```\w*\n(.*?)```|(?<!`)`([^`]+)`(?!`)", path.read_text(encoding="utf-8"), re.DOTALL):
        for line in re.split(r"&&|[|;#]|\n\$", " ".join(code)):
            words = re.search(r"\blacuna ((?:(?:models|bench|bundle|cache|gate)\s)?\w+)", line)
            taken = known.get(" ".join(words[1].split()), set()) if words else set[str]().union(*known.values())
            if words or line.strip().startswith("--"):
                assert set(re.findall(r"(?<!\S)--[a-z][\w-]*", line)) <= taken, line


def test_messages_name_existing_options() -> None:
    others = {"--head", "--continuous-batching"}  # of Ray and of transformers
    known = set().union(others, {"--version"}, *options().values())
    for source in [*ROOT.glob("server/lacuna_server/**/*.py"), *ROOT.glob("inference/lacuna_inference/**/*.py")]:
        prose = re.findall(r"(?<=\w )--[a-z][\w-]*", source.read_text(encoding="utf-8"))
        assert set(prose) <= known, source.name


def options() -> dict[str, set[str]]:
    """The options of every command, by the words that call it without `lacuna`."""
    sections = (ROOT / "docs/cli.md").read_text(encoding="utf-8").split("\n## lacuna ")[1:]
    named = {section.split("\n")[0]: set(re.findall(r"`(--[\w-]+)`", section)) for section in sections}
    return {words: {*found, "--help", "--debug"} for words, found in named.items()}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_tables_name_every_setting_and_every_reason_in_their_language(folder: str) -> None:
    text = "".join((ROOT / folder / name).read_text(encoding="utf-8") for name in TABLES.values())
    rows = {row.split("`")[1]: row for row in text.split("\n") if row.startswith("| `")}
    assert {*Settings.model_fields, *map(str, Withheld)} <= set(rows)
    if folder.endswith("zh-CN"):
        assert all(re.search(r"[\u4e00-\u9fff]", rows[str(reason)]) for reason in Withheld)
        meanings = [rows[field].rpartition(" | ")[2] for field in Settings.model_fields]
        assert all(re.search(r"[\u4e00-\u9fff、]", meaning) for meaning in meanings)
        models = [rows[family.name].split(" | ")[1] for family in FAMILIES]
        assert not [row for row in models if re.search(r"\b(to|others|only|any)\b", row)]


def test_chinese_pages_use_the_same_words() -> None:
    for page in [ROOT / "README.zh-CN.md", *ROOT.glob("docs/zh-CN/*.md")]:
        assert not re.search("您|自带模型|词元", page.read_text(encoding="utf-8")), page


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda path: path.name)
def test_links_have_targets(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize(("english", "chinese"), IN_BOTH_LANGUAGES)
def test_both_languages_have_the_same_commands(english: str, chinese: str) -> None:
    def blocks(name: str) -> list[str]:
        found = re.findall(r"```\w+\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
        return [re.sub(r"(--|#) .*", "", block) for block in found]

    assert blocks(english) == blocks(chinese)


@pytest.mark.parametrize(("english", "chinese"), IN_BOTH_LANGUAGES)
def test_pages_in_both_languages_link_to_each_other(english: str, chinese: str) -> None:
    for here, there in ((ROOT / english, ROOT / chinese), (ROOT / chinese, ROOT / english)):
        targets = re.findall(r"^\[(?:English|简体中文)\]\((.+)\)$", here.read_text(encoding="utf-8"), re.MULTILINE)
        assert [(here.parent / target).resolve() for target in targets] == [there]


@pytest.mark.parametrize(
    ("name", "update", "privacy"),
    [("README.md", "Update and remove", "Privacy"), ("README.zh-CN.md", "更新与卸载", "隐私")],
)
def test_the_readmes_say_how_to_update_and_remove_and_what_uses_the_network(
    name: str, update: str, privacy: str
) -> None:
    sections = re.split(r"^## ", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    by_title = {section.partition("\n")[0]: section for section in sections}
    for part in ("pip install --upgrade", "pip uninstall lacuna-lsp", "~/.cache/lacuna", "~/.local/state/lacuna"):
        assert part in by_title[update]
    for part in ("lacuna models fetch", "lacuna bundle create", "SECURITY.md"):
        assert part in by_title[privacy]
    for page in ("docs/cli.md", "docs/troubleshooting.md", "SECURITY.md"):
        assert f"]({page})" in by_title[sections[-1].partition("\n")[0]]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readmes_are_short(name: str) -> None:
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= LONGEST_README_IN_LINES


@pytest.mark.parametrize("file", ["neovim.lua", "emacs-eglot.el", "helix-languages.toml", "kate-settings.json"])
def test_the_documented_setups_are_those_that_the_editor_tests_load(file: str) -> None:
    lines = (ROOT / "docs/editors" / file).read_text(encoding="utf-8").split("\n")[1:]
    assert "\n".join(lines).strip() in (ROOT / "docs/editors/README.md").read_text(encoding="utf-8")


def test_the_playground_is_built_from_its_source() -> None:
    """The page's HTML is copied unchanged; a script of another version would miss its elements."""
    built, source = (ROOT / "server" / path for path in ("lacuna_server/http/static", "playground/src"))
    assert (built / "index.html").read_bytes() == (source / "index.html").read_bytes()
    page, script = ((built / name).read_text(encoding="utf-8") for name in ("index.html", "playground.js"))
    modules = "".join(module.read_text(encoding="utf-8") for module in source.glob("*.ts"))
    looked_for = set(re.findall(r'\b(?:byId|button|input|select|any)\("([\w-]+)"', modules))
    assert len(looked_for) > 20
    assert {name for name in looked_for if f'id="{name}"' not in page or f'"{name}"' not in script} == set()


@pytest.mark.parametrize(
    "path",
    [ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/decisions/*.md"))],
    ids=lambda path: path.name,
)
def test_modules_named_in_the_documentation_exist(path: Path) -> None:
    for name in re.findall(r"`(?:[\w/]+/)?(\w+\.py)`", path.read_text(encoding="utf-8")):
        assert (ROOT / name).exists() or list(ROOT.glob(f"[!.]*/**/{name}")), name


def test_the_version_is_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
