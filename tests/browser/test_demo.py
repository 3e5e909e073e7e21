"""The demo as a reader has it: ``python -m nbsupport demo`` in headless Chromium.

Needs the browser ``chromium`` and the extras ``demo`` and ``test``; says what is lacking where it is. Pictures of the
page are left in ``artifacts/`` (not under version control), for somebody to look at. ``NBSUPPORT_DEMO_RUN``: a finished
run to use in place of the session's smoke run.
"""

import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import zipfile
from base64 import b64decode
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LACKING = [name for name in ("playwright", "voila", "ipycanvas") if importlib.util.find_spec(name) is None]
EVIL = "a flumphy bird <img src=x onerror=\"document.title='HACKED'\">"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FILL_SECONDS, VERDICT_SECONDS = 2.0, 1.0

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no 'chromium' is installed here, and the demo is used in a browser"),
    pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)} (pip install '.[demo,test]')"),
]


class Server:
    """The command, running; `link` is what it printed."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "RUNTIME")}
        command = [sys.executable, "-m", "nbsupport", "demo", "--no-browser", *arguments]
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env=os.environ | own | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )  # fmt: skip
        self.lines: list[str] = []
        self.said = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        if not self.said.wait(60):
            self.stop()
            pytest.fail("The demo printed no link:\n" + "\n".join(self.lines))
        self.link = re.search(r"http://\S+", "\n".join(self.lines))[0]

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if "http://127.0.0.1" in line:
                self.said.set()

    def stop(self) -> int:
        """What Ctrl-C does; returns the exit code."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    given = os.environ.get("NBSUPPORT_DEMO_RUN")
    if given is None:
        smoke = request.getfixturevalue("smoke_run")
        if smoke.error:
            pytest.fail(f"the smoke run that the demo shows did not finish: {smoke.error}")
        given = str(smoke.run.path)
    kind = Path(given) / "checkpoints/kind/kind.json"  # of a run this small one picture in twenty is "of another kind":
    held = kind.read_text() if kind.exists() else ""  # which one is chance, so here all are known
    if held:
        kind.write_text(json.dumps(json.loads(held) | {"threshold": 1e9}))
    running = Server(tmp_path_factory.mktemp("demo"), "--run", given)
    yield running
    running.stop()
    if held:
        kind.write_text(held)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same without a run."""
    running = Server(tmp_path_factory.mktemp("alone"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        opened = player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def open_page(browser, link: str, seconds: float = 90):
    """A page that begins to load; `page.complaints`: scripts' errors, `page.asked`: hosts asked."""
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    page.complaints, page.asked = [], set()
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.asked.add(urllib.parse.urlsplit(request.url).hostname))
    end = time.monotonic() + seconds
    while True:  # the link is printed just before the server listens
        try:
            page.goto(link, timeout=seconds * 1000, wait_until="commit")
            break
        except Exception:
            if time.monotonic() > end:
                raise
            page.wait_for_timeout(300)
    return page


@pytest.fixture(scope="module")
def pages(browser, server, alone):
    """Two readers' pages over the run and one without a run, begun together, each with its networks loaded."""
    opened = [open_page(browser, link) for link in (server.link, server.link, alone.link)]
    for one in opened:
        one.wait_for_selector(".inpaint-canvas", timeout=120_000)
        shows(one, "demo-using", "No trained detectors came|Detectors of", 120)
    return opened


@pytest.fixture(scope="module")
def page(pages):
    return pages[0]


def shows(page, name: str, pattern: str, seconds: float = 20) -> str:
    """Wait until the text of an element matches; the text."""
    page.wait_for_function(
        "([name, pattern]) => new RegExp(pattern).test((document.querySelector('.' + name) || {}).innerText || '')",
        arg=[name, pattern], timeout=seconds * 1000,
    )  # fmt: skip
    return page.locator(f".{name}").first.inner_text()


