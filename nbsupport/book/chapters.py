"""What the chapters of the book are, and with which parameters each is run.

The table of contents (``_toc.yml``) says which notebooks there are, the notebooks' ``parameters`` cells say what can be
set, the profiles (``notebooks/profiles/*.yaml``) give the values, and the command line may overrule single ones.
Every name is checked against the cells before anything runs. Not here: running them (:mod:`nbsupport.book.runner`).
"""

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from nbsupport import config
from nbsupport.config import DATASETS, Config
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.core.files import hash_file
from nbsupport.runs import project_root

Settings = Mapping[int, Mapping[str, Any]]  #: chapter number -> parameter -> value

#: Where each chapter's values go: a configuration, and what its fields' names begin with in the chapter.
CONFIGURATIONS: Mapping[int, Sequence[tuple[type[Config], str]]] = {
    1: [(config.DataConfig, "")],
    2: [(config.MaskConfig, "")],
    4: [(config.TrainingConfig, ""), (config.MatchingConfig, "matching_")],
    6: [(config.PairsConfig, "")],
    7: [(config.DetectorConfig, ""), (config.SearchConfig, "search_"), (config.EvaluationConfig, "")],
    8: [
        (config.RobustnessConfig, ""), (config.RobustnessConfig, "condition_"), (config.StudyConfig, "study_"),
        (config.EvaluationConfig, ""),
    ],
    9: [(config.EnsembleConfig, "")],
    10: [
        (config.ErrorsConfig, ""), (config.LocalizationConfig, "map_"), (config.SegmentationConfig, "segmentation_"),
    ],
}  # fmt: skip
_RENAMED = {
    (7, "search_count"): "search_train_count",
    (8, "study_count"): "study_train_count",
    (9, "ensembles"): "names",
}

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", list: "a list", dict: "a map"}
_PROFILE_ORDER = ("smoke", "quick", "full")  # from short to long; profiles of one's own come after them


class _Loader(yaml.SafeLoader):
    """Safe YAML in which ``1e-3`` is a number, as in Python; YAML 1.1 takes it for a word."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


@dataclass(frozen=True)
class Chapter:
    """One notebook of the book, in its source form (without outputs)."""

    path: Path

    @cached_property
    def number(self) -> int:
        """What the file name begins with: 4 for ``04_training``; raises ConfigError where it is no number."""
        match = re.match(r"(\d+)_", self.path.name)
        if match is None:
            raise ConfigError(f"'{self.path.name}' in _toc.yml is no chapter: its name must begin like '04_'.")
        return int(match[1])

    @property
    def name(self) -> str:
        """The file name without its suffix, e.g. ``04_training``."""
        return self.path.stem

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """The cells as nbformat has them; raises UserError when the file is missing or no notebook."""
        try:
            return json.loads(self.path.read_text("utf-8"))["cells"]
        except FileNotFoundError:
            raise UserError(f"_toc.yml names '{self.name}', but '{self.path}' does not exist.") from None
        except (json.JSONDecodeError, KeyError, UnicodeDecodeError) as error:
            raise UserError(f"'{self.path}' is not a notebook ({error}).") from error

    @cached_property
    def title(self) -> str:
        """The first heading without its number, e.g. ``Training TDANet``."""
        for cell in self.cells:
            match = re.search(r"^# +(.+)$", source(cell), flags=re.MULTILINE)
            if cell["cell_type"] == "markdown" and match:
                return re.sub(r"^\d+\.\s*", "", match[1]).strip()
        return self.name

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Name and default of each parameter, read from the cell tagged ``parameters`` without running it."""
        tagged = [cell for cell in self.cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
        if len(tagged) != 1:
            raise ConfigError(f"'{self.path.name}' must have one cell tagged 'parameters'; it has {len(tagged)}.")
        return {name: value for name, value, _ in assignments(source(tagged[0]), self.path.name)}

    @property
    def source_hash(self) -> str:
        """SHA-256 of the notebook file."""
        return hash_file(self.path)


def source(cell: Mapping[str, Any]) -> str:
    """The text of a cell; notebooks keep it as a string or as a list of lines."""
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(text)


def assignments(code: str, where: str) -> list[tuple[str, Any, ast.expr]]:
    """Name, value and syntax node of each ``name = literal`` line; anything else in a parameters cell is an error."""
    found = []
    try:
        body = ast.parse(code).body
    except SyntaxError as error:
        raise ConfigError(f"The parameters cell of '{where}' is not valid Python: {error}.") from error
    for statement in body:
        try:
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target, value = statement.targets[0], statement.value
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                target, value = statement.target, statement.value
            else:
                raise ValueError
            if not isinstance(target, ast.Name):
                raise ValueError
            found.append((target.id, ast.literal_eval(value), value))
        except ValueError:
            raise ConfigError(
                f"The parameters cell of '{where}', line {statement.lineno}: only 'name = value' with a plain value "
                "can stand there, so that it can be overruled from outside."
            ) from None
    return found


def toc_pages(root: Path | None = None) -> list[str]:
    """All pages of ``_toc.yml``, root first, as written there (relative to it, most without a suffix)."""
    path = (root or project_root()) / "_toc.yml"
    if not path.exists():
        raise UserError(f"There is no '{path}'. The chapters are read from a checkout of the book: run from within it.")
    toc = yaml.safe_load(path.read_text("utf-8"))
    pages = [toc["root"]]

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, dict):
            if "file" in node:
                pages.append(node["file"])
            for key in ("parts", "chapters", "sections"):
                walk(node.get(key))

    walk({key: value for key, value in toc.items() if key != "root"})
    return pages


