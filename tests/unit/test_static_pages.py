"""The kernel-free pages hold the very pixels and numbers of the run, stay small, and cannot be broken out of."""

import base64
import io
import json
import re
import types

import numpy as np
import pytest
from pages_data import EVIL, demo_record, judged
from PIL import Image

from nbsupport import masks
from nbsupport.book import pages
from nbsupport.book.pages import assets, demo_page, error_browser
from nbsupport.config import DataConfig, MaskConfig
from nbsupport.core.errors import MissingStage, UserError
from nbsupport.data import index
from nbsupport.detectors import corruptions, heatmaps, predict
from nbsupport.inpainters import base, registry
from nbsupport.runs import Run, project_root
from nbsupport.stats.calibration import Band


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def picture(data: dict, number: int) -> np.ndarray:
    """As the page's script finds it."""
    sheets, (height, width) = data["sheets"], data["size"]
    source = sheets["sources"][number // sheets["each"]]
    sheet = np.array(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB"))
    place = number % sheets["each"]
    top, left = place // sheets["columns"] * height, place % sheets["columns"] * width
    return sheet[top : top + height, left : left + width]


def hole(data: dict, number: int) -> np.ndarray:
    height, width = data["size"]
    bits = np.unpackbits(np.frombuffer(base64.b64decode(data["holes"][number]), np.uint8), count=height * width)
    return bits.reshape(height, width).astype(bool)


def own_markup(page: str) -> str:
    """The page without its data: what a browser reads as HTML, style and script."""
    return re.sub(r'(<script type="application/json" id="data">).*?(</script>)', r"\1\2", page, flags=re.DOTALL)


# --- the error browser ---------------------------------------------------------------------------------------------


@pytest.fixture
def browsed():
    state, paired = judged()
    return state, error_browser.collect(state, paired, 600)


def test_every_picture_comes_back_bit_for_bit(browsed):
    state, data = browsed
    page = assets.assembled("error_browser", "Error browser", data)
    read = data_of(page)
    assert len(read["items"]) == len(state.pictures) == 30
    for item in read["items"]:
        if "splice" in item:
            outside, inside = (picture(read, number) for number in item["splice"])
            shown = base.splice(outside, inside, hole(read, item["hole"]))
        else:
            shown = picture(read, item["picture"])
        assert np.array_equal(shown, state.picture(item["number"])), item["id"]
        assert np.array_equal(picture(read, item["original"]), state.picture(item["number"] // 3 * 3))
    spliced = [item for item in read["items"] if item["arm"] == "spliced"]
    assert {item["id"]: "splice" in item for item in spliced} == {f"b{n}": n != 1 for n in range(10)}


def test_scores_and_neighbours_are_those_of_the_table(browsed):
    state, data = browsed
    assert [detector["ensemble"] for detector in data["detectors"]] == [False, False, True] and data["best"] == 0
    for item in data["items"]:
        expected = state.scores(item["number"])["probability"]
        assert item["scores"] == [int(np.floor(1000 * value)) for value in expected]
        wrong = item["fake"] != (item["scores"][0] >= 500)
        assert ("like" in item) <= wrong
        if "like" in item:
            near = data["items"][item["like"]]
            assert near["fake"] == item["fake"] == (near["scores"][0] >= 500) and near["id"] != item["id"]
    assert sum("like" in item for item in data["items"]) == 6 and data["heat"] is None


def test_whole_photographs_are_left_out_and_the_page_says_so():
    state, paired = judged()
    data = error_browser.collect(state, paired, 14)
    assert data["counts"] | {"run": ""} == {"shown": 12, "total": 30, "photographs": 4, "run": ""}
    assert sorted(np.unique([item["id"] for item in data["items"]], return_counts=True)[1].tolist()) == [3, 3, 3, 3]
    assert len(error_browser.collect(state, paired, 0)["items"]) == 3, "never less than one photograph"


def test_the_page_stays_below_its_limit(monkeypatch):
    state, paired = judged()
    run = types.SimpleNamespace(name="x")
    monkeypatch.setattr(
        error_browser.error_analysis, "load", lambda run: types.SimpleNamespace(table=state.table, best=state.best)
    )
    held = types.SimpleNamespace(cache=state.pictures, manifest=paired.manifest)
    monkeypatch.setattr(error_browser.pairs, "load", lambda run: held)
    monkeypatch.setattr(error_browser.masks, "load", lambda run: state.holes)
    monkeypatch.setattr(predict, "available", lambda run: [])
    whole = error_browser.html(run)
    assert data_of(whole)["counts"]["shown"] == 30
    monkeypatch.setattr(assets, "LIMIT", int(0.8 * len(whole.encode())))
    smaller = error_browser.html(run)
    assert len(smaller.encode()) < assets.LIMIT and 3 <= data_of(smaller)["counts"]["shown"] < 30


def test_heat_maps_are_kept_in_cells(monkeypatch):
    state, _ = judged()
    state.run = types.SimpleNamespace(name="x")
    monkeypatch.setattr(predict, "available", lambda run: [("sees", 0)])
    monkeypatch.setattr(predict, "load", lambda run, name, seed: None)
    ramp = np.linspace(0, 1, 32, dtype=np.float32)
    monkeypatch.setattr(heatmaps, "grad_cam", lambda trained, p: np.broadcast_to(ramp, p.shape[:3]).copy())
    heat = error_browser.heat(state, list(range(30)))
    cells = np.frombuffer(base64.b64decode(heat["values"]), np.uint8).reshape(30, heat["side"], heat["side"])
    assert heat["detector"] == "sees" and (np.diff(cells[0, 0].astype(int)) > 0).all()


def test_texts_of_the_data_cannot_become_markup(browsed):
    page = assets.assembled("error_browser", "Error browser", browsed[1])
    assert EVIL not in page and "<img" not in page and page.count("</script>") == 2
    assert data_of(page)["items"][0]["caption"] == EVIL
    for name in ("error_browser", "demo_page"):
        script = assets.template("common.js") + assets.template(f"{name}.js")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", script)


@pytest.mark.parametrize("name", ["error_browser", "demo_page"])
def test_nothing_is_loaded_from_elsewhere(name, browsed):
    data = browsed[1] if name == "error_browser" else demo_page.with_sheets(demo_record())
    page = own_markup(assets.assembled(name, "A page", data))
    assert "default-src 'none'" in page and not re.search(r"https?:|//[a-z]|@import|url\(|<link|src=", page)
    assert not re.search(r"\{\{\w+\}\}", page), "a placeholder was left"


# --- the demo ------------------------------------------------------------------------------------------------------


class Painter:
    """A stand-in for TDANet: paints by the length of the caption and the seed, everywhere."""

    name = "tdanet"

    def fill(self, images, masks, captions, *, seeds):
        tones = [[(5 * len(text) + 40 * seed) % 256] for text, seed in zip(captions, seeds, strict=True)]
        return np.broadcast_to(np.array(tones, np.uint8)[:, None, None], images.shape).copy()


class Witness:
    """A stand-in for the run's detectors: "bright" goes by brightness, "half" always says 0.5."""

    bands = {"bright": Band(0.2, 0.7, 0.2), "half": Band(-1, 2, 0.2), "soft_vote": Band(0.3, 0.6, 0.2)}

    @classmethod
    def of_run(cls, run):
        return cls()

    def probabilities(self, pictures):
        bright, half = pictures.mean(axis=(1, 2, 3)) / 255, np.full(len(pictures), 0.5)
        return {"bright": bright, "half": half, "soft_vote": (bright + half) / 2}


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("birds"))
    index.prepare(run, DataConfig(count=48, image_size=32))
    masks.make(run, MaskConfig())
    return run


@pytest.fixture
def demo(birds, monkeypatch):
    create = registry.create
    monkeypatch.setattr(registry, "create", lambda name, run=None: Painter() if name == "tdanet" else create(name))
    monkeypatch.setattr(demo_page, "Inspector", Witness)
    return demo_page.collect(birds, 3)


def test_birds_are_held_out_and_of_different_species(birds, demo):
    table = index.load(birds).index.set_index("image_id")
    names = [bird["id"] for bird in demo["birds"]]
    assert len(names) == 3 and set(table.loc[names, "split"]) == {"test"}
    assert len({bird["species"] for bird in demo["birds"]}) == 3


def test_captions_name_the_true_and_another_colour_of_what_is_hidden(demo):
    for bird in demo["birds"]:
        assert [hole["kind"] for hole in bird["holes"]] == list(demo_page.HOLES)
        for held in bird["holes"]:
            texts = dict(held["captions"])
            assert list(texts) == ["true colour", "another colour", "another bird's", "none"] and texts["none"] == ""
            assert texts["true colour"] != texts["another colour"]
            assert texts["true colour"].split()[-1] == texts["another colour"].split()[-1], "the same part"


def test_fills_and_verdicts_are_those_of_the_pictures(demo):
    read = data_of(assets.assembled("demo_page", "Demo", demo_page.with_sheets(demo)))
    assert read["detectors"] == ["bright", "half", "soft vote"] and read["bands"] == [[0.2, 0.7], [-1, 2], [0.3, 0.6]]
    bird = read["birds"][1]
    held = bird["holes"][0]
    assert set(held["fills"]) == {"telea", *(f"tdanet {c} {s}" for c in range(4) for s in (0, 1))}
    original, mask = picture(read, bird["picture"]), hole(read, held["hole"])
    assert mask.mean() == pytest.approx(held["coverage"], abs=1e-4)
    for name, fill in held["fills"].items():
        output = picture(read, fill["picture"])
        if name != "telea":
            _, caption, seed = name.split()
            assert (output == (5 * len(held["captions"][int(caption)][1]) + 40 * int(seed)) % 256).all()
        for arm, shown in (("regenerated", output), ("spliced", base.splice(original, output, mask))):
            saved = corruptions.apply("jpeg 60", shown[None], [0])[0]
            for said, judged_picture in zip(fill["said"][arm], (shown, saved), strict=True):
                bright = judged_picture.mean() / 255
                vote = (bright + 0.5) / 2
                assert said["p"] == [int(1000 * bright), 500, int(1000 * vote)]
                bands = Witness.bands.values()
                expected = [band.verdict(value) for band, value in zip(bands, (bright, 0.5, vote), strict=True)]
                assert [read["verdicts"][int(digit)] for digit in said["v"]] == expected


def test_birds_too_small_to_hide_a_part_of_are_an_error_that_says_so(demo, birds, monkeypatch):
    assert demo["held_out"]
    monkeypatch.setattr(demo_page.regions, "hidden_parts", lambda *args: [])
    with pytest.raises(UserError, match="image_size"):
        demo_page.collect(birds, 3)


def test_fewer_birds_where_the_page_would_be_too_large(monkeypatch):
    monkeypatch.setattr(demo_page, "collect", lambda run, count: demo_record())
    run = types.SimpleNamespace(require=lambda stage: {})
    whole = demo_page.html(run)
    assert len(data_of(whole)["birds"]) == 2
    monkeypatch.setattr(assets, "LIMIT", len(whole.encode()) - 1)
    assert len(data_of(demo_page.html(run))["birds"]) == 1


# --- both, in the book ---------------------------------------------------------------------------------------------


def test_a_run_without_stages_gets_pages_that_name_the_command(birds, tmp_path):
    written = pages.write(birds, tmp_path / "_static")
    assert [path.name for path in written] == ["error_browser.html", "demo_page.html"]
    assert (tmp_path / "_static" / pages.FRAME).exists()
    for path, chapters in zip(written, ("1-10", "1-4"), strict=True):
        text = own_markup(path.read_text())
        assert f"<code>python -m nbsupport run --run {birds.name} --dataset synthetic --only {chapters}</code>" in text
        assert str(birds.path) not in text


def test_no_path_of_the_machine_is_in_a_command_of_a_page(tmp_path):
    run = Run(tmp_path / "run")
    run.remember(dataset="synthetic", data=str(tmp_path / "my birds"))
    for path in pages.write(run, tmp_path / "_static"):
        assert str(tmp_path) not in own_markup(path.read_text()) and "--data DATA" in path.read_text()


def test_photographs_are_not_shown(tmp_path):
    run = Run(tmp_path / "run")
    with run.stage("index", DataConfig(dataset="cub")):
        pass
    for path in pages.write(run, tmp_path / "_static"):
        text = path.read_text()
        assert "cub" in text and "may not be published" in text and "data:image" not in text


def test_a_page_is_made_once_and_again_when_the_run_has_changed(tmp_path, monkeypatch):
    run, made = Run(tmp_path / "run"), []
    with run.stage("index", DataConfig()):
        pass

    def make(run):
        made.append(run)
        if len(made) > 2:
            raise UserError("<no> pictures")
        return "a page"

    monkeypatch.setattr(pages, "PAGES", {"demo_page": ("Demo", ("index", "masks"), make)})
    assert pages.page(run, "demo_page") == pages.page(run, "demo_page") and len(made) == 1
    with run.stage("masks", MaskConfig()):
        pass
    assert pages.page(run, "demo_page").read_text() == "a page" and len(made) == 2
    with run.stage("masks", MaskConfig(seed=1)):
        pass
    assert "&lt;no&gt; pictures" in pages.page(run, "demo_page").read_text()


def test_before_chapter_1_there_is_nothing_to_refuse(tmp_path):
    with pytest.raises(MissingStage, match="--only 1-1"):
        pages.refusal(Run(tmp_path / "empty"))


def test_the_templates_travel_with_the_package():
    import tomllib

    setting = tomllib.loads((project_root() / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert setting["package-data"]["nbsupport.book.pages"] == ["templates/*", "templates/served/*"]
    assert "pretrained/detectors/*/*" in setting["package-data"]["nbsupport"]
    for name in pages.PAGES:
        assert f"../_static/{name}.html" in (project_root() / "book" / f"{name}.md").read_text()