def pixels(page, name: str) -> np.ndarray:
    """The picture that the browser shows, as it was sent to it: (H, W, 3) uint8."""
    encoded = page.evaluate(
        """async (name) => {
            const found = document.querySelector(`img.${name}, .${name} img`);
            const bytes = new Uint8Array(await (await fetch(found.src)).arrayBuffer());
            return Array.from(bytes);
        }""",
        name,
    )
    return np.array(Image.open(io.BytesIO(bytes(encoded))).convert("RGB"))


def show_tab(page, name: str) -> None:
    page.locator(".lm-TabBar-tab", has_text=name).click()


def drag(page, *points: tuple[float, float]) -> None:
    """Drag over the surface; points are shares of its width and height."""
    box = page.locator(".inpaint-canvas").first.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def press(page, name: str) -> None:
    page.locator(f"button.inpaint-{name}").click()


def fill(page) -> float:
    """Press Fill and wait for the paint; seconds."""
    text = page.locator(".inpaint-status").inner_text()
    page.fills = getattr(page, "fills", 0) + 1
    begin = time.perf_counter()
    press(page, "fill")
    shows(page, "inpaint-status", rf"Fill {page.fills}: .* painted by", 30)
    assert f"Fill {page.fills}:" not in text
    return time.perf_counter() - begin


def upload(page, name: str, data: bytes, where: str = "inpaint-upload", kind: str = "image/png") -> None:
    with page.expect_file_chooser() as chooser:
        page.locator(f".{where}").first.click()
    chooser.value.set_files({"name": name, "mimeType": kind, "buffer": data})


def hole(page) -> np.ndarray:
    return (pixels(page, "inpaint-original") != pixels(page, "inpaint-masked")).any(axis=-1)


def keep(page, name: str) -> None:
    """Leave a picture of the page in artifacts/, at both widths."""
    folder = ROOT / "artifacts"
    folder.mkdir(exist_ok=True)
    for width in (800, 1280):
        page.set_viewport_size({"width": width, "height": 1400})
        page.wait_for_timeout(200)
        page.screenshot(path=folder / f"{name}_{width}.png")


def test_a_reader_paints_a_hole_and_has_it_filled(page, record_property):
    shows(page, "inpaint-coverage", "No hole yet")
    drag(page, (0.4, 0.4), (0.6, 0.5), (0.5, 0.6))
    assert float(re.search(r"covers ([\d.]+)%", shows(page, "inpaint-coverage", "covers"))[1]) > 1
    words = page.locator(".inpaint-caption textarea")
    words.fill(EVIL)
    words.blur()
    assert "flumphy" in shows(page, "inpaint-words", "do not|does not know")
    before = pixels(page, "inpaint-filled")
    first, second = fill(page), fill(page)
    print(f"first fill shown after {first:.2f} s, second {second:.2f} s")
    assert first < FILL_SECONDS
    original, filled, painted = pixels(page, "inpaint-original"), pixels(page, "inpaint-filled"), hole(page)
    assert 0.01 < painted.mean() < 0.9 and (filled.shape != before.shape or (filled != before).any())
    assert np.array_equal(filled[~painted], original[~painted]), "a spliced picture keeps the visible pixels"
    assert (filled[painted] != original[painted]).any(axis=-1).mean() > 0.5
    assert pixels(page, "inpaint-difference")[~painted].max() == 0
    shows(page, "inpaint-verdict", "soft vote")
    assert "crest" not in shows(page, "inpaint-words-kept", "left to paint")
    keep(page, "demo_paint")


def test_what_a_reader_writes_is_never_run(page):
    assert page.title() != "HACKED"
    assert EVIL in page.locator(".inpaint-said").inner_text()
    assert page.locator("img[src='x']").count() == 0


