"""VS Code: its server with the extension, and its workbench in a headless browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from installed import CODE, ROOT, editor

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page, Playwright

EXTENSION = ROOT / "vscode-extension"
PATIENCE_S = 30.0
GREY_TEXT = ".ghost-text, .ghost-text-decoration"
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

CONTENT_TYPES = """<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="js" ContentType="application/javascript"/>
<Default Extension="json" ContentType="application/json"/>
<Default Extension="vsixmanifest" ContentType="text/xml"/></Types>"""
PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
<Metadata><Identity Language="en-US" Id="{name}" Version="{version}" Publisher="{publisher}"/>
<DisplayName>{name}</DisplayName><Properties/></Metadata>
<Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation><Dependencies/>
<Assets><Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/></Assets>
</PackageManifest>"""


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
        self.focus()

    def focus(self) -> None:
        """Puts the cursor at the end of the file that is open."""
        self.page.keyboard.press("Control+1")  # the first group of editors
        self.page.wait_for_selector(".editor-instance .monaco-editor.focused")
        self.page.keyboard.press("Control+End")

    def type(self, text: str) -> None:
        """Types as a person does; characters that no keyboard has come as from an input method."""
        for key in text:
            if key.isascii():
                self.page.keyboard.type(key, delay=20)
            else:
                self.page.keyboard.insert_text(key)

    def until_grey_text(self) -> str:
        """Waits for grey text; returns it."""
        self.page.wait_for_selector(GREY_TEXT, timeout=PATIENCE_S * 1000)
        return "".join(self.page.locator(GREY_TEXT).all_text_contents()).replace("\u00a0", " ")

    def status(self) -> str:
        """The text of the extension's item in the status bar."""
        item = self.page.locator('.statusbar-item[id*="lacuna"] a').first
        return item.get_attribute("aria-label") or ""

    def watch_status(self) -> Callable[[], list[str]]:
        """Records the texts of the status bar item from now on; the result returns those so far."""
        self.page.evaluate(
            """(item) => {
                const told = window.lacunaTold = [];
                const look = () => told.push(document.querySelector(item)?.getAttribute("aria-label") ?? "");
                const options = { subtree: true, childList: true, attributes: true };
                new MutationObserver(look).observe(document.querySelector(".statusbar"), options);
            }""",
            '.statusbar-item[id*="lacuna"] a',
        )
        return lambda: list(self.page.evaluate("() => window.lacunaTold"))

    def until_status(self, text: str) -> None:
        self.until(lambda: text in self.status(), f"the status {text!r}")

    def run(self, command: str) -> None:
        """Runs a command of the palette by its title."""
        self.page.keyboard.press("F1")
        self.page.wait_for_selector(".quick-input-widget input", state="visible")
        self.page.keyboard.type(command)
        self.page.wait_for_selector(f'.quick-input-list .monaco-list-row:has-text("{command}")')
        self.page.keyboard.press("Enter")

    def pick(self, text: str) -> None:
        """Picks a row of the open list."""
        self.page.locator(f'.quick-input-list .monaco-list-row:has-text("{text}")').first.click()

    def shown_in_webview(self, selector: str) -> None:
        """Waits for something in a page that an extension shows."""
        self.until(lambda: any(self._has(frame, selector) for frame in self.page.frames), f"{selector!r}")

    def _has(self, frame: Frame, selector: str) -> bool:
        from playwright.sync_api import Error

        try:
            return frame.parent_frame is not None and frame.locator(selector).count() > 0
        except Error:  # the frame went away meanwhile
            return False

    def close(self) -> None:
        """Closes the editor that is open."""
        self.page.click(".tab.active .codicon-close")

    def accept(self) -> None:
        self.page.keyboard.press("Tab")
        self.page.wait_for_selector(GREY_TEXT, state="detached")

    def save(self) -> None:
        self.page.keyboard.press("Control+S")
        self.page.wait_for_selector(".tab.active:not(.dirty)")

    def until(self, happened: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < limit, f"{what} did not come"
            self.page.wait_for_timeout(50)


@contextmanager
def workbench(
    driver: Playwright,
    home: Path,
    surroundings: Mapping[str, str],
    settings: Mapping[str, object],
    language: str = "en",
    others: Sequence[Path] = (),
) -> Iterator[Workbench]:
    """Starts everything, with the folders `others` as further extensions; a picture of what was shown last stays as
    `home`/last.png.

    The workbench itself has English texts only; its extensions get `language`.
    """
    if not CODE.exists():
        pytest.skip("the server of VS Code is not installed: make editors")
    browser_path = editor("chromium")
    extensions = home / "extensions"
    install(ours(), extensions, home)
    for other in others:
        install(packaged(other, home), extensions, home)
    folder = home / "workspace"
    folder.mkdir(exist_ok=True)
    for scope in ("User", "Machine"):
        (home / "data" / scope).mkdir(parents=True, exist_ok=True)
        (home / "data" / scope / "settings.json").write_text(json.dumps({**QUIET, **settings}))
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
            browser = driver.chromium.launch(executable_path=browser_path, args=BROWSER)
            page = browser.new_page(viewport={"width": 1200, "height": 720})
            page.add_init_script(f"globalThis._VSCODE_NLS_LANGUAGE = {language!r}")
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


def ours() -> Path:
    """The packaged extension."""
    manifest = json.loads((EXTENSION / "package.json").read_text())
    package = EXTENSION / f"{manifest['name']}-{manifest['version']}.vsix"
    if not package.exists():
        pytest.skip("the extension is not packaged: make vsix")
    return package


def packaged(folder: Path, home: Path) -> Path:
    """Packages the extension in `folder`, which has neither dependencies nor anything to build."""
    identity = json.loads((folder / "package.json").read_text())
    package = home / f"{identity['name']}.vsix"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("[Content_Types].xml", CONTENT_TYPES)
        archive.writestr("extension.vsixmanifest", PACKAGE.format(**identity))
        for file in folder.iterdir():
            archive.write(file, f"extension/{file.name}")
    return package


def install(package: Path, extensions: Path, home: Path) -> None:
    """Installs a packaged extension with the editor's own command."""
    done = subprocess.run(
        ["node", CODE / "out/server-main.js", "--accept-server-license-terms", "--server-data-dir", home,
         "--extensions-dir", extensions, "--install-extension", package],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "successfully installed" in done.stdout, done.stdout + done.stderr


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
