"""Pictures of the editors with a suggestion of the bundled model, for the README: `make screenshots`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from installed import DOCS, PATH
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from terminal import COLUMNS, Terminal

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


def photograph(home: str, name: str, command: Sequence[str], keys: Sequence[str], asking: Sequence[str]) -> None:
    """Types `keys`, asks for a suggestion, and takes the picture when it is there."""
    (Path(home) / FILE).write_text(BEFORE)
    environment = {
        "HOME": home,
        "PATH": f"{Path(sys.executable).parent}:{PATH}",
        "LACUNA_STATISTICS": "false",
        "COLORTERM": "truecolor",
    }
    os.chdir(home)
    with Terminal([*command], environment) as terminal:
        terminal.until_shown("Weather")
        terminal.idle(12)  # the model loads
        for piece in keys:
            terminal.keys(piece)
        terminal.idle(1)
        for piece in asking:
            terminal.keys(piece)
        terminal.until_shown(SEEN)
        terminal.idle(1)
        draw(terminal).save(DOCS / f"{name}.png")


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
