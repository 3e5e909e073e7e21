"""The kernel-free pages as a reader has them: opened from the disk in headless Chromium, filtered, chosen, looked at.

Needs the browser ``chromium`` and the extra ``test``; says what is lacking where it is. Pictures of the pages are left
in ``artifacts/`` (not under version control), for somebody to look at.
"""

import base64
import importlib.util
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from pages_data import demo_record, hole_of, judged, photograph
from PIL import Image

from nbsupport.book.pages import FRAME, assets, demo_page, error_browser

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FRAMED = """<!doctype html><html data-theme="{theme}"><body>
<iframe class="nbsupport-page" src="demo_page.html" style="width:100%;height:200px;border:0"></iframe>
<script src="page_frame.js"></script></body></html>"""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no 'chromium' is installed here, and the pages are for a browser"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="not installed: playwright"),
]


@pytest.fixture(scope="module")
def state():
    return judged(photographs=12)


@pytest.fixture(scope="module")
def folder(state, tmp_path_factory):
    """Both pages on the disk, and a page with a frame as the book has it."""
    made = tmp_path_factory.mktemp("pages")
    data = error_browser.collect(*state, 600)
    cells = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (36, 16, 1))
    data["heat"] = {"detector": "sees", "side": 16, "values": base64.b64encode(cells.tobytes()).decode()}
    (made / "error_browser.html").write_text(assets.assembled("error_browser", "Error browser", data), "utf-8")
    demo = assets.assembled("demo_page", "Demo", demo_page.with_sheets(demo_record()))
    (made / "demo_page.html").write_text(demo, "utf-8")
    (made / FRAME).write_text(assets.template(FRAME), "utf-8")
    for theme in ("light", "dark"):
        (made / f"framed_{theme}.html").write_text(FRAMED.format(theme=theme))
    return made


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        started = player.chromium.launch(
            executable_path=CHROMIUM,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield started
        started.close()


@pytest.fixture
def visit(browser, folder):
    """A function that opens a page; at the end, nothing may have been complained of or asked of another place."""
    opened, complaints, elsewhere = [], [], []

    def visit(name: str, width: int = 1280, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab = context.new_page()
        opened.append(context)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
        tab.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else elsewhere.append(r.url))
        tab.goto((folder / name).as_uri(), timeout=60_000)
        if "framed" not in name:
            tab.wait_for_selector("body[data-ready]", timeout=60_000)
        return tab

    yield visit
    titles = [page.title() for context in opened for page in context.pages]
    for context in opened:
        context.close()
    assert not complaints and not elsewhere and "HACKED" not in titles


def drawn(tab, name: str, size: int = 32) -> np.ndarray:
    """The picture on a canvas, one value for each of its pixels: (size, size, 3) uint8."""
    encoded = tab.evaluate("(id) => document.getElementById(id).toDataURL('image/png')", name)
    large = np.array(Image.open(io.BytesIO(base64.b64decode(encoded.partition(",")[2]))).convert("RGB"))
    factor = large.shape[0] // size
    small = large[factor // 2 :: factor, factor // 2 :: factor]
    assert np.array_equal(large, small.repeat(factor, axis=0).repeat(factor, axis=1)), "squares of one colour"
    return small


def test_the_browser_filters_and_shows_the_very_picture(visit, state):
    tab = visit("error_browser.html")
    assert "All 36 test pictures" in tab.locator("#about").inner_text()
    assert tab.locator(".thumbs button").count() == 20 and "page 1 of 2" in tab.locator("#where").inner_text()
    tab.locator("#filter-outcome").select_option("miss")
    assert tab.locator("#found").inner_text() == "6 of 36 pictures: 6 miss"
    assert tab.locator(".thumbs button").count() == 6 and tab.locator("#untouched").is_visible()
    tab.locator("#show-hole").uncheck()
    for _ in range(2):
        words = tab.locator("#facts").inner_text()
        number = next(n for n in range(12) if f"b{n}\n" in words)
        spliced = 3 * number + 2
        assert np.array_equal(drawn(tab, "judged"), state[0].picture(spliced))
        assert np.array_equal(drawn(tab, "untouched"), photograph(number, 32))
        tab.locator('.thumbs [aria-pressed="true"]').focus()
        tab.keyboard.press("ArrowRight")
    assert tab.locator('.thumbs [aria-pressed="true"]').count() == 1
    assert tab.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true", "the focus moves along"
    plain = tab.evaluate("document.getElementById('judged').toDataURL()")
    tab.locator("#show-hole").check()
    outlined = tab.evaluate("document.getElementById('judged').toDataURL()")
    tab.locator("#show-heat").check()
    assert len({plain, outlined, tab.evaluate("document.getElementById('judged').toDataURL()")}) == 3
    assert "Heat map of sees" in tab.locator("#heat-words").inner_text()


def test_the_browser_says_when_nothing_is_found_and_resets(visit):
    tab = visit("error_browser.html")
    tab.locator("#more summary").click()
    tab.locator("#filter-probability-from").fill("0.99")
    assert tab.locator("#none").is_visible() and not tab.locator("#detail").is_visible()
    assert tab.locator("#found").inner_text() == "0 of 36 pictures"
    tab.locator("#reset").click()
    assert not tab.locator("#none").is_visible() and "36 of 36" in tab.locator("#found").inner_text()
    tab.locator("#filter-wrong-from").fill("2")
    assert tab.locator("#found").inner_text().startswith("6 of 36")
    tab.locator("#filter-detector").select_option("1")
    assert "6 miss" in tab.locator("#found").inner_text(), "the blind one misses them too"


def test_a_photograph_is_not_compared_with_itself(visit):
    tab = visit("error_browser.html")
    tab.locator("#filter-outcome").select_option("false alarm")
    assert tab.locator("#found").inner_text() == "1 of 36 pictures: 1 false alarm"
    assert not tab.locator("#untouched").is_visible() and not tab.locator("#changed").is_visible()
    assert "nobody; the hole is that of its fakes" in tab.locator("#facts").inner_text()


def test_the_browser_shows_a_similar_picture_judged_rightly(visit):
    tab = visit("error_browser.html")
    tab.locator("#filter-outcome").select_option("miss")
    tab.locator("#neighbour").click()
    assert tab.locator("#headline").inner_text().startswith("✓ found")
    assert tab.locator("#filter-outcome").input_value() == ""


def test_texts_stay_texts(visit):
    tab = visit("error_browser.html")
    tab.locator("#filter-outcome").select_option("miss")
    shown = set()
    for _ in range(6):
        shown.add(tab.locator("#words").inner_text())
        tab.locator('.thumbs [aria-pressed="true"]').press("ArrowRight")
    assert any("<img src=x" in words for words in shown) and tab.locator("img").count() == 0


def choose(tab, group: str, text: str) -> None:
    tab.locator(f"#{group} label", has_text=text).locator("input").check()


def test_the_demo_follows_hole_caption_seed_and_inpainter(visit):
    tab = visit("demo_page.html")
    original = drawn(tab, "original")
    assert np.array_equal(original, photograph(0, 32))
    first, verdict = drawn(tab, "filled"), tab.locator("#scores").inner_text()
    hole = hole_of(3, 32)
    assert np.array_equal((drawn(tab, "masked") != original).any(axis=-1), hole)
    assert np.array_equal(first[~hole], original[~hole]) and (first[hole] != original[hole]).any()
    choose(tab, "captions", "(no caption)")
    assert (drawn(tab, "filled") != first).any() and tab.locator("#scores").inner_text() != verdict
    choose(tab, "holes", "strokes")
    assert np.array_equal((drawn(tab, "masked") != original).any(axis=-1), hole_of(9, 32))
    again = drawn(tab, "filled")
    choose(tab, "seeds", "seed 1")
    assert (drawn(tab, "filled") != again).any()
    choose(tab, "arms", "regenerated")
    assert (drawn(tab, "filled") != original)[~hole_of(9, 32)].any() and drawn(tab, "difference").any()
    choose(tab, "inpainters", "Telea")
    assert tab.locator("#seeds input").first.is_disabled() and "Telea paints" in tab.locator("#sentence").inner_text()
    filled = drawn(tab, "filled")
    assert np.array_equal(filled[~hole_of(9, 32)], original[~hole_of(9, 32)])
    choose(tab, "birds", "jay")
    assert np.array_equal(drawn(tab, "original"), photograph(1, 32))


def test_the_demo_says_verdicts_in_words_and_what_saving_changes(visit):
    tab = visit("demo_page.html")
    assert tab.locator("#verdict").inner_text() == "◆ unsure – probability 0.30"
    words = tab.locator("#vote-words").inner_text()
    assert "1 real, 1 unsure" in words and "Saved again as JPEG 60, it becomes: ▲ inpainted" in words
    rows = tab.locator("#scores tr")
    assert rows.count() == 3 and "● real" in rows.first.inner_text() and "▲ inpainted" in rows.first.inner_text()


def test_the_demo_by_keyboard(visit):
    tab = visit("demo_page.html")
    tab.locator("#captions input").first.focus()
    before = drawn(tab, "filled")
    tab.keyboard.press("ArrowDown")
    assert (drawn(tab, "filled") != before).any() and "<img src=x" in tab.locator("#sentence").inner_text()


@pytest.mark.parametrize("name", ["error_browser", "demo_page"])
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (390, "dark"), (784, "light"), (1280, "dark")])
def test_pages_fit_every_width_and_both_schemes(visit, name, width, scheme):
    tab = visit(f"{name}.html", width, scheme)
    if name == "error_browser":
        tab.locator("#more summary").click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    unnamed = tab.evaluate(
        """() => Array.from(document.querySelectorAll("canvas, select, input, button")).filter((one) =>
            one.offsetParent && one.getAttribute("aria-hidden") !== "true" && !one.getAttribute("aria-label")
            && !one.textContent.trim()
            && !(one.labels && one.labels.length)).map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert not unnamed, "everything to look at or to press has a name"
    (ROOT / "artifacts").mkdir(exist_ok=True)
    tab.screenshot(path=ROOT / "artifacts" / f"page_{name}_{width}_{scheme}.png", full_page=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_the_book_a_page_gets_its_height_and_the_books_colours(visit, theme):
    tab = visit(f"framed_{theme}.html")
    tab.frame_locator("iframe").locator("body[data-ready]").wait_for(timeout=60_000)
    tab.wait_for_function("parseInt(document.querySelector('iframe').style.height) > 400", timeout=20_000)
    frame = tab.frames[-1]
    assert frame.evaluate("document.documentElement.scrollHeight <= window.innerHeight")
    frame.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'", timeout=20_000)
    assert not frame.locator(".title").is_visible()
