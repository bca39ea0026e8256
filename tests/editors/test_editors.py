"""Real editors, each with the set-up that the docs give: a suggestion of several lines appears, is accepted, saved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from display import Display
from installed import DOCS, editor, set_up_kate
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


def neovim(setup: str, file: Path, surroundings: dict[str, str], name: str = "nvim") -> Terminal:
    return Terminal([editor(name), "-u", str(DOCS / setup), "-i", "NONE", "-n", str(file)], surroundings)


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


@pytest.mark.parametrize("name", ["nvim", "nvim-0.11"])
def test_neovim_s_menu(name: str, case: tuple[Path, str, str, bytes], surroundings: dict[str, str]) -> None:
    file, typed, _, wanted = case
    with neovim("neovim-menu.lua", file, surroundings, name) as terminal:
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


@pytest.mark.parametrize("name", ["emacs", "emacs30"])
def test_emacs_with_eglot(name: str, case: tuple[Path, str, str, bytes], surroundings: dict[str, str]) -> None:
    file, typed, seen, wanted = case
    with emacs(name, "emacs-eglot.el", file, surroundings) as terminal:
        terminal.until(lambda: connected(surroundings), "the client")
        terminal.until_shown("eglot")
        terminal.keys("\x1b>")
        terminal.keys(typed)
        terminal.keys("\x1b\t")
        terminal.until_shown(seen)
        terminal.keys("\x18\x13")
        terminal.until_shown("Wrote")
    assert file.read_bytes().rstrip() == wanted.rstrip()


def test_emacs_with_lsp_mode(case: tuple[Path, str, str, bytes], surroundings: dict[str, str]) -> None:
    file, typed, seen, wanted = case
    with emacs("emacs30", "emacs-lsp-mode.el", file, surroundings) as terminal:
        terminal.until_shown("Select action")
        terminal.keys("i")  # the file's folder is the project
        terminal.until(lambda: connected(surroundings), "the client")
        terminal.until_shown("LSP")
        terminal.keys("\x1b>")
        terminal.keys(typed)
        terminal.keys("\x1b\t")
        terminal.until(lambda: any(sign in terminal.text for sign in ("possible completion", seen)), "an answer")
        if seen not in terminal.text:  # the one candidate is listed where no common beginning can be inserted
            terminal.keys("\x1b[1;3B")
            terminal.keys("\x1b\r")
        terminal.until_shown(seen)
        terminal.keys("\x18\x13")
        terminal.until_shown("Wrote")
    assert file.read_bytes().rstrip() == wanted.rstrip()


def emacs(name: str, setup: str, file: Path, surroundings: dict[str, str]) -> Terminal:
    return Terminal([editor(name), "-nw", "-q", "-l", str(DOCS / setup), str(file)], surroundings)


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


def test_kate(case: tuple[Path, str, str, bytes], surroundings: dict[str, str], tmp_path: Path) -> None:
    """The keyboard of the virtual screen has no emoji: all but the last character typed is in the file already."""
    file, typed, _, wanted = case
    program = editor("kate")
    end = b"\r\n" if b"\r\n" in wanted else b"\n"
    file.write_bytes(file.read_bytes() + typed[:-1].encode())
    home = Path(surroundings["HOME"])
    set_up_kate(home, home / "bin/lacuna")
    (tmp_path / "display").mkdir()
    with Display([program, "--new", "--block", str(file)], surroundings, tmp_path / "display") as display:
        display.until(lambda: connected(surroundings), "the client")
        display.until_steady()
        display.press("ctrl+End")
        display.type(typed[-1])
        before = display.until_steady()
        display.press("ctrl+space")
        display.until_changed(before)
        display.press("Return")
        display.until_steady()
        display.press("ctrl+s")
        display.until(lambda: file.read_bytes().endswith(end), "the saved file")
    assert file.read_bytes() == wanted
