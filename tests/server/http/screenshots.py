"""Pictures of the playground with the bundled model, for the README: `make screenshots`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests")]

TEXT = '''\
import json
from pathlib import Path


class Station:
    """A weather station and what it measured."""

    def __init__(self, name, readings):
        self.name = name
        self.readings = readings

    def mean(self):
        return sum(self.readings) / len<infill>


def load(path):
    data = json.loads(Path(path).read_text())
    return [Station(item["name"], item["readings"]) for<infill>]
'''


def main() -> None:
    """Writes docs/playground.png, and docs/playground-dark.png as on a phone."""
    import httpx
    from playwright.sync_api import sync_playwright
    from serving import Process, until

    with tempfile.TemporaryDirectory() as folder, Process(Path(folder) / "log") as served, sync_playwright() as driver:
        until(lambda: httpx.get(f"{served.url}/health/ready").status_code == 200)
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        for name, width, height, scheme in (("playground", 1120, 700, "light"), ("playground-dark", 380, 780, "dark")):
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(served.url)
            page.wait_for_selector(".cm-content")
            page.evaluate("text => window.lacuna.setText(text)", TEXT)
            page.click("#infill")
            page.wait_for_function("!window.lacuna.text().includes('<infill>')")
            page.wait_for_selector("#infill:enabled")
            if name == "playground":
                page.locator(".tok").nth(1).hover()
                page.wait_for_selector(".cm-tooltip")
            page.screenshot(path=ROOT / "docs" / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
