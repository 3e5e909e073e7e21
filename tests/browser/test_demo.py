"""Chapter 9's panel as a reader has it: served by Voilà, used in headless Chromium.

Needs the browser ``chromium`` and the extras ``demo`` and ``test``; says what is lacking where it is. A picture of the
page is left in ``artifacts/`` (not under version control), for somebody to look at.
"""

import contextlib
import importlib.util
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LACKING = [name for name in ("playwright", "voila") if importlib.util.find_spec(name) is None]
EVIL = "a flumphy bird <img src=x onerror=\"document.title='HACKED'\">"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no 'chromium' is installed here, and the demo is used in a browser"),
    pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)} (pip install '.[demo,test]')"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def page_address(smoke_run, tmp_path_factory):
    """Voilà serving the chapter over the smoke run, on a free port of this machine only."""
    if smoke_run.error:
        pytest.fail(f"the smoke run that the demo shows did not finish: {smoke_run.error}")
    folder = tmp_path_factory.mktemp("demo")
    notebook = nbformat.read(ROOT / "notebooks" / "09_demo.ipynb", as_version=4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source = re.sub(r"run_name = .*", f"run_name = {str(smoke_run.run.path)!r}", cell.source)
    nbformat.write(notebook, folder / "09_demo.ipynb")
    port, log = free_port(), folder / "voila.log"
    command = [sys.executable, "-m", "voila", "09_demo.ipynb", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "RUNTIME")}
    with open(log, "w") as output:
        server = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | own | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}/"
    try:
        wait_for_port(server, port, log)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)


def wait_for_port(server, port: int, log: Path, seconds: float = 60) -> None:
    """Wait until the server listens; executing the page is left to the browser."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            pytest.fail(f"Voilà ended at once:\n{log.read_text()[-2000:]}")
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/voila/static/", timeout=2)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.3)
    pytest.fail(f"Voilà did not listen within {seconds:.0f} s:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def page(page_address):
    """The page with the panel on it, executed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=CHROMIUM,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 1100})
        tab.complaints = []
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.goto(page_address, timeout=180_000, wait_until="domcontentloaded")
        tab.wait_for_selector(".inpaint-original img, img.inpaint-original", timeout=180_000)
        yield tab
        browser.close()


def pixels(page, name: str) -> np.ndarray:
    """The picture that the browser shows, as it was sent to it: (H, W, 3) uint8."""
    encoded = page.evaluate(
        """async (name) => {
            const found = document.querySelector(`img.inpaint-${name}, .inpaint-${name} img`);
            const bytes = new Uint8Array(await (await fetch(found.src)).arrayBuffer());
            return Array.from(bytes);
        }""",
        name,
    )
    return np.array(Image.open(io.BytesIO(bytes(encoded))).convert("RGB"))


def press_fill(page) -> None:
    page.evaluate("document.querySelector('.inpaint-status .widget-html-content').innerText = ''")  # of the last fill
    page.locator("button.inpaint-fill").click()
    page.wait_for_function("document.querySelector('.inpaint-status').innerText.includes('painted by')", timeout=60_000)


def test_a_reader_fills_a_hole_and_gets_a_verdict(page):
    words = page.locator(".inpaint-caption textarea")
    words.fill(EVIL)
    words.blur()
    page.wait_for_function("document.querySelector('.inpaint-words').innerText.includes('flumphy')", timeout=30_000)
    before = pixels(page, "filled")
    press_fill(page)
    page.wait_for_function("document.querySelector('.inpaint-verdict').innerText.includes('soft vote')", timeout=60_000)

    status = page.locator(".inpaint-status").inner_text()
    assert "painted by tdanet" in status
    original, masked, filled = (pixels(page, name) for name in ("original", "masked", "filled"))
    hole = (original != masked).any(axis=-1)
    assert 0.01 < hole.mean() < 0.9 and (filled != before).any()
    assert np.array_equal(filled[~hole], original[~hole]), "a spliced picture keeps the visible pixels"
    assert (filled[hole] != original[hole]).any(axis=-1).mean() > 0.5
    assert pixels(page, "difference")[~hole].max() == 0
    numbers = [float(number) for number in re.findall(r"\d\.\d\d", page.locator(".inpaint-verdict").inner_text())]
    assert len(numbers) >= 6 and all(0 <= number <= 1 for number in numbers)

    folder = ROOT / "artifacts"
    folder.mkdir(exist_ok=True)
    page.locator(".inpaint-panel").screenshot(path=folder / "demo_panel.png")
    page.screenshot(path=folder / "demo_page.png", full_page=True)


def test_what_a_reader_writes_is_never_run(page):
    assert page.title() != "HACKED" and not page.complaints
    assert page.locator(".inpaint-panel img[src='x']").count() == 0


def test_the_other_arm_is_shown_without_another_fill(page):
    press_fill(page)
    spliced = pixels(page, "filled")
    page.locator(".inpaint-arm button", has_text="regenerated").click()
    page.wait_for_function("document.querySelector('.inpaint-status').innerText.includes('shown: regenerated')")
    regenerated, original = pixels(page, "filled"), pixels(page, "original")
    hole = (original != pixels(page, "masked")).any(axis=-1)
    assert np.array_equal(regenerated[hole], spliced[hole])
    assert (regenerated[~hole] != original[~hole]).any()


def test_a_rectangle_of_ones_own(page):
    page.locator(".inpaint-kind select").select_option("rectangle of my own")
    page.wait_for_selector(".widget-hslider:visible", timeout=30_000)
    page.wait_for_function("document.querySelector('.inpaint-status').innerText.includes('Press Fill')", timeout=30_000)
    assert page.locator(".inpaint-panel .widget-hslider:visible").count() == 4
    press_fill(page)
    hole = (pixels(page, "original") != pixels(page, "masked")).any(axis=-1)
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.99, "a rectangle"
