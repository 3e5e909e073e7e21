"""What holds for the repository as a whole: dependencies, what is tracked, what may be imported where."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import package_map
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from nbsupport.runs import project_root

ROOT = project_root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [Requirement(text) for text in PROJECT["dependencies"] + sum(EXTRAS.values(), [])]
MODULES = sorted((ROOT / "nbsupport").rglob("*.py"))
CELL_COLUMNS, CELL_LINES = 82, 25  # of a code cell that the book shows


def tracked():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def pins():
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines if line)}


# --- dependencies --------------------------------------------------------------------------------------------------


def test_conda_installs_what_pyproject_says():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    python, pip, section = environment["dependencies"]
    assert python.split("=")[1] in SpecifierSet(PROJECT["requires-python"]) and pip == "pip"
    assert section["pip"][0] == "-c constraints.txt"
    assert len(section["pip"]) == 2, "other packages belong into pyproject.toml"
    extras = re.fullmatch(r"-e \.\[(.+)\]", section["pip"][1])[1].split(",")
    assert sorted(extras) == sorted(EXTRAS)


def test_make_installs_the_same_extras():
    extras = re.search(r"^EXTRAS \?= (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)[1]
    assert sorted(extras.split(",")) == sorted(EXTRAS)


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda requirement: requirement.name)
def test_each_dependency_has_a_tested_version_within_its_range(requirement):
    version = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_jupyter_book_stays_below_2():
    assert "2.0.0" not in next(r for r in DECLARED if r.name == "jupyter-book").specifier


def test_constraints_are_plain_pins_without_addresses():
    text = (ROOT / "constraints.txt").read_text()
    assert all(re.fullmatch(r"[\w.\-]+==[\w.]+", line) for line in text.splitlines() if line and line[0] != "#")
    assert not re.search(r"^(nvidia|cuda|triton)", text, flags=re.MULTILINE)


def test_every_import_of_the_package_is_declared():
    declared = {canonicalize_name(requirement.name) for requirement in DECLARED}
    distributions = importlib.metadata.packages_distributions()
    undeclared = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"nbsupport"}:
                owners = {canonicalize_name(owner) for owner in distributions.get(name, [name])}
                # what jupyter needs anyway (IPython, traitlets) comes with ipywidgets and ipykernel
                if not owners & (declared | {"ipython", "traitlets"}):
                    undeclared.setdefault(name, set()).add(path.relative_to(ROOT).as_posix())
    assert not undeclared


# --- what is tracked -----------------------------------------------------------------------------------------------


def test_no_tracked_file_is_large():
    large = [path for path in tracked() if path.stat().st_size > 20_000_000]
    assert not large


def test_no_photograph_is_tracked():
    suffixes = {".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".npy", ".npz"}
    assert not [path for path in tracked() if path.suffix.lower() in suffixes]


def test_notebooks_carry_no_outputs():
    for path in tracked():
        if path.suffix == ".ipynb":
            cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
            assert not any(cell["outputs"] or cell["execution_count"] for cell in cells), path.name


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_visible_cells_fit_the_page_of_the_book(path):
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        tags = set(cell["metadata"].get("tags", []))
        if cell["cell_type"] == "code" and not tags & {"hide-cell", "remove-cell"}:
            lines = "".join(cell["source"]).splitlines()
            wide = [line for line in lines if len(line) > CELL_COLUMNS]
            assert not wide, f"{cell['id']}: the page cuts off what is beyond column {CELL_COLUMNS}"
            assert len(lines) <= CELL_LINES or "parameters" in tags, f"{cell['id']}: more than {CELL_LINES} lines"


def test_no_package_registry_is_named():
    word = re.compile(r"index[-_]url|find-links|pythonhosted|\bpypi\.|/simple/", flags=re.IGNORECASE)
    texts = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".cfg", ".ipynb", ""}
    for path in tracked():
        if path.suffix in texts and path != Path(__file__).resolve():
            found = word.search(path.read_text("utf-8"))
            assert not found, f"{path.relative_to(ROOT)}: {found[0]}"


def test_the_list_of_rooms_is_that_of_the_package():
    assert package_map.PLACE.read_text("utf-8") == package_map.written(), "run: python tests/package_map.py"


# --- what may be imported where ------------------------------------------------------------------------------------

PRESENTATION = {"book", "cli", "demo", "plots", "__main__"}
BLOCKED = ("matplotlib", "IPython", "papermill", "ipywidgets", "ipykernel", "nbformat", "jupyter_book", "typer")


def test_the_training_side_needs_neither_jupyter_nor_matplotlib():
    names = []
    for path in MODULES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if len(parts) < 2 or parts[1] not in PRESENTATION:
            names.append(".".join(part for part in parts if part != "__init__"))
    code = f"""
import importlib, importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(name + ' is blocked here')
sys.meta_path.insert(0, Blocker())
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        sys.exit(f'{{name}}: {{error}}')
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(names) > 5


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_say_what_they_are_for(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)) or not text.strip()
