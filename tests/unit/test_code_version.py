"""The version of the code behind a stage: what changes it, and what must not."""

import shutil
import textwrap

import pytest

from nbsupport import runs
from nbsupport.core import code_version
from nbsupport.core.code_version import reachable


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package in place of ours; a function writes one of its files and tells the version of ``maker:make``."""
    root = tmp_path / "nbsupport"
    (root / "room").mkdir(parents=True)
    monkeypatch.setattr(code_version, "_ROOT", root)
    monkeypatch.setattr(code_version, "_CACHE", root / "__pycache__" / "code_version.json")

    def version(**files):
        for name, text in files.items():
            (root / (name.replace("__", "/", 1) + ".py")).write_text(textwrap.dedent(text))
        for cached in (code_version.code_version, code_version._module, code_version._file, code_version._held):
            cached.cache_clear()
        return code_version.code_version("nbsupport.maker:make")

    (root / "__init__.py").write_text("")
    (root / "room" / "__init__.py").write_text("from nbsupport.room.inner import used, unused\n")
    yield version
    for cached in (code_version.code_version, code_version._module, code_version._file, code_version._held):
        cached.cache_clear()


MAKER = '''
    """What it makes."""
    from nbsupport import room
    from nbsupport.plots import draw

    RATE = 0.5

    def make(x):
        """Makes it."""
        from nbsupport.late import late
        return room.used(x) * RATE + late(x)

    def aside():
        return 1
'''
INNER = "def used(x):\n    return helper(x)\n\ndef helper(x):\n    return x + 1\n\ndef unused(x):\n    return x\n"


def test_what_the_function_reaches_changes_its_version_and_nothing_else_does(package):
    first = package(maker=MAKER, room__inner=INNER, late="def late(x):\n    return x\n", plots="draw = 1\n")
    assert package() == first
    same = {
        "comment and docstring": {"maker": MAKER.replace("Makes it.", "Makes it, well.") + "\n    # why\n"},
        "a function beside it": {"maker": MAKER.replace("return 1", "return 2")},
        "an unused function of the room": {"room__inner": INNER.replace("    return x\n", "    return -x\n")},
        "a plot": {"plots": "draw = 2\n"},
    }
    for what, files in same.items():
        assert package(**files) == first, what
        package(maker=MAKER, room__inner=INNER, plots="draw = 1\n")
    other = {
        "its own line": {"maker": MAKER.replace("* RATE", "/ RATE")},
        "a constant": {"maker": MAKER.replace("0.5", "0.6")},
        "a helper two imports away": {"room__inner": INNER.replace("x + 1", "x + 2")},
        "what it imports when it runs": {"late": "def late(x):\n    return -x\n"},
    }
    for what, files in other.items():
        assert package(**files) != first, what
        assert package(maker=MAKER, room__inner=INNER, late="def late(x):\n    return x\n") == first


def test_the_version_is_kept_on_disk_while_no_file_changes(package, monkeypatch):
    first = package(maker=MAKER, room__inner=INNER, late="def late(x):\n    return x\n", plots="draw = 1\n")
    monkeypatch.setattr(code_version, "reachable", lambda *_: pytest.fail("was worked out again"))
    assert package() == first
    shutil.rmtree(code_version._CACHE.parent)
    with pytest.raises(pytest.fail.Exception):
        package()


def test_every_stage_names_the_function_that_makes_it():
    assert set(runs.MAKER_OF_STAGE) == set(runs.CHAPTER_OF_STAGE)
    for stage, root in runs.MAKER_OF_STAGE.items():
        module, _, name = root.partition(":")
        made = code_version._module(module).bound[name][0]
        assert f"stage('{stage}'" in __import__("ast").unparse(made), stage


@pytest.mark.parametrize(
    ("stage", "module", "name"),
    [
        ("tdanet", "nbsupport.tdanet.generator", "Generator"),
        ("pairs", "nbsupport.tdanet.generator", "Generator"),
        ("detectors", "nbsupport.detectors.zoo", "create"),
        ("index", "nbsupport.data.geometry", "cut_image"),
        ("masks", "nbsupport.masks.drawing", "draw"),
    ],
)
def test_the_stages_of_the_book_carry_the_code_that_decides(stage, module, name):
    assert (module, name) in reachable(runs.MAKER_OF_STAGE[stage])


def test_the_matching_does_not_depend_on_the_detectors_nor_anything_on_plots():
    assert not {m for m, _ in reachable(runs.MAKER_OF_STAGE["matching"]) if "pairs" in m or "zoo" in m}
    for root in runs.MAKER_OF_STAGE.values():
        assert not {m for m, _ in reachable(root) if m.split(".")[1:2] in (["plots"], ["demo"], ["config"])}