def all_chapters(root: Path | None = None) -> list[Chapter]:
    """The notebooks of ``_toc.yml`` in their order."""
    root = root or project_root()
    pages = [page for page in toc_pages(root) if Path(page).parts[0] == "notebooks"]
    return [Chapter(root / (page if page.endswith(".ipynb") else page + ".ipynb")) for page in pages]


def select(chapters: Sequence[Chapter], only: str | None) -> list[Chapter]:
    """The chapters that `only` names: single numbers and ranges, e.g. ``4-6`` or ``1,3``; None: all.

    Raises:
        ConfigError: not of that form, or no such chapter.
    """
    if only is None:
        return list(chapters)
    wanted: set[int] = set()
    for part in only.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if match is None:
            raise ConfigError(f"--only '{only}' is not understood. Examples: --only 4   --only 4-7   --only 1,3,6-9")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise ConfigError(f"--only '{part.strip()}' runs backwards; write {last}-{first}.")
        for number in range(first, last + 1):
            _known_chapter(number, chapters)
            wanted.add(number)
    return [chapter for chapter in chapters if chapter.number in wanted]


def profile_names(root: Path | None = None) -> list[str]:
    """The profiles there are, from short to long."""
    names = {path.stem for path in ((root or project_root()) / "notebooks" / "profiles").glob("*.yaml")}
    return [name for name in _PROFILE_ORDER if name in names] + sorted(names - set(_PROFILE_ORDER))


def load_profile(name: str, chapters: Sequence[Chapter], root: Path | None = None) -> dict[int, dict[str, Any]]:
    """Read a profile and check it against the chapters' parameters cells.

    Raises:
        ConfigError: unknown profile, chapter or parameter.
    """
    valid = profile_names(root)
    if name not in valid:
        raise ConfigError(unknown("profile", name, valid))
    path = (root or project_root()) / "notebooks" / "profiles" / f"{name}.yaml"
    try:
        content = yaml.load(path.read_text("utf-8"), _Loader) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"The profile '{path}' is not valid YAML: {error}") from error
    settings = {}
    for key, values in content.items():
        if not re.fullmatch(r"\d+", str(key)) or not isinstance(values or {}, dict):
            raise ConfigError(f"The profile '{path.name}' must map chapter numbers to parameters; see '{key}'.")
        settings[int(key)] = dict(values or {})
    check_settings(settings, chapters, f"profile '{name}'")
    return settings


def parse_settings(texts: Iterable[str]) -> dict[int, dict[str, Any]]:
    """Read ``chapter.parameter=value`` texts; values are YAML, so that numbers, lists and null are what they look like.

    >>> parse_settings(["4.steps=200", "2.kinds=[centre, part]"])
    {4: {'steps': 200}, 2: {'kinds': ['centre', 'part']}}
    """
    settings: dict[int, dict[str, Any]] = {}
    for text in texts:
        match = re.fullmatch(r"\s*(\d+)\.(\w+)\s*=(.*)", text, flags=re.DOTALL)
        if match is None:
            raise ConfigError(
                f"--set '{text}' is not understood. Write chapter.parameter=value, e.g. --set 4.steps=200"
            )
        try:
            value = yaml.load(match[3], _Loader)
        except yaml.YAMLError:
            raise ConfigError(
                f"--set '{text}': the value is not valid YAML. Quote it: --set '4.name=\"a: b\"'"
            ) from None
        settings.setdefault(int(match[1]), {})[match[2]] = value
    return settings


def problem(chapter: Chapter, name: str, value: Any) -> str:
    """What is wrong with a parameter's value, as the end of a sentence; empty if nothing is.

    Its type and range are those of the configuration that it goes into, else the type of the notebook's own value.
    """
    wanted = _RENAMED.get((chapter.number, name), name)
    default = chapter.parameters[name]
    if (chapter.number, name) == (1, "image_size") and isinstance(value, int) and not isinstance(value, bool):
        step = 2 ** config.halvings(value)
        if value % step or value < 2 * step:
            return f"must be a multiple of {step} at this size (TDANet halves it), at least 32, got {value}"
    for kind, start in CONFIGURATIONS.get(chapter.number, ()):
        field = wanted.removeprefix(start)
        if wanted.startswith(start) and field in kind.__dataclass_fields__:
            return kind.problem(field, value)
    if default is None or value is None:
        return ""
    number = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
    if type(value) is not type(default) and not number:
        return f"must be {_KINDS[type(default)]} such as {default!r}, got {value!r}"
    if isinstance(default, int) and default >= 0 > value:
        return f"must not be negative, got {value!r}"
    inner = {type(item) for item in default} if isinstance(default, list) else set()
    if len(inner) == 1 and (wrong := [item for item in value if not isinstance(item, (*inner, *_wider(inner)))]):
        return f"must be a list of items such as {default[0]!r}, got {wrong[0]!r} in it"
    return ""


