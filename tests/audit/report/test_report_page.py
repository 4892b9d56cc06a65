"""The page of a report in a real browser: it fits, it can be read, it prints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from audit.report import write_report
from tests.support.sample_results import HEADER_ALONE, SAMPLES
from tests.support.waiting import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH")

_SMALLEST_TEXT = """() => Math.min(...[...document.querySelectorAll('svg text')].map(text => {
    const scale = text.getScreenCTM();
    return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(scale.a, scale.b);
}))"""

_CLIPPED_TEXT = """() => [...document.querySelectorAll('svg text')].filter(text => {
    const own = text.getBoundingClientRect();
    const sheet = text.ownerSVGElement.getBoundingClientRect();
    return own.left < sheet.left - 1 || own.right > sheet.right + 1
        || own.top < sheet.top - 1 || own.bottom > sheet.bottom + 1;
}).map(text => text.textContent)"""

#: What goes beyond the page, and does not scroll in a box of its own.
_BEYOND = """() => [...document.querySelectorAll('body *')].filter(each =>
    each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.scroll')
).map(each => each.outerHTML.slice(0, 200))"""

#: Tables that scroll in their box, and cannot be reached by keyboard or show no shadow at its ends.
_UNREACHABLE = """() => [...document.querySelectorAll('.scroll')].filter(box =>
    box.scrollWidth > box.clientWidth && (box.tabIndex !== 0
        || !box.getAttribute('aria-label')
        || getComputedStyle(box).backgroundImage.split('linear-gradient').length !== 5)
).map(box => box.textContent.slice(0, 200))"""

_OPEN_ALL = "() => document.querySelectorAll('details').forEach(fold => fold.open = true)"

_WIDTHS = "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=list(SAMPLES))
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    write_report(SAMPLES[request.param], folder)
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize(
    ("width", "scheme"), [(360, "light"), (400, "dark"), (1280, "light"), (1280, "dark")]
)
def test_the_page_fits_and_every_drawing_can_be_read(
    browser: Browser, address: str, width: int, scheme: str
) -> None:
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    page.goto(address)
    page.evaluate(_OPEN_ALL)
    scroll, client = page.evaluate(_WIDTHS)
    assert scroll <= client
    assert page.evaluate(_SMALLEST_TEXT) >= 11
    for what in (_CLIPPED_TEXT, _BEYOND, _UNREACHABLE):
        assert page.evaluate(what) == []
    page.close()
    assert complaints == [address]


def test_the_page_prints(browser: Browser, address: str, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 690, "height": 900})  # A4 without its margins
    page.goto(address)
    page.emulate_media(media="print")
    scroll, client = page.evaluate(_WIDTHS)
    assert scroll <= client
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    page.close()
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_a_reader_without_a_mouse_can_skip_to_the_report(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "report"
    page.close()


def test_the_keyboard_scrolls_a_wide_table_and_its_focus_is_seen(
    browser: Browser, address: str
) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 900})
    page.goto(address)
    page.evaluate(_OPEN_ALL)
    wide = "[...document.querySelectorAll('.scroll')].find(box => box.scrollWidth > 500)"
    page.evaluate(f"{wide}.focus({{focusVisible: true}})")
    assert page.evaluate(f"getComputedStyle({wide}).outlineStyle") == "solid"
    page.keyboard.press("ArrowRight")
    until(lambda: page.evaluate(f"{wide}.scrollLeft > 0"))
    page.close()


def test_an_opening_without_a_drawing_takes_the_whole_width(
    browser: Browser, tmp_path: Path
) -> None:
    write_report(HEADER_ALONE, tmp_path)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator(".opening .figures").count() == 0
    assert page.evaluate("document.querySelector('.told').clientWidth") > 1000
    page.close()