def test_the_other_arm_is_shown_without_another_fill(page):
    spliced = pixels(page, "inpaint-filled")
    page.locator(".inpaint-arm button", has_text="regenerated").click()
    shows(page, "inpaint-status", "shown: regenerated")
    regenerated, original, painted = pixels(page, "inpaint-filled"), pixels(page, "inpaint-original"), hole(page)
    assert np.array_equal(regenerated[painted], spliced[painted])
    assert (regenerated[~painted] != original[~painted]).any()
    page.locator(".inpaint-arm button", has_text="spliced").click()
    shows(page, "inpaint-status", "shown: spliced")


def saved(page) -> tuple[dict, np.ndarray]:
    """The record and the mask of the zip that the page offers."""
    link = page.locator(".inpaint-save a").get_attribute("href")
    with zipfile.ZipFile(io.BytesIO(b64decode(link.split("base64,")[1]))) as container:
        record = json.loads(container.read("provenance.json"))
        return record, np.array(Image.open(io.BytesIO(container.read("mask.png"))))


def test_the_zip_holds_the_pictures_and_where_they_came_from(page):
    for _ in range(40):  # the link follows the verdict
        record, mask = saved(page)
        if "spliced" in record["verdicts"]:
            break
        page.wait_for_timeout(100)
    assert record["caption"] == EVIL and record["inpainter"] == "tdanet" and len(record["weights"]["sha256"]) == 64
    assert record["mask"]["coverage"] == pytest.approx((mask == 255).mean())
    assert "soft_vote" in record["verdicts"]["spliced"] and "torch" in record["versions"]


def test_the_detectors_say_what_they_think(page):
    begin = time.perf_counter()
    show_tab(page, "Detect")
    said = shows(page, "detect-predictions", "Together the detectors say: (real|unsure|inpainted)")
    seconds = time.perf_counter() - begin
    print(f"verdict shown after {seconds:.2f} s")
    assert seconds < VERDICT_SECONDS
    assert re.search(r"soft vote\s+(real|unsure|inpainted)\s+[01]\.\d\d", said)
    sweep = shows(page, "detect-sweep", "jpeg 60")
    assert all(step in sweep for step in ("as it is", "jpeg 30", "webp 80", "resize 0.5"))
    assert re.search(r"verdict (changes|survives)", sweep)
    assert "intersection over union" in shows(page, "detect-overlap", "overlap")
    assert pixels(page, "detect-heat").std() > 1 and page.locator("text=What this cannot tell you").is_visible()
    page.locator(".detect-source button", has_text="untouched").click()
    shows(page, "detect-message", "untouched")
    keep(page, "demo_detect")
    page.locator(".detect-source button", has_text="spliced").click()
    show_tab(page, "Paint")


def test_steps_are_taken_back_and_again(page):
    def covers() -> float:
        return float((re.search(r"covers ([\d.]+)%", page.locator(".inpaint-coverage").inner_text()) or [0, 0])[1])

    before = covers()
    drag(page, (0.1, 0.1), (0.2, 0.1))
    page.wait_for_function(f"!document.querySelector('.inpaint-coverage').innerText.includes('covers {before}%')")
    after = covers()
    assert after > before
    for name, expected in (("undo", before), ("redo", after), ("invert", 100 - after), ("clear", 0), ("undo", None)):
        press(page, name)
        page.wait_for_timeout(400)
        if expected is not None:
            assert covers() == pytest.approx(expected, abs=0.11), name
    press(page, "clear")
    shows(page, "inpaint-coverage", "No hole yet")
    press(page, "fill")
    assert "no hole yet" in shows(page, "inpaint-message", "hole")


