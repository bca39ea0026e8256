"""VS Code itself: its server with our extension, and its workbench in a headless browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from installed import CODE, ROOT, editor

if TYPE_CHECKING:
    from playwright.sync_api import Page

EXTENSION = ROOT / "vscode-extension"
PATIENCE_S = 30.0
GHOST = ".ghost-text, .ghost-text-decoration"
QUIET = {
    "telemetry.telemetryLevel": "off",
    "workbench.enableExperiments": False,
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "security.workspace.trust.enabled": False,
    "extensions.autoUpdate": False,
    "extensions.autoCheckUpdates": False,
    "extensions.ignoreRecommendations": True,
    "update.mode": "none",
    "git.enabled": False,
    "editor.inlineSuggest.enabled": True,
    "editor.minimap.enabled": False,
    "editor.accessibilitySupport": "off",
    "editor.wordBasedSuggestions": "off",
    "files.autoSave": "off",
    "chat.commandCenter.enabled": False,
    "chat.disableAIFeatures": True,
    "workbench.layoutControl.enabled": False,
}
BROWSER = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync"]  # fmt: skip


class Workbench:
    """One window of VS Code on `folder`."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self.folder = folder

    def open(self, name: str) -> None:
        """Opens a file of the folder by its name, and puts the cursor at its end."""
        self.page.keyboard.press("Control+P")
        self.page.wait_for_selector(".quick-input-widget input", state="visible")
        self.page.keyboard.type(name)
        self.page.wait_for_selector(f'.quick-input-list .monaco-list-row:has-text("{name}")')
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector(f'.tab.active:has-text("{name}")')
        self.page.click(".editor-instance .monaco-editor .view-lines")
        self.page.keyboard.press("Control+End")

    def type(self, text: str) -> None:
        """Types as a person does; what no keyboard has comes as from an input method."""
        for key in text:
            if key.isascii():
                self.page.keyboard.type(key, delay=20)
            else:
                self.page.keyboard.insert_text(key)

    def until_ghost(self) -> str:
        """Waits for grey text; returns it."""
        self.page.wait_for_selector(GHOST, timeout=PATIENCE_S * 1000)
        return "".join(self.page.locator(GHOST).all_text_contents()).replace("\u00a0", " ")

    def accept(self) -> None:
        self.page.keyboard.press("Tab")
        self.page.wait_for_selector(GHOST, state="detached")

    def save(self) -> None:
        self.page.keyboard.press("Control+S")
        self.page.wait_for_selector(".tab.active:not(.dirty)")

    def until(self, happened: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < limit, f"{what} did not come"
            self.page.wait_for_timeout(50)


@contextmanager
def workbench(home: Path, surroundings: Mapping[str, str], settings: Mapping[str, object]) -> Iterator[Workbench]:
    """Starts everything; a picture of what was shown last stays as `home`/last.png."""
    if not CODE.exists():
        pytest.skip("the server of VS Code is not installed: make editors")
    driving = pytest.importorskip("playwright.sync_api")
    browser_path = editor("chromium")
    built = EXTENSION / "dist/extension.js"
    if not built.exists():
        pytest.skip("the extension is not built: make extension")
    extensions = home / "extensions"
    install(extensions)
    folder = home / "workspace"
    folder.mkdir(exist_ok=True)
    for place in ("User", "Machine"):
        (home / "data" / place).mkdir(parents=True)
        (home / "data" / place / "settings.json").write_text(json.dumps({**QUIET, **settings}))
    environment = {**surroundings, "EXTENSIONS_GALLERY": '{"serviceUrl":"","itemUrl":""}'}
    with (home / "code.log").open("w+b") as log:
        server = subprocess.Popen(
            ["node", CODE / "out/server-main.js", "--host", "127.0.0.1", "--port", "0", "--without-connection-token",
             "--accept-server-license-terms", "--server-data-dir", home, "--user-data-dir", home / "data",
             "--extensions-dir", extensions, "--telemetry-level", "off", "--disable-telemetry",
             "--disable-workspace-trust", "--enable-smoke-test-driver"],
            env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            port = _port(log.name, server)
            with driving.sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=browser_path, args=BROWSER)
                page = browser.new_page(viewport={"width": 1200, "height": 720})
                try:
                    page.goto(f"http://127.0.0.1:{port}/?folder={folder}", wait_until="domcontentloaded")
                    page.wait_for_selector(".explorer-folders-view", timeout=PATIENCE_S * 1000)
                    yield Workbench(page, folder)
                finally:
                    page.screenshot(path=home / "last.png")
                    browser.close()
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def install(extensions: Path) -> None:
    """Puts our extension, unpacked, where the server looks for extensions."""
    manifest = json.loads((EXTENSION / "package.json").read_text())
    target = extensions / f"{manifest['publisher']}.{manifest['name']}-{manifest['version']}"
    shutil.copytree(EXTENSION, target, ignore=shutil.ignore_patterns("node_modules", "src", "*.vsix"))


def _port(log: str, server: subprocess.Popen[bytes]) -> int:
    """The port that the server chose, once it answers there."""
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit and server.poll() is None:
        found = re.search(r"listening on (\d+)", Path(log).read_text())
        if found and _answers(f"http://127.0.0.1:{found[1]}/version"):
            return int(found[1])
        time.sleep(0.05)
    raise AssertionError(f"the server of VS Code did not start:\n{Path(log).read_text()}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.read())
    except OSError:
        return False
