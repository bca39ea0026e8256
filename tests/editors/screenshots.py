"""Pictures of the editors with a suggestion of the bundled model, for the README: `make screenshots`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from display import Display
from installed import DOCS, PATH, set_up_kate
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import sync_playwright
from terminal import COLUMNS, Terminal
from workbench import workbench

FILE = "station.py"
BEFORE = """\
\"\"\"Weather stations and what they measure.\"\"\"

import logging

"""
TYPED = "logger = logging."
SEEN = "getLogger(__name__)"
LINES, SIZE, MARGIN = 9, 15, 10
FOREGROUND, BACKGROUND = "#d8d8d8", "#1b1d23"
NAMED = {"black": "#3a3d46", "red": "#e06c75", "green": "#98c379", "brown": "#d19a66", "blue": "#61afef",
         "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#d8d8d8", "default": ""}  # fmt: skip


def main() -> None:
    """Writes docs/editors/NAME.png for each editor."""
    with tempfile.TemporaryDirectory() as home:
        settings = Path(home) / ".config/helix/languages.toml"
        settings.parent.mkdir(parents=True)
        settings.write_bytes((DOCS / "helix-languages.toml").read_bytes())
        neovim = ["nvim", "-u", str(DOCS / "neovim.lua"), "-i", "NONE", "-n", FILE]
        emacs = ["emacs", "-nw", "-q", "-l", str(DOCS / "emacs-eglot.el"), FILE]
        photograph(home, "neovim", neovim, ["Go", "\x15", TYPED], [])
        photograph(home, "emacs", emacs, ["\x1b>", TYPED], ["\x1b\t"])
        photograph(home, "helix", ["hx", FILE], ["geo", "\x15", TYPED], ["\x18"])
    with tempfile.TemporaryDirectory() as home:
        photograph_kate(Path(home))
    with tempfile.TemporaryDirectory() as home:
        photograph_code(Path(home))


def photograph(home: str, name: str, command: Sequence[str], keys: Sequence[str], asking: Sequence[str]) -> None:
    """Types `keys`, asks for a suggestion, and takes the picture when it is there."""
    (Path(home) / FILE).write_text(BEFORE)
    environment = {**surroundings_of(Path(home)), "COLORTERM": "truecolor"}
    os.chdir(home)
    with Terminal([*command], environment) as terminal:
        terminal.until_shown("Weather")
        terminal.idle(12)  # the model loads
        for text in keys:
            terminal.keys(text)
        terminal.idle(1)
        for text in asking:
            terminal.keys(text)
        terminal.until_shown(SEEN)
        terminal.idle(1)
        draw(terminal).save(DOCS / f"{name}.png")


def photograph_kate(home: Path) -> None:
    """Kate types the last letter itself: then its menu opens with our suggestion."""
    (home / FILE).write_text(BEFORE + TYPED[:-1])
    environment = surroundings_of(home)
    set_up_kate(home, Path(sys.executable).parent)
    with Display(["kate", "--new", "--block", str(home / FILE)], environment, home) as display:
        display.until_steady()
        display.idle(12)
        display.press("ctrl+End")
        display.type(TYPED[-1])
        before = display.until_steady()
        display.press("ctrl+space")
        display.until_changed(before)
        display.picture().crop((120, 100, 862, 470)).save(DOCS / "kate.png", optimize=True)


def photograph_code(home: Path) -> None:
    settings = {"lacuna.path": str(Path(sys.executable).parent / "lacuna")}
    (home / "workspace").mkdir()
    (home / "workspace" / FILE).write_text(BEFORE)
    with sync_playwright() as driver, workbench(driver, home, surroundings_of(home), settings) as code:
        code.open(FILE)
        code.page.wait_for_timeout(12_000)  # the model loads
        code.type(TYPED)
        code.until_grey_text()
        code.page.screenshot(path=DOCS / "vscode.png", clip={"x": 0, "y": 0, "width": 1200, "height": 360})


def surroundings_of(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{PATH}", "LACUNA_STATISTICS": "false"}


def draw(terminal: Terminal) -> Image.Image:
    """The first lines of the screen, in its colours."""
    font = ImageFont.truetype(str(Path(get_data_path()) / "fonts/ttf/DejaVuSansMono.ttf"), SIZE)
    width, height = round(font.getlength("m")), SIZE + 5
    image = Image.new("RGB", (2 * MARGIN + COLUMNS * width * 3 // 4, 2 * MARGIN + LINES * height), BACKGROUND)
    pen = ImageDraw.Draw(image)
    for row in range(LINES):
        for column in range(COLUMNS * 3 // 4):
            cell = terminal.cell(row, column)
            ink, paper = colour(cell.fg, FOREGROUND), colour(cell.bg, BACKGROUND)
            if cell.reverse:
                ink, paper = paper, ink
            at = MARGIN + column * width, MARGIN + row * height
            if paper != BACKGROUND:
                pen.rectangle((*at, at[0] + width, at[1] + height), fill=paper)
            pen.text((at[0], at[1] + 1), cell.data, font=font, fill=ink)
    return image


def colour(name: str, otherwise: str) -> str:
    """A colour as the terminal names it: a word, or six hexadecimal digits."""
    if name.startswith("bright"):
        name = name.removeprefix("bright")
    return NAMED[name] or otherwise if name in NAMED else f"#{name}"


if __name__ == "__main__":
    main()
