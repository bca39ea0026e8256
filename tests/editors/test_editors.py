"""Real editors, each with its documented setup: a suggestion of several lines appears, is accepted, saved."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from display import Display
from installed import DOCS, editor, program, set_up_kate
from scripted_server import SUGGESTIONS
from terminal import Terminal

CASES = {
    "plain": ("", "def add(a, b):", "\n"),
    "wide": ("s = '😀 家族'\n", "x📦漢字 = ", "\n"),
    "combining": ("cafe\u0301 = 1\n", "cafe\u0301 = ", "\n"),
    "crlf": ("s = '😀'\n", "def add(a, b):", "\r\n"),
}
"""The initial content of the file, the text typed after it, and the line ends."""
BESIDE = "class Local:\n    isabsolute = True\n\n", "Local.isab", "isabsolute"
"""The content of the file, the text typed after it, and pylsp's completion of the last word; no other file is read."""
FUNCTION = "def add(a, b):"
"""What is typed below that, where Lacuna suggests."""
AFTERWARDS = f"{BESIDE[0]}Local.{BESIDE[2]}\n{FUNCTION}{SUGGESTIONS[FUNCTION]}\n"
"""What the file holds when what both servers offer has been accepted."""


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


def both_connected(surroundings: dict[str, str]) -> bool:
    """Whether pylsp has the file, too; it loads libraries before that."""
    log = Path(surroundings["HOME"]) / "pylsp.log"
    return connected(surroundings) and log.exists() and "pylsp_document_did_open" in log.read_text(errors="replace")


def answers_of_pylsp(surroundings: dict[str, str]) -> int:
    """How many completions pylsp has answered."""
    return (Path(surroundings["HOME"]) / "pylsp.log").read_text(errors="replace").count("finish pylsp_completions")