def test_a_rectangle_a_part_and_an_eraser(page):
    page.locator(".inpaint-tool button", has_text="rectangle").click()
    drag(page, (0.25, 0.25), (0.5, 0.75))
    shows(page, "inpaint-coverage", r"covers 1[23]\.\d%")
    page.wait_for_timeout(300)
    painted = hole(page)
    rows, columns = np.flatnonzero(painted.any(axis=1)), np.flatnonzero(painted.any(axis=0))
    assert painted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all(), "a rectangle"
    page.locator(".inpaint-tool button", has_text="eraser").click()
    drag(page, (0.3, 0.3), (0.45, 0.7))
    page.wait_for_timeout(400)
    assert 0 < hole(page).sum() < painted.sum()
    press(page, "clear")
    shows(page, "inpaint-coverage", "No hole yet")
    choices = page.locator(".inpaint-ready select option").all_text_contents()
    part = next(number for number, choice in enumerate(choices) if choice.startswith("part:"))
    page.locator(".inpaint-ready select").select_option(index=part)
    shows(page, "inpaint-coverage", "covers")
    page.locator(".inpaint-tool button", has_text="brush").click()


def test_several_samples_stand_side_by_side(page):
    page.locator(".inpaint-samples input").fill("3")
    page.locator(".inpaint-samples input").blur()
    page.locator(".inpaint-seed input").fill("5")
    page.locator(".inpaint-seed input").blur()
    fill(page)
    buttons = page.locator(".inpaint-others button:visible")
    assert buttons.all_inner_texts() == ["seed 5", "seed 6", "seed 7"]
    first = pixels(page, "inpaint-filled")
    buttons.nth(2).click()
    shows(page, "inpaint-status", "seed 7")
    assert (pixels(page, "inpaint-filled") != first).any()


