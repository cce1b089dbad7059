"""The visual report in headless Chromium. Skipped where there is none: `apt-get install chromium` brings one, and
VECTOR_TEST_CHROMIUM names one that is elsewhere. Playwright's own browsers are not needed."""

import base64
import math
import os
import shutil
from dataclasses import replace

import pytest
from report_support import HOSTILE, filled_warehouse

from vector.report import page as report_page
from vector.report.gather import gather
from vector.report.rows import MapPoint, SpaceMap

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
GROUND = {"light": [255, 255, 255], "dark": [22, 24, 29]}
TEXT = "مرحبا بالعالم 👩‍🚀 " + "</script>" * 20
# What is cut off by the right edge, but for what is in a table or drawing, which scrolls or is scaled on its own.
OVERFLOWING = """() => [...document.querySelectorAll("body *")]
  .filter((element) => !element.parentElement.closest(".scroll, svg"))
  .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((element) => element.outerHTML.slice(0, 200))"""
# A screenshot's first pixel, and how many colours it has.
PIXELS = """async (png) => {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], {type: "image/png"}));
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
  context.drawImage(image, 0, 0);
  const data = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
  return {first: [data[0] & 255, data[0] >> 8 & 255, data[0] >> 16 & 255], colours: new Set(data).size};
}"""


@pytest.fixture(scope="module")
def url(kept_project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    with filled_warehouse(kept_project, folder) as opened:
        report = gather(opened.store)
    crowd = SpaceMap("first", 5000, list(crowd_of(5000)), (0.5, 0.25))
    alone = SpaceMap("second", 1, [replace(crowd.points[0], x=0.0, y=0.0, title=None, content=TEXT)], (0.0, 0.0))
    for name, shown in (("report", report), ("maps", replace(report, maps=[crowd, alone]))):
        (folder / f"{name}.html").write_text(report_page.render(shown), encoding="utf-8")
    return (folder / "report.html").as_uri()


def crowd_of(count):
    """Chunks on a spiral, so that none hides another."""
    for i in range(count):
        angle, radius = 2.4 * i, i**0.5
        place = {"x": radius * math.cos(angle), "y": radius * math.sin(angle)}
        yield MapPoint(f"{i:064}", f"page:{i}", f"type {i % 9}", f"Title {i}", i, f"text {i}", **place)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM)
        yield launched
        launched.close()


@pytest.fixture
def opened(browser, url):
    """Opens the page in a context of these options; afterwards, it must have asked for nothing and complained of
    nothing."""
    contexts, told, requests, opened_urls = [], [], [], set()

    def open_page(page_url=url, **options):
        opened_urls.add(page_url)
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("dialog", lambda dialog: told.append(dialog.message))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_url)
        return page

    yield open_page
    assert told == []
    assert set(requests) == opened_urls
    for context in contexts:
        context.close()


def looks(browser, png):
    """The screenshot's pixels, read in another page, as the report's own may load nothing."""
    page = browser.new_page()
    try:
        return page.evaluate(PIXELS, base64.b64encode(png).decode("ascii"))
    finally:
        page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE, SMALL_PHONE], ids=["desktop", "phone", "small-phone"])
def test_it_is_drawn_in_its_theme_and_does_not_overflow(browser, opened, theme, screen):
    page = opened(viewport=screen, color_scheme=theme)
    assert page.evaluate("document.documentElement.scrollWidth") == screen["width"]
    assert page.evaluate(OVERFLOWING) == []
    for section in ("coverage", "queue", "quality", "drift", "queries", "maps"):
        found = page.locator(f"#{section}")
        assert found.bounding_box()["width"] <= screen["width"]
    seen = looks(browser, page.screenshot(full_page=True))
    assert seen["first"] == GROUND[theme]
    assert seen["colours"] > 100


@pytest.mark.parametrize("screen", [PHONE, SMALL_PHONE], ids=["phone", "small-phone"])
def test_on_a_phone_long_rows_are_paragraphs_that_name_their_columns(opened, screen):
    page = opened(viewport=screen)
    tables = page.locator(".stacked")
    assert tables.count() >= 5
    assert page.evaluate(
        "[...document.querySelectorAll('.stacked')].filter((each) => each.scrollWidth > each.clientWidth).length"
    ) == 0  # fmt: skip
    for label in ("Slowest searches", "Jobs that were given up"):
        table = page.get_by_role("region", name=label)
        headings = table.locator("thead th").all_text_contents()
        assert not table.locator("thead").is_visible()
        for cell, heading in zip(table.locator("tbody tr").first.locator("td").all(), headings, strict=True):
            if cell.text_content().strip():
                told = cell.evaluate("(cell) => getComputedStyle(cell, '::before').content")
                assert told == f'"{heading} "'