def client(surroundings: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = json.loads(Path(surroundings["LACUNA_TEST_CLIENT"]).read_text()).get("clientInfo") or {}
    return found


def neovim(
    setup: str, file: Path, surroundings: dict[str, str], name: str = "nvim", options: Sequence[str] = ()
) -> Terminal:
    return Terminal([editor(name), *options, "-u", str(DOCS / setup), "-i", "NONE", "-n", str(file)], surroundings)


def has_grey_text(surroundings: dict[str, str]) -> bool:
    """Whether the client is a Neovim that knows inline completion: 0.12 or later."""
    return tuple(map(int, client(surroundings)["version"].split("+")[0].split(".")[:2])) >= (0, 12)


def test_neovim_shows_grey_text(case: tuple[Path, str, str, bytes], surroundings: dict[str, str]) -> None:
    file, typed, seen, wanted = case
    with neovim("neovim.lua", file, surroundings) as terminal:
        terminal.until(lambda: connected(surroundings), "the client")
        if not has_grey_text(surroundings):
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


PYLSP_IN_NEOVIM = "lua vim.lsp.config('pylsp', {cmd = {'pylsp'}, filetypes = {'python'}}) vim.lsp.enable('pylsp')"
"""The settings of a pylsp user before Lacuna's are added."""


@pytest.mark.parametrize("setup", ["neovim.lua", "neovim-menu.lua"])
@pytest.mark.parametrize("name", ["nvim", "nvim-0.11"])
def test_neovim_keeps_pylsp(name: str, setup: str, surroundings: dict[str, str], tmp_path: Path) -> None:
    program("pylsp")
    before, typed, whole = BESIDE
    (file := tmp_path / "work.py").write_text(before)
    with neovim(setup, file, surroundings, name, ["--cmd", PYLSP_IN_NEOVIM]) as terminal:
        terminal.until(lambda: both_connected(surroundings), "both servers")
        terminal.keys("Go")
        terminal.keys(typed)
        terminal.keys("\x18\x0f")
        terminal.until(lambda: terminal.text.count(whole) > 1, whole)
        if f"Local.{whole}" not in terminal.text:  # Neovim inserts a single candidate at once; the setup lists it
            terminal.keys("\x19")
        terminal.keys("\r")
        terminal.keys(FUNCTION)
        if setup == "neovim.lua" and has_grey_text(surroundings):
            terminal.until_shown("return total")
            terminal.keys("\t")
        else:
            terminal.keys("\x18\x0f")
            terminal.until_shown("…")
            terminal.keys("\x19")
        terminal.keys("\x1b")
        terminal.keys(":wq\r")
        terminal.until_ended()
    assert file.read_text() == AFTERWARDS


EGLOT = {
    "28": ("emacs", []),
    "30": ("emacs30", []),
    "30-tree-sitter": (
        "emacs30",  # no grammar is installed: the mode warns and continues
        ["--eval", "(setq warning-minimum-level :emergency major-mode-remap-alist '((python-mode . python-ts-mode)))"],
    ),
}
"""The program, and its options, for each Emacs and mode."""


@pytest.mark.parametrize("kind", EGLOT)
def test_emacs_with_eglot(kind: str, case: tuple[Path, str, str, bytes], surroundings: dict[str, str]) -> None:
    file, typed, seen, wanted = case
    with eglot(kind, file, surroundings) as terminal:
        terminal.keys(typed)
        terminal.keys("\x1b\t")
        terminal.until(lambda: seen in terminal.text or "ossible completions" in terminal.text, "an answer")
        if seen not in terminal.text:  # pylsp has answered, too, and there is a list; Lacuna's item comes first
            terminal.keys("\x1bxswitch-to-completions\r")
            terminal.keys("\r")
        terminal.until_shown(seen)
        terminal.keys("\x18\x13")
        terminal.until_shown("Wrote")
    assert file.read_bytes().rstrip() == wanted.rstrip()


@pytest.mark.parametrize("kind", EGLOT)
def test_emacs_with_eglot_keeps_pylsp(kind: str, surroundings: dict[str, str], tmp_path: Path) -> None:
    before, typed, whole = BESIDE
    (file := tmp_path / "work.py").write_text(before)
    with eglot(kind, file, surroundings) as terminal:
        terminal.keys(typed)
        terminal.until_shown(typed)
        until_completed(terminal, whole)


def eglot(kind: str, file: Path, surroundings: dict[str, str]) -> Terminal:
    """Emacs at the end of `file`, with both servers through rass."""
    program("pylsp")
    program("rass")
    name, options = EGLOT[kind]
    terminal = emacs(name, "emacs-eglot.el", file, surroundings, options)
    terminal.until(lambda: both_connected(surroundings), "both servers")
    terminal.until_shown("eglot")
    terminal.keys("\x1b>")
    return terminal


def until_completed(terminal: Terminal, whole: str) -> None:
    """Completes until `whole` is there: pylsp's first answer may take longer than others wait for it."""

    def there() -> bool:
        return terminal.text.count(whole) > 1

    def completed() -> bool:
        terminal.keys("\x1b\t")  # a key that is typed before the answer calls the request off
        terminal.until(lambda: "No match" in terminal.text or there(), "an answer")
        if not there():
            terminal.keys("\x07")
            terminal.until(lambda: "No match" not in terminal.text, "an empty echo area")
        return there()

    terminal.until(completed, whole)


def test_emacs_with_lsp_mode(case: tuple[Path, str, str, bytes], surroundings: dict[str, str]) -> None:
    """Without pylsp, which lists every name after a blank: Emacs sorts them alphabetically."""
    file, typed, seen, wanted = case
    alone = ["--eval", "(setq lsp-disabled-clients '(pylsp))"]
    with lsp_mode(file, surroundings, connected, alone) as terminal:
        terminal.keys(typed)
        terminal.keys("\x1b\t")
        terminal.until(lambda: any(text in terminal.text for text in ("possible completion", seen)), "an answer")
        if seen not in terminal.text:  # the one candidate is listed where no common beginning can be inserted
            terminal.keys("\x1b[1;3B")
            terminal.keys("\x1b\r")
        terminal.until_shown(seen)
        terminal.keys("\x18\x13")
        terminal.until_shown("Wrote")
    assert file.read_bytes().rstrip() == wanted.rstrip()


def test_emacs_with_lsp_mode_keeps_pylsp(surroundings: dict[str, str], tmp_path: Path) -> None:
    before, typed, whole = BESIDE
    (file := tmp_path / "work.py").write_text(before)
    with lsp_mode(file, surroundings, both_connected) as terminal:
        terminal.keys(typed)
        terminal.until_shown(typed)
        until_completed(terminal, whole)


def lsp_mode(
    file: Path, surroundings: dict[str, str], ready: Callable[[dict[str, str]], bool], options: Sequence[str] = ()
) -> Terminal:
    """Emacs at the end of `file`, when the servers are `ready`."""
    program("pylsp")
    terminal = emacs("emacs30", "emacs-lsp-mode.el", file, surroundings, options)
    terminal.until_shown("Select action")
    terminal.keys("i")  # the file's folder is the project
    terminal.until(lambda: ready(surroundings), "the servers")
    terminal.until_shown("LSP")
    terminal.keys("\x1b>")
    return terminal


def emacs(name: str, setup: str, file: Path, surroundings: dict[str, str], options: Sequence[str] = ()) -> Terminal:
    return Terminal([editor(name), "-nw", "-q", *options, "-l", str(DOCS / setup), str(file)], surroundings)


def test_helix(case: tuple[Path, str, str, bytes], surroundings: dict[str, str]) -> None:
    file, typed, _, wanted = case
    with helix(file, surroundings) as terminal:
        terminal.keys("geo" if file.stat().st_size else "i")
        terminal.keys(typed)
        terminal.keys("\x18")
        terminal.until_shown("…")
        terminal.keys("\x0e\r")
        save_and_quit(terminal)
    assert file.read_bytes() == wanted


def test_helix_keeps_pylsp(surroundings: dict[str, str], tmp_path: Path) -> None:
    before, typed, whole = BESIDE
    (file := tmp_path / "work.py").write_text(before)
    with helix(file, surroundings) as terminal:
        terminal.keys("geo")
        terminal.keys(typed)
        until_offered(terminal, [rf"{whole} +variable"], surroundings)
        terminal.keys("\x0e\r")
        terminal.keys("\r")
        terminal.keys(FUNCTION)
        terminal.keys("\x18")
        terminal.until_shown("…")
        terminal.keys("\x0e\r")
        save_and_quit(terminal)
    assert file.read_text() == AFTERWARDS


def test_helix_shows_pylsp_s_menu_automatically(surroundings: dict[str, str], tmp_path: Path) -> None:
    """Lacuna has no suggestion, and has answered long before pylsp's first answer."""
    before, _, whole = BESIDE
    (file := tmp_path / "work.py").write_text(before)
    with helix(file, surroundings) as terminal:
        terminal.keys("geo")
        terminal.keys("Local.")
        terminal.until(lambda: re.search(rf"{whole} +variable", terminal.text) is not None, whole)


SHARED = "class Shared:\n    isabsolute = True\n\n", "Shared.is"
"""The content of the file, and what is typed after it: a word that both servers complete."""
ITEMS = {
    "variable": ("isabsolute", "isabsolute"),
    "snippet": ("isabsolute = dict(…", "is" + SUGGESTIONS[SHARED[1]]),
}
"""The label and the text of pylsp's item and of Lacuna's, by the kind that Helix shows."""


@pytest.mark.parametrize("kind", ITEMS)
def test_helix_lists_the_items_of_both_servers(kind: str, surroundings: dict[str, str], tmp_path: Path) -> None:
    before, typed = SHARED
    (file := tmp_path / "work.py").write_text(before)
    with helix(file, surroundings) as terminal:
        terminal.keys("geo")
        terminal.keys(typed)
        until_offered(terminal, [rf"{re.escape(label)} +{kind}" for kind, (label, _) in ITEMS.items()], surroundings)
        listed = re.findall(r"^ *\S.* (variable|snippet|word)$", terminal.text, re.MULTILINE)
        terminal.keys("\x0e" * (listed.index(kind) + 1))
        terminal.keys("\r")
        save_and_quit(terminal)
    assert file.read_text() == f"{before}{typed.removesuffix('is')}{ITEMS[kind][1]}\n"


def until_offered(terminal: Terminal, items: Sequence[str], surroundings: dict[str, str]) -> None:
    """Asks until Helix lists all `items`, which are patterns.

    They have their kinds, because Helix lists the words of the file, too. pylsp's first answer may take longer than
    Helix waits for.
    """

    def listed() -> bool:
        return all(re.search(item, terminal.text) for item in items)

    def offered() -> bool:
        if not listed():
            answered = answers_of_pylsp(surroundings)
            to_normal_mode(terminal)  # closes a menu without the items
            terminal.keys("A")
            terminal.keys("\x18")
            terminal.until(lambda: listed() or answers_of_pylsp(surroundings) > answered, "an answer")
        return listed()

    terminal.until(offered, " and ".join(items))


def save_and_quit(terminal: Terminal) -> None:
    """From Helix's insert mode."""
    to_normal_mode(terminal)
    terminal.keys(":wq\r")
    terminal.until_ended()


def to_normal_mode(terminal: Terminal) -> None:
    """A key that arrives together with Escape would be read as Alt with that key."""
    terminal.keys("\x1b")
    terminal.until_shown(" NOR ")


def helix(file: Path, surroundings: dict[str, str]) -> Terminal:
    """Helix, when both servers have the file."""
    program("pylsp")
    settings = Path(surroundings["HOME"]) / ".config/helix/languages.toml"
    settings.parent.mkdir(parents=True)
    settings.write_bytes((DOCS / "helix-languages.toml").read_bytes())
    terminal = Terminal([editor("hx"), str(file)], surroundings)
    terminal.until(lambda: both_connected(surroundings), "both servers")
    return terminal


def test_kate(case: tuple[Path, str, str, bytes], surroundings: dict[str, str], tmp_path: Path) -> None:
    """The keyboard of the virtual screen has no emoji: all but the last character typed is in the file already."""
    file, typed, _, wanted = case
    file.write_bytes(file.read_bytes() + typed[:-1].encode())
    kate_completes(file, typed[-1], ["ctrl+space"], surroundings, tmp_path)
    assert file.read_bytes() == wanted


def test_kate_keeps_pylsp(surroundings: dict[str, str], tmp_path: Path) -> None:
    before, typed, whole = BESIDE
    (file := tmp_path / "work.py").write_text(before + typed[:-1])
    kate_completes(file, typed[-1], ["ctrl+space"], surroundings, tmp_path)
    assert file.read_text().startswith(f"{before}Local.{whole}")


def kate_completes(file: Path, last: str, asking: Sequence[str], surroundings: dict[str, str], tmp_path: Path) -> None:
    """Types `last` at the end of `file` and then `asking`, accepts what the menu shows first, and saves.

    Kate itself would offer the words of the file, so that is switched off; the answer of both servers comes when pylsp
    has answered.
    """
    program("pylsp")
    program("rass")
    home = Path(surroundings["HOME"])
    set_up_kate(home, home / "bin")
    with (home / ".config/katerc").open("a") as settings:
        settings.write("[KTextEditor View]\nWord Completion=false\n")
    (tmp_path / "display").mkdir()
    with Display([editor("kate"), "--new", "--block", str(file)], surroundings, tmp_path / "display") as display:
        display.until(lambda: both_connected(surroundings), "both servers")
        display.until_steady()
        display.press("ctrl+End")
        display.type(last)
        for key in asking:
            display.press(key)
        display.until(lambda: answers_of_pylsp(surroundings) > 0, "the answer of pylsp")
        display.until_steady()
        display.press("Return")
        display.until_steady()
        display.press("ctrl+s")
        display.until(lambda: file.read_bytes().endswith(b"\n"), "the saved file")
