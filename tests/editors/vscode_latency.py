"""How long from a key to grey text in VS Code, and whether it flickers: `make latency`, or with MODEL=file.gguf.

With a model, the first suggestion is photographed, too.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installed import versions
from playwright.sync_api import sync_playwright
from workbench import Workbench, workbench

from lacuna_lab.evaluation import files
from lacuna_lab.quantiles import quantile

PICTURE = Path("docs/pictures/vscode-real-model.png")
SUGGESTIONS, TYPED_ALONG = 120, 220
FREE_MS, ALONG_MS = 400, 150
"""Between keys: long enough for any answer, and as people type."""
WATCH = """() => {
  const seen = window.lacunaSeen = [];
  let shown = "", key = 0;
  document.addEventListener("keydown", () => { key = performance.now(); seen.push({ key }); }, true);
  const look = () => {
    const lines = [...document.querySelectorAll(".ghost-text, .ghost-text-decoration")];
    const text = lines.map((line) => line.textContent).join("\\n").replaceAll("\\u00a0", " ");
    if (text !== shown) seen.push({ text: shown = text, after: performance.now() - key });
  };
  const observed = { subtree: true, childList: true, characterData: true };
  new MutationObserver(look).observe(document.body, observed);
}"""


@dataclass
class Found:
    """Milliseconds from a key to new grey text, and keys typed along a suggestion, with those that made it flicker."""

    latencies: list[float]
    picture: Path | None
    typed_along: int = 0
    flickers: int = 0


def main() -> None:
    """Prints a table."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        home = Path(name)
        (home / "workspace").mkdir()
        around = {"PATH": os.environ["PATH"], "HOME": name, "XDG_STATE_HOME": f"{name}/state"}
        texts = [file.text for file in files.held_out(30, 0)]
        for number, text in enumerate(texts):
            (home / f"workspace/file{number}.py").write_text("\n".join(text.split("\n")[:60]) + "\n")
        settings = {"lacuna.path": str(Path(sys.executable).with_name("lacuna"))}
        model = os.environ.get("MODEL")
        model = str(Path(model).resolve()) if model and Path(model).exists() else model
        with workbench(driver, home, around, settings | ({"lacuna.model": model} if model else {})) as code:
            found = measured(code, texts, PICTURE if model else None)
            server = latency_of_the_server(code)
    known = found.latencies
    at = {part: quantile(known, part) for part in (0.5, 0.95)}
    sys.stdout.write(f"{versions()}\n\n| what | figure |\n| --- | --- |\n")
    sys.stdout.write(f"| suggestions that appeared | {len(known)} |\n")
    sys.stdout.write(f"| key to grey text, p50 and p95 | {at[0.5]:.0f} ms, {at[0.95]:.0f} ms |\n")
    sys.stdout.write(f"| of it in the server, p50 and p95 | {server[0]}, {server[1]} |\n")
    sys.stdout.write(f"| keys typed along a suggestion | {found.typed_along} |\n")
    sys.stdout.write(f"| of them with another text shown before the next key | {found.flickers} |\n")


def measured(code: Workbench, texts: list[str], picture: Path | None) -> Found:
    """Types lines as they stand in the files; where grey text appears, types along it. Photographs the first."""
    found, rng = Found([], picture), random.Random(0)
    code.open("file0.py")
    code.until_status("Ready")
    code.page.evaluate(WATCH)
    for number, text in enumerate(texts):
        if number:
            code.open(f"file{number}.py")
        lines = [line for line in text.split("\n")[60:] if len(line.strip()) > 12]
        for line in rng.sample(lines, min(6, len(lines))):
            if len(found.latencies) >= SUGGESTIONS and found.typed_along >= TYPED_ALONG:
                return found
            code.page.keyboard.press("Home")
            type_line(code, line.strip(), found)
            code.page.keyboard.press("Escape")
            code.page.keyboard.press("End")
            code.page.keyboard.press("Enter")
    return found


def type_line(code: Workbench, line: str, found: Found) -> None:
    for character in line:
        shown = one_key(code, character, FREE_MS)
        found.latencies += [after for text, after in shown if text][:1]
        if shown and shown[-1][0]:
            if found.picture is not None:
                code.page.screenshot(path=found.picture)
                found.picture = None
            type_along(code, shown[-1][0], found)
            return


def type_along(code: Workbench, suggestion: str, found: Found) -> None:
    """Types along the first line of a suggestion, up to its last character."""
    for index, character in enumerate(suggestion.split("\n")[0][:-1]):
        if not character.isprintable() or character in "()[]{}\"'":  # the editor adds their partners
            return
        if found.typed_along >= TYPED_ALONG:
            return
        left = suggestion[index + 1 :].replace("\n", "")
        shown = one_key(code, character, ALONG_MS)
        found.typed_along += 1
        found.flickers += any(text.replace("\n", "") != left for text, _ in shown)  # long ones are wrapped


def one_key(code: Workbench, character: str, gap_ms: int) -> list[tuple[str, float]]:
    """Types a key and waits; what was shown until then, with the milliseconds since the key."""
    code.page.evaluate("() => { window.lacunaSeen.length = 0; }")
    code.page.keyboard.type(character)
    code.page.wait_for_timeout(gap_ms)
    seen: list[dict[str, Any]] = code.page.evaluate("() => window.lacunaSeen")
    return [(one["text"], one["after"]) for one in seen if "text" in one]


def latency_of_the_server(code: Workbench) -> tuple[str, str]:
    code.run("Lacuna: Show Statistics")
    code.shown_in_webview("table")
    cells = [c for frame in code.page.frames for c in frame.locator("tr td").all_inner_texts() if "ms of" in c]
    return cells[0], cells[1]


if __name__ == "__main__":
    main()