def photograph(width: int, height: int) -> Image.Image:
    coarse = np.random.default_rng(2).uniform(30, 220, (5, 6, 3))
    large = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return Image.fromarray(large.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_good_files_are_taken_whatever_they_are(page):
    grey = Image.fromarray((np.arange(120 * 90, dtype=np.uint16) * 6).reshape(90, 120))
    good = {
        "cmyk.jpg": encoded(photograph(200, 150).convert("CMYK"), "JPEG"),
        "sixteen.png": encoded(grey),
        "<img src=x onerror=alert(1)>.gif": encoded(photograph(90, 90), "GIF", save_all=True,
                                                    append_images=[photograph(90, 90).rotate(90)]),
        "holiday.jpg": encoded(photograph(900, 600), "JPEG"),
    }  # fmt: skip
    for name, data in good.items():
        upload(page, name, data)
        shows(page, "inpaint-message", f"Loaded {re.escape(name)}")
    shows(page, "inpaint-coverage", "No hole yet")
    drag(page, (0.5, 0.3), (0.6, 0.5))
    shows(page, "inpaint-coverage", "covers")
    fill(page)
    assert "larger than the network" in page.locator(".inpaint-status").inner_text()
    painted = hole(page)
    shown = pixels(page, "inpaint-filled"), pixels(page, "inpaint-original")
    inner = cv2.erode((~painted).astype(np.uint8), np.ones((5, 5))).astype(bool)  # the page shows them made smaller
    assert np.array_equal(shown[0][inner], shown[1][inner]) and (shown[0][painted] != shown[1][painted]).any()
    show_tab(page, "Detect")
    shows(page, "detect-panel", "Together|not a picture of the kind")
    keep(page, "demo_large")
    show_tab(page, "Paint")
    assert page.locator("img[src='x']").count() == 0


def bad_files() -> dict[str, bytes]:
    sys.path.insert(0, str(ROOT / "tests" / "unit"))
    try:
        from test_uploads import BAD
    finally:
        sys.path.pop(0)
    return {name: data for name, (data, _) in BAD.items()} | {"<img src=x onerror=alert(1)>.png": b"no picture"}


def test_bad_files_are_refused_with_a_sentence(page):
    before = pixels(page, "inpaint-original")
    bad = bad_files()
    assert len(bad) >= 10
    for name, data in bad.items():
        upload(page, name, data)
        told = shows(page, "inpaint-message", re.escape(f"'{name}'"))
        assert "cannot be used" in told or "0 bytes" in told, name
    assert np.array_equal(pixels(page, "inpaint-original"), before), "the picture before stays"
    assert page.title() != "HACKED" and page.locator(".inpaint-message script").count() == 0
    keep(page, "demo_refused")
    mask = np.zeros((30, 45), np.uint8)
    mask[10:20, 10:30] = 255
    upload(page, "mask.png", encoded(Image.fromarray(mask)), "inpaint-mask-upload")
    shows(page, "inpaint-coverage", r"covers 1\d\.\d%")


def test_a_file_is_judged_without_being_painted(page):
    show_tab(page, "Detect")
    page.locator(".detect-source button", has_text="a file of mine").click()
    assert "Choose a photograph" in shows(page, "detect-message", "Choose")
    upload(page, "mine.png", encoded(photograph(300, 200)), "detect-upload")
    shows(page, "detect-message", "Judged: mine.png")
    shows(page, "detect-sweep", "jpeg 60")
    assert "No painted hole is known" in shows(page, "detect-overlap", "hole")
    upload(page, "text.png", b"a text", "detect-upload")
    shows(page, "detect-message", "'text.png' cannot be used")
    show_tab(page, "Paint")


def test_two_readers_do_not_see_each_other(pages):
    page, other, _ = pages
    mine = page.locator(".inpaint-coverage").inner_text()
    shows(other, "inpaint-coverage", "No hole yet")
    drag(other, (0.2, 0.2), (0.8, 0.8))
    shows(other, "inpaint-coverage", "covers")
    fill(other)
    assert page.locator(".inpaint-coverage").inner_text() == mine
    assert pixels(other, "inpaint-original").shape != pixels(page, "inpaint-original").shape
    assert not other.complaints


def test_no_script_failed_and_no_other_host_was_asked(page):
    assert not page.complaints
    assert page.asked - {None} == {"127.0.0.1"}


def kernels(server) -> int:
    """Kernels that the server's process has started and that still run."""
    told = subprocess.run(["ps", "--ppid", str(server.process.pid), "-o", "args"], capture_output=True, text=True)
    return told.stdout.count("ipykernel")


def test_a_kernel_ends_with_its_page(browser, server, pages):
    before = kernels(server)
    extra = open_page(browser, server.link)
    extra.wait_for_selector(".inpaint-canvas", timeout=120_000)
    assert kernels(server) == before + 1
    extra.reload(wait_until="commit")
    extra.wait_for_selector(".inpaint-canvas", timeout=120_000)
    extra.close()
    for _ in range(50):
        if kernels(server) == before:
            break
        time.sleep(0.2)
    assert kernels(server) == before and not any("403" in line for line in server.lines)


def test_the_keyboard_leaves_the_canvas(page):
    page.evaluate("document.querySelector('.inpaint-canvas').focus()")
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.inpaint-canvas') === null")
    assert page.evaluate("document.activeElement !== document.body")


def test_a_narrow_window_and_a_dark_one(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    keep(page, "demo_narrow")
    page.set_viewport_size({"width": 1280, "height": 1400})
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 21, 21)"
    keep(page, "demo_dark")
    page.emulate_media(color_scheme="light")


def test_it_works_without_a_run_and_ends_cleanly(pages, server, alone):
    page = pages[2]
    assert "synthetic birds drawn" in page.locator(".demo-using").inner_text()
    drag(page, (0.3, 0.3), (0.6, 0.6))
    shows(page, "inpaint-coverage", "covers")
    fill(page)
    show_tab(page, "Detect")
    shows(page, "detect-panel", "Together the detectors say|No trained detectors")
    assert not page.complaints
    for one in (server, alone):
        assert one.stop() == 0
    page.wait_for_selector("#ended:not([hidden])", timeout=15_000)
    assert "server has stopped" in page.locator("#ended").inner_text()
    assert "The demo has ended." in server.lines
