"""The visual report in headless Chromium. Skipped where there is none: `apt-get install chromium` brings one, and
VECTOR_TEST_CHROMIUM names one that is elsewhere. Playwright's own browsers are not needed."""

import os
import shutil

import pytest
from report_support import HOSTILE, filled_warehouse

from vector.report import page as report_page
from vector.report.gather import gather

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `test`)")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = os.environ.get("VECTOR_TEST_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium: none of " + ", ".join(NAMES) + " is on the PATH; VECTOR_TEST_CHROMIUM is unset",
)

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SMALL_PHONE = {"width": 320, "height": 568}  # what WCAG 2.2 asks for (1.4.10, reflow)
PAPER = {"width": 680, "height": 1000}  # A4 less its margins, in CSS pixels
GROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 29)"}
# What is cut off by the right edge, but for what is in a table or drawing, which scrolls or is scaled on its own.
OVERFLOWING = """() => [...document.querySelectorAll("body *")]
  .filter((element) => !element.parentElement.closest(".scroll"))
  .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((element) => element.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def url(kept_project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    with filled_warehouse(kept_project, folder) as opened:
        (folder / "report.html").write_text(report_page.render(gather(opened.store)), encoding="utf-8")
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        as_root = getattr(os, "getuid", None) and os.getuid() == 0
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if as_root else [])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser, url):
    """Opens the page in a context of these options; afterwards, it must have asked for nothing and complained of
    nothing."""
    contexts, told, requests = [], [], []

    def open_page(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("dialog", lambda dialog: told.append(dialog.message))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(url)
        return page

    yield open_page
    assert told == []
    assert set(requests) == {url}
    for context in contexts:
        context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE, SMALL_PHONE], ids=["desktop", "phone", "small-phone"])
def test_it_is_drawn_in_its_theme_and_does_not_overflow(opened, theme, screen):
    page = opened(viewport=screen, color_scheme=theme)
    drawings = page.locator(".chart svg.marks, .chart canvas")
    drawings.nth(6).wait_for()
    assert drawings.count() == page.locator(".chart").count() == 7
    assert all(drawing.bounding_box()["height"] > 50 for drawing in drawings.all())
    assert page.evaluate("document.documentElement.scrollWidth") == screen["width"]
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == GROUND[theme]


def test_texts_stay_texts(opened):
    page = opened(viewport=DESKTOP)
    assert page.evaluate("window.broken") is None
    assert page.locator("img, iframe, object").count() == 0
    assert page.get_by_text(HOSTILE[:60]).count() > 0


def test_a_chunk_that_is_pointed_at_is_read(opened):
    """Somewhere on the plane, the tooltip has the text of a chunk, and the hostile one does nothing there."""
    page = opened(viewport=DESKTOP)
    plane = page.locator("#map0-chart canvas")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    tooltip, read = page.locator("#vg-tooltip-element.visible"), set()
    for i in range(800):
        page.mouse.move(box["x"] + 20 + i % 40 * 10, box["y"] + 20 + i // 40 * 20)
        if tooltip.count():
            read.add(tooltip.inner_text())
    assert len(read) > 20
    assert all("source_type" in text and "text" in text for text in read)
    assert page.locator("#vg-tooltip-element img, #vg-tooltip-element script").count() == 0


def test_the_policy_lets_nothing_in_or_out(browser, url):
    page = browser.new_page()
    page.goto(url)
    outcome = page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.broken = 1";
            document.body.append(script);
            return fetch("data:text/plain,x").then(() => "fetched", () => "refused");
        }"""
    )
    assert (outcome, page.evaluate("window.broken")) == ("refused", None)
    page.close()


def test_it_is_of_use_without_scripts_and_on_paper(opened):
    page = opened(viewport=PAPER, color_scheme="dark", java_script_enabled=False)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == GROUND["light"]
    assert page.locator("#coverage table").first.is_visible()
    assert not page.locator("nav").is_visible()
    assert page.evaluate(OVERFLOWING) == []
    assert len(page.pdf()) > 20_000
