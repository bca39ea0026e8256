"""The playground in a real browser: extend, infill of two holes, stop, errors, sharing; nothing leaves the server."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from helpers import echoing_decoder
from serving import server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TWO_HOLES = "def f():\n<infill>\n\n\ndef g():\n<infill>\n"


class Brake:
    """Slows down the model's steps while it is on."""

    def __init__(self) -> None:
        self.on = False
        self._never = threading.Event()

    def __call__(self, _: int) -> None:
        if self.on:
            self._never.wait(0.2)


BRAKE = Brake()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with server("return 42", on_step=BRAKE) as client:
        yield str(client.base_url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    driving = pytest.importorskip("playwright.sync_api", reason="make editors")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed: make editors")
    with driving.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page; no request may go anywhere else, no script may fail, and the page must comply with its policy."""
    wrong: list[str] = []
    opened = browser.new_page(viewport={"width": 1100, "height": 760})
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda entry: wrong.append(entry.text) if "Content Security Policy" in entry.text else None)
    opened.on("request", lambda request: None if request.url.startswith(address) else wrong.append(request.url))
    opened.goto(address)
    opened.wait_for_selector(".cm-content")
    yield opened
    opened.close()
    assert wrong == []


def text(page: Page) -> str:
    found = page.evaluate("window.lacuna.text()")
    assert isinstance(found, str)
    return found


def set_text(page: Page, new: str) -> None:
    page.evaluate("text => window.lacuna.setText(text)", new)


def until_text(page: Page, wanted: str) -> None:
    page.wait_for_function("wanted => window.lacuna.text() === wanted", arg=wanted)


def test_extend_continues_at_the_end(browser: Browser) -> None:
    with server(decoder=echoing_decoder()) as client:
        page = browser.new_page()
        page.goto(str(client.base_url))
        page.wait_for_selector(".cm-content")
        set_text(page, "e\n")
        page.click("#extend")
        until_text(page, "e\n" + "<" * 48)  # the file name's header begins like this
        page.wait_for_selector("#counters >> text=/token/i")
        page.close()


def test_infill_of_two_holes_with_the_keyboard(page: Page) -> None:
    set_text(page, TWO_HOLES)
    page.click(".cm-content")
    page.keyboard.press("Control+Enter")
    until_text(page, "def f():\nreturn 42\n\n\ndef g():\nreturn 42\n")
    assert page.locator(".tok").count() > 2


def test_the_alternatives_of_a_token(page: Page) -> None:
    set_text(page, "def f():\n<infill>\n")
    page.click("#infill")
    until_text(page, "def f():\nreturn 42\n")
    page.locator(".tok").first.hover()
    page.wait_for_selector(".cm-tooltip >> text=/%/")


def test_stop_keeps_the_text_so_far(page: Page) -> None:
    set_text(page, "def stopped():\n<infill>\n")
    BRAKE.on = True
    try:
        page.click("#infill")
        page.wait_for_selector(".tok")
        page.keyboard.press("Escape")
        page.wait_for_selector("#infill:enabled")
    finally:
        BRAKE.on = False
    assert text(page).startswith("def stopped():\nr")
    assert text(page) != "def stopped():\nreturn 42\n"


def test_an_error_is_shown(page: Page) -> None:
    page.route("**/", lambda route: route.fulfill(status=503, json={"error": "Too many requests are waiting."}))
    set_text(page, "x = <infill>\n")
    page.click("#infill")
    page.wait_for_selector("#error >> text=Too many requests are waiting.")
    page.unroute("**/")


def test_a_link_restores_the_text(page: Page, address: str) -> None:
    set_text(page, "# 😀 家族\nx = <infill>\n")
    page.click("#share")
    page.wait_for_function("location.hash.length > 10")
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    until_text(page, "# 😀 家族\nx = <infill>\n")
    page.goto(f"{address}/#rubbish")


def test_a_token_is_prompted_for(browser: Browser) -> None:
    with server("abc", token="a-token-of-twenty-signs") as client:
        page = browser.new_page()
        page.goto(str(client.base_url))
        page.wait_for_selector(".cm-content")
        set_text(page, "a\n<infill>\n")
        page.click("#infill")
        page.fill("#token", "a-token-of-twenty-signs")
        page.press("#token", "Enter")
        until_text(page, "a\nabc\n")
        page.close()


def test_it_fits_a_phone(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 380, "height": 800})
    page.goto(address)
    page.wait_for_selector(".cm-content")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("#infill").is_visible()
    page.close()
