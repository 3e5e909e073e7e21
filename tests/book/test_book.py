"""The book, built from the smoke run with warnings as errors."""

import html
import re
import shutil
import sys
from pathlib import Path

import pytest

from nbsupport.book import build, chapters, pages
from nbsupport.core.errors import UserError
from nbsupport.runs import Run, project_root

PAGES = chapters.toc_pages()


@pytest.fixture(scope="session")
def built(smoke_run, tmp_path_factory):
    """The folder of the built book's pages."""
    if smoke_run.error:
        pytest.fail(f"there is no complete run to build from: {smoke_run.error}")
    return build.build(smoke_run.run, tmp_path_factory.mktemp("book")).parent


@pytest.fixture(scope="session")
def texts(built):
    return {path.relative_to(built).as_posix(): path.read_text("utf-8") for path in sorted(built.rglob("*.html"))}


def test_index_leads_to_the_first_page(built):
    assert f"{PAGES[0]}.html" in (built / "index.html").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_the_contents_exists(built, page):
    text = (built / Path(page).with_suffix(".html")).read_text("utf-8")
    assert re.search(r"<h1>.+", text)


def test_no_page_shows_a_traceback(texts):
    for name, text in texts.items():
        assert "Traceback (most recent call last)" not in html.unescape(re.sub(r"<[^>]+>", "", text)), name
        assert 'class="output traceback' not in text, name


def test_no_page_holds_a_path_of_this_machine(built, texts, smoke_run):
    paths = {project_root(), Path.home(), Path(sys.prefix), built, smoke_run.run.path}
    pattern = re.compile("|".join(rf"{re.escape(str(path))}(?![\w-])" for path in paths if len(path.parts) > 1))
    for name, text in texts.items():
        found = pattern.search(html.unescape(text))
        assert not found, f"{name}: …{text[max(found.start() - 80, 0) : found.end() + 40]}…"


def test_status_page_names_every_chapter_with_its_time(texts, smoke_run):
    text = re.sub(r"<[^>]+>", " ", texts["book/status.html"])
    for outcome in smoke_run.outcomes.values():
        assert html.escape(outcome.chapter.title, quote=False).split("–")[0] in text
    assert "smoke" in text and "torch" in text


def test_chapters_show_pictures(texts):
    for chapter in chapters.all_chapters():
        assert "<img" in texts[f"notebooks/{chapter.name}.html"], chapter.name


@pytest.mark.parametrize("name", list(pages.PAGES))
def test_the_kernel_free_pages_hold_pictures_and_are_framed(built, texts, name):
    alone = texts[f"_static/{name}.html"]
    assert "data:image/webp" in alone and len(alone.encode()) < pages.assets.LIMIT
    framed = texts[f"book/{name}.html"]
    assert f'src="../_static/{name}.html"' in framed and f"_static/{pages.FRAME}" in framed
    assert (built / "_static" / pages.FRAME).exists()


def test_no_page_loads_a_widget_library(texts):
    assert not any("html-manager" in text or "require.min.js" in text for text in texts.values())


def test_a_broken_link_is_an_error(smoke_run, tmp_path, monkeypatch):
    """The builder itself: a warning must fail it, and the message must say where."""
    if smoke_run.error:
        pytest.skip("there is no complete run to build from")
    staged = build.stage

    def stage_and_break(run, folder):
        staged(run, folder)
        (folder / "book" / "notation.md").write_text("# Notation\n\n{cite}`nobody1999`\n")
        for name in ("01_preprocessing", "02_masks", "03_tdanet_walkthrough", "04_training", "06_fake_set"):
            shutil.copy(folder / "book" / "notation.md", folder / "notebooks" / f"{name}.md")
            (folder / "notebooks" / f"{name}.ipynb").unlink()
        return folder

    monkeypatch.setattr(build, "stage", stage_and_break)
    with pytest.raises(UserError, match="nobody1999"):
        build.build(smoke_run.run, tmp_path / "out")
    assert not (tmp_path / "out" / "html").exists()


def test_an_empty_run_builds_nothing(tmp_path):
    with pytest.raises(UserError, match="python -m nbsupport run"):
        build.build(Run(tmp_path / "empty"), tmp_path / "out")
    assert not (tmp_path / "out" / "src").exists()