def _wider(kinds: set[type]) -> tuple[type, ...]:
    return (int,) if kinds == {float} else ()


def check_settings(settings: Settings, chapters: Sequence[Chapter], where: str) -> None:
    """Raise :class:`ConfigError` for a chapter that does not exist, a parameter that its notebook does not have, or a
    value of the wrong type or out of its range.

    papermill itself only warns about an unknown parameter, and the run would silently use the default.
    """
    for number, values in settings.items():
        chapter = _known_chapter(number, chapters)
        if not values:
            continue
        names = [name for name in chapter.parameters if name != "run_name"]
        for name in values:
            if name == "run_name":
                raise ConfigError(f"In {where}: run_name is set by --run NAME, for all chapters at once.")
            if name not in names:
                raise ConfigError(unknown(f"parameter of chapter {number} (in {where})", name, names))
            if wrong := problem(chapter, name, values[name]):
                raise ConfigError(f"Chapter {number}, parameter {name} (in {where}) {wrong}.")


def check_parameters(namespace: Mapping[str, Any], number: int, root: Path | None = None) -> None:
    """Raise :class:`ConfigError` for a misspelt parameter of a running chapter, or a value that it cannot have.

    Looked at are the cells that set parameters, as IPython keeps them (``In``): the latest that papermill put in
    (``# Parameters``), and the latest that sets ``run_name``. A chapter calls it before it builds a configuration:
    ``chapters.check_parameters(globals(), 4)``. Without ``In`` (not a notebook) there is nothing to look at.
    """
    cells = [text for text in namespace.get("In", ()) if isinstance(text, str)]
    injected = [text for text in cells if text.lstrip().startswith("# Parameters\n")]
    own = [text for text in cells if text not in injected and re.search(r"^run_name *=", text, flags=re.MULTILINE)]
    chapter = _known_chapter(number, all_chapters(root))
    for text in injected[-1:] + own[-1:]:
        for name, value, _ in assignments(text, f"chapter {number}"):
            if name not in chapter.parameters:
                raise ConfigError(unknown(f"parameter of chapter {number}", name, chapter.parameters))
            if wrong := problem(chapter, name, value):
                raise ConfigError(f"Chapter {number}, parameter {name} {wrong}.")
            _check_names(number, name, value)


def plan(
    chapters: Sequence[Chapter],
    profile: str,
    *,
    dataset: str = "synthetic",
    data: str | None = None,
    settings: Settings | None = None,
    root: Path | None = None,
) -> dict[int, dict[str, Any]]:
    """The parameters of every chapter (all but ``run_name``): defaults, profile, data set, then single settings.

    Raises:
        ConfigError: an unknown profile, data set, chapter or parameter; the message names the nearest valid one.
    """
    if dataset not in DATASETS:
        raise ConfigError(unknown("dataset", dataset, DATASETS))
    settings = settings or {}
    check_settings(settings, chapters, "--set")
    for number, typed in settings.items():
        for name, value in typed.items():
            _check_names(number, name, value)
    values = load_profile(profile, chapters, root)
    result = {}
    for chapter in chapters:
        merged = {name: value for name, value in chapter.parameters.items() if name != "run_name"}
        merged |= values.get(chapter.number, {})
        if "dataset" in merged:
            merged["dataset"] = dataset
            if data is not None and "data" in merged:
                merged["data"] = data
        result[chapter.number] = merged | dict(settings.get(chapter.number, {}))
        _check_together(chapter, result[chapter.number])
    return result


def _check_names(number: int, name: str, value: Any) -> None:
    """Raise ConfigError for a detector or an inpainter that nobody knows, before the hours that come first."""
    try:
        if (number, name) == (6, "inpainters"):
            from nbsupport.pairs import planning  # these rooms take seconds to open: only for a name that was typed

            planning.check(config.PairsConfig(inpainters=value))
        if (number, name) == (7, "names"):
            from nbsupport.detectors import zoo

            for detector in value:
                zoo.entry(detector)
    except ConfigError as error:
        raise ConfigError(f"Chapter {number}, parameter {name}: {error}") from None


def _check_together(chapter: Chapter, values: Mapping[str, Any]) -> None:
    """Raise ConfigError for values of a chapter that contradict each other."""
    for kind, start in CONFIGURATIONS.get(chapter.number, ()):
        own = {_RENAMED.get((chapter.number, name), name): value for name, value in values.items()}
        fields = {start + field: field for field in kind.__dataclass_fields__}
        try:
            kind.from_mapping({fields[name]: value for name, value in own.items() if name in fields})
        except ConfigError as error:
            raise ConfigError(f"Chapter {chapter.number}: {error}") from None


def _known_chapter(number: int, chapters: Sequence[Chapter]) -> Chapter:
    for chapter in chapters:
        if chapter.number == number:
            return chapter
    raise ConfigError(unknown("chapter", str(number), [str(chapter.number) for chapter in chapters]))