def test_without_scripts_a_phone_scrolls_the_tables(opened):
    page = opened(viewport=PHONE, java_script_enabled=False)
    table = page.get_by_role("region", name="Slowest searches")
    assert table.locator("thead").is_visible()
    assert page.evaluate(OVERFLOWING) == []


def test_texts_stay_texts(opened):
    page = opened()
    assert page.evaluate("window.broken") is None
    assert page.locator("img, iframe, object").count() == 0
    assert page.get_by_text(HOSTILE[:60]).count() > 0


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


def first_map(page):
    figure = page.locator("figure.map").first
    plane = figure.locator(".plane")
    plane.scroll_into_view_if_needed()
    return plane, figure.locator(".reading")


def centre(path):
    box = path.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("way", ["hover", "tap"])
def test_a_chunk_that_is_pointed_at_is_read(opened, way):
    touch = way == "tap"
    page = opened(viewport=PHONE if touch else DESKTOP, has_touch=touch, is_mobile=touch)
    plane, reading = first_map(page)
    before = reading.inner_text()
    at = centre(plane.locator("path").nth(17))
    page.touchscreen.tap(*at) if touch else page.mouse.move(*at)
    assert "chunk" in reading.inner_text()
    assert reading.inner_text() != before
    assert centre(plane.locator(".chosen")) == pytest.approx(at, abs=5)


def test_a_map_can_be_walked_with_the_keyboard(opened):
    page = opened(viewport=DESKTOP)
    plane, reading = first_map(page)
    plane.focus()
    page.keyboard.press("ArrowRight")
    texts, places = [reading.inner_text()], [centre(plane.locator(".chosen"))]
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        texts.append(reading.inner_text())
        places.append(centre(plane.locator(".chosen")))
    assert len(set(texts)) == 5
    assert [x for x, _ in places] == sorted({x for x, _ in places})
    page.keyboard.press("ArrowUp")
    assert centre(plane.locator(".chosen"))[1] < places[-1][1]


def test_a_map_of_thousands_is_read_point_by_point(opened, url):
    page = opened(url.replace("report.html", "maps.html"), viewport=DESKTOP)
    plane, reading = first_map(page)
    for number in (0, 17, 4999):
        at = centre(plane.locator("path").nth(number))
        page.mouse.move(*at)
        assert (
            reading.inner_text().split()
            == f"Title {number} · page:{number}, chunk {number} (type {number % 9}) text {number}".split()
        )  # noqa: E501
        assert centre(plane.locator(".chosen")) == pytest.approx(at, abs=2)


def test_a_lone_chunk_is_read_with_the_keyboard(opened, url):
    page = opened(url.replace("report.html", "maps.html"), viewport=PHONE)
    figure = page.locator("figure.map").nth(1)
    assert "all in one place" in figure.locator("figcaption").inner_text()
    figure.locator(".plane").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert "page:0, chunk 0" in figure.locator(".reading b").inner_text()
    assert figure.locator(".reading bdi").inner_text() == TEXT
    assert page.evaluate(OVERFLOWING) == []


def test_one_space_can_be_shown(opened):
    page = opened(viewport=DESKTOP)
    page.get_by_label("Show").select_option("second")
    assert page.locator("figure.map:visible figcaption b").all_inner_texts() == ["second"]
    assert set(page.locator("#coverage tbody tr:visible th").all_inner_texts()) == {"second"}
    assert page.locator("#drift article:visible").count() == 1
    page.get_by_label("Show").select_option("all spaces")
    assert page.locator("figure.map:visible").count() == 3


def test_it_is_of_use_without_scripts(opened):
    page = opened(viewport=DESKTOP, java_script_enabled=False)
    assert page.locator("#coverage table").is_visible()
    assert not page.locator("#space").is_visible()
    assert page.locator("figure.map .plane path title").count() > 400  # the browser shows them as tooltips
    assert not page.get_by_text("Point at a chunk").first.is_visible()


def test_paper_is_white(opened):
    page = opened(viewport=DESKTOP, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert len(page.pdf()) > 50_000


def test_paper_cuts_no_number_and_no_table(opened):
    page = opened(viewport=PAPER)
    page.emulate_media(media="print")
    broken = """() => [...document.querySelectorAll("td.n")]
      .filter((cell) => { const range = document.createRange(); range.selectNodeContents(cell);
        return new Set([...range.getClientRects()].map((line) => Math.round(line.bottom))).size > 1; })
      .map((cell) => cell.textContent)"""
    assert page.evaluate(broken) == []
    assert page.evaluate(
        "[...document.querySelectorAll('table')].filter((each) => each.offsetWidth > innerWidth).length"
    ) == 0  # fmt: skip
    assert page.locator(".stacked thead").first.is_visible()
