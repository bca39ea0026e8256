"""Real editors, each with the set-up that the docs give: a suggestion of several lines appears, is accepted, saved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from installed import DOCS, editor
from scripted_server import SUGGESTIONS
from terminal import Terminal

CASES = {
    "plain": ("", "def add(a, b):", "\n"),
    "wide": ("s = '😀 家族'\n", "x📦漢字 = ", "\n"),
    "combining": ("cafe\u0301 = 1\n", "cafe\u0301 = ", "\n"),
    "crlf": ("s = '😀'\n", "def add(a, b):", "\r\n"),
}
"""What the file holds before, what is typed behind it, and the line ends."""


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str, str, bytes]:
    """The file, what is typed, a part of the suggestion that is seen, and what the file must hold in the end."""
    before, typed, end = CASES[request.param]
    suggestion = SUGGESTIONS[typed]
    file = tmp_path / "work.py"
    file.write_bytes(before.replace("\n", end).encode())
    wanted = (before + typed + suggestion + "\n").replace("\n", end).encode()
    return file, typed, suggestion.strip().split("\n")[1].strip().split("=")[0], wanted


def connected(surroundings: dict[str, str]) -> bool:
    return Path(surroundings["LACUNA_TEST_CLIENT"]).exists()


def client(surroundings: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = json.loads(Path(surroundings["LACUNA_TEST_CLIENT"]).read_text()).get("clientInfo") or {}
    return found


def neovim(setup: str, file: Path, surroundings: dict[str, str]) -> Terminal:
    return Terminal([editor("nvim"), "-u", str(DOCS / setup), "-i", "NONE", "-n", str(file)], surroundings)


def test_neovim_shows_grey_text(case: tuple[Path, str, str, bytes], surroundings: dict[str, str]) -> None:
    file, typed, seen, wanted = case
    with neovim("neovim.lua", file, surroundings) as terminal:
        terminal.until(lambda: connected(surroundings), "the client")
        version = tuple(map(int, client(surroundings)["version"].split("+")[0].split(".")[:2]))
        if version < (0, 12):
            pytest.skip("grey text came with Neovim 0.12")
        terminal.keys("Go" if file.stat().st_size else "i")
        terminal.keys(typed)
        terminal.until_shown(seen)
        terminal.keys("\t")
        terminal.keys("\x1b")
        terminal.keys(":wq\r")
        terminal.until_ended()
    assert file.read_bytes() == wanted


def test_neovim_s_menu(case: tuple[Path, str, str, bytes], surroundings: dict[str, str]) -> None:
    file, typed, _, wanted = case
    with neovim("neovim-menu.lua", file, surroundings) as terminal:
        terminal.until(lambda: connected(surroundings), "the client")
        terminal.keys("Go" if file.stat().st_size else "i")
        terminal.keys(typed)
        terminal.keys("\x18\x0f")
        terminal.until_shown("Lacuna" if "…" in terminal.text else "…")
        terminal.keys("\x19")
        terminal.keys("\x1b")
        terminal.keys(":wq\r")
        terminal.until_ended()
    assert file.read_bytes() == wanted


def test_emacs_with_eglot(case: tuple[Path, str, str, bytes], surroundings: dict[str, str]) -> None:
    file, typed, seen, wanted = case
    with Terminal(
        [editor("emacs"), "-nw", "-q", "-l", str(DOCS / "emacs-eglot.el"), str(file)], surroundings
    ) as terminal:
        terminal.until(lambda: connected(surroundings), "the client")
        terminal.until_shown("eglot")
        terminal.keys("\x1b>")
        terminal.keys(typed)
        terminal.keys("\x1b\t")
        terminal.until_shown(seen)
        terminal.keys("\x18\x13")
        terminal.until_shown("Wrote")
    assert file.read_bytes().rstrip() == wanted.rstrip()


def test_helix(case: tuple[Path, str, str, bytes], surroundings: dict[str, str]) -> None:
    file, typed, _, wanted = case
    program = editor("hx")
    settings = Path(surroundings["HOME"]) / ".config/helix/languages.toml"
    settings.parent.mkdir(parents=True)
    settings.write_bytes((DOCS / "helix-languages.toml").read_bytes())
    with Terminal([program, str(file)], surroundings) as terminal:
        terminal.until(lambda: connected(surroundings), "the client")
        terminal.keys("geo" if file.stat().st_size else "i")
        terminal.keys(typed)
        terminal.keys("\x18")
        terminal.until_shown("…")
        terminal.keys("\x0e\r")
        terminal.keys("\x1b")
        terminal.keys(":wq\r")
        terminal.until_ended()
    assert file.read_bytes() == wanted
