"""Pictures of the extension with the bundled model, for the READMEs: `make screenshots`.

With a real model in MODEL, also of a suggestion that uses what another file of the project defines.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import date, timedelta
from json import dumps
from pathlib import Path
from typing import Any

from installed import ROOT
from playwright.sync_api import Playwright, sync_playwright
from workbench import GREY_TEXT, Workbench, workbench

PICTURES = ROOT / "docs/pictures"
FILE = "station.py"
BEFORE = '"""Weather stations and what they measure."""\n\nimport logging\n\n'
TYPED = "logger = logging."
LEDGER = """\
class Ledger:
    \"\"\"Entries of an account.\"\"\"

    def __init__(self) -> None:
        self.entries: list[int] = []

    def add_entry_in_cents(self, cents: int) -> None:
        self.entries.append(cents)

    def total_in_euros(self) -> float:
        return sum(self.entries) / 100
"""
REPORT = """\
from ledger import Ledger


def close_day(ledger: Ledger, sales: list[int]) -> float:
    \"\"\"Adds the sales of a day, and returns the total.\"\"\"
    for cents in sales:
"""
REPORT_TYPED = "        ledger."
READING_MS = 4000
"""A pause, in which the model reads other files."""
SAMPLE = [(41, 12, 9), (63, 22, 19), (58, 17, 15), (12, 3, 3), (74, 31, 26), (69, 24, 20)]
"""Counts for the picture of the statistics: shown, accepted, retained, of an invented week."""


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        for language, suffix in (("en", ""), ("zh-cn", "-zh-cn")):
            with tempfile.TemporaryDirectory() as home:
                photograph(driver, Path(home), language, suffix)
        if model := os.environ.get("MODEL"):
            with tempfile.TemporaryDirectory() as home:
                photograph_other_files(driver, Path(home), str(Path(model).resolve()))


def photograph_other_files(driver: Playwright, home: Path, model: str) -> None:
    """A suggestion with a name that only another file defines, and its explanation."""
    (home / "workspace").mkdir()
    (home / "workspace/ledger.py").write_text(LEDGER)
    (home / "workspace/report.py").write_text(REPORT)
    around = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    settings = {"lacuna.path": str(Path(sys.executable).with_name("lacuna")), "lacuna.model": model}
    with workbench(driver, home, around, settings, "en") as code:
        code.open("report.py")
        code.until_status("Ready")
        code.type(REPORT_TYPED)
        while "add_entry_in_cents" not in grey_text(code):
            code.page.keyboard.press("Backspace")
            code.page.wait_for_timeout(READING_MS)
            code.type(REPORT_TYPED[-1])
        save(code, "other-files")
        code.page.keyboard.press("Escape")
        code.run("Why Did Nothing Appear?")
        code.shown_in_webview("table")
        save(code, "other-files-explained", height=300)


def grey_text(code: Workbench) -> str:
    """The grey text that comes within a second; empty if none does."""
    code.page.wait_for_timeout(1000)
    return "".join(code.page.locator(GREY_TEXT).all_text_contents()).replace("\u00a0", " ")


def photograph(driver: Playwright, home: Path, language: str, suffix: str) -> None:
    (home / "workspace").mkdir()
    (home / "workspace" / FILE).write_text(BEFORE)
    kept = home / "state/lacuna/statistics.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(dumps(sample()))
    around = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    settings = {"lacuna.path": str(Path(sys.executable).with_name("lacuna"))}
    with workbench(driver, home, around, settings, language) as code:
        code.open(FILE)
        code.until_status("Ready" if language == "en" else "就绪")
        code.type(TYPED)
        code.until_grey_text()
        save(code, f"ghost{suffix}")
        code.page.keyboard.press("Escape")
        code.page.click('.statusbar-item[id*="lacuna"] a')
        code.page.wait_for_selector(".quick-input-list .monaco-list-row")
        save(code, f"menu{suffix}")
        code.page.keyboard.press("Escape")
        for name, title, mark in (
            ("explain", "Why Did Nothing Appear?" if language == "en" else "为什么没有建议", "table"),
            ("statistics", "Show Statistics" if language == "en" else "显示统计", "svg"),
        ):
            code.run(title)
            code.shown_in_webview(mark)
            save(code, f"{name}{suffix}")
            code.close()


def save(code: Workbench, name: str, height: int = 460) -> None:
    code.page.wait_for_timeout(500)  # animations have ended
    clip: Any = {"x": 0, "y": 0, "width": 1200, "height": height}
    code.page.screenshot(path=PICTURES / f"vscode-{name}.png", clip=clip)


def sample() -> dict[str, dict[str, int]]:
    days = [date.today() - timedelta(days=len(SAMPLE) - number) for number in range(len(SAMPLE))]
    return {
        day.isoformat(): {"shown": shown, "accepted": accepted, "retained": retained, "characters": 17 * accepted}
        for day, (shown, accepted, retained) in zip(days, SAMPLE, strict=True)
    }


if __name__ == "__main__":
    main()
