"""What the chapters of the book are, and with which parameters each is run.

The table of contents (``_toc.yml``) says which notebooks there are, the notebooks' ``parameters`` cells say what can be
set, the profiles (``notebooks/profiles/*.yaml``) give the values, and the command line may overrule single ones.
Every name is checked against the cells before anything runs. Not here: running them (:mod:`nbsupport.book.runner`).
"""

import ast
import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from nbsupport import config
from nbsupport.config import DATASETS, SHARED_TRAINING, Config
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.core.files import hash_file
from nbsupport.runs import project_root

Settings = Mapping[int, Mapping[str, Any]]  #: chapter number -> parameter -> value


@dataclass(frozen=True)
class Part:
    """A configuration of a chapter, and how the chapter's parameters are called that go into it.

    A field is called as in the configuration, with `prefix` before it; `shared` fields have no prefix, and stand for
    all configurations of the chapter that name them; `called` names single ones; `fixed` ones cannot be set, since the
    chapter takes them from elsewhere.
    """

    kind: type[Config]
    prefix: str = ""
    shared: tuple[str, ...] = ()
    called: Mapping[str, str] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()

    @cached_property
    def names(self) -> dict[str, str]:
        """Parameter of the chapter -> field of the configuration."""
        fields = [f.name for f in dataclasses.fields(self.kind) if f.name not in self.fixed]
        return {self.called.get(f, f if f in self.shared else self.prefix + f): f for f in fields}


#: What each chapter is set by. A parameter that the chapter's cell does not show is set by its mapping ``more``.
CONFIGURATIONS: Mapping[int, Sequence[Part]] = {
    1: [Part(config.DataConfig)],
    2: [Part(config.MaskConfig)],
    4: [
        Part(config.MatchingConfig, "matching_", ("seed",)), Part(config.TrainingConfig), Part(config.QualityConfig),
    ],
    5: [Part(config.AlignmentConfig)],
    6: [Part(config.PairsConfig)],
    7: [
        Part(config.DetectorConfig),
        Part(config.SearchConfig, "search_", SHARED_TRAINING, {"train_count": "search_count"}, fixed=("seed",)),
        Part(config.EvaluationConfig, fixed=("seed",)),
    ],
    8: [
        Part(config.RobustnessConfig, "condition_", ("seed",), {"conditions": "conditions"}),
        Part(config.StudyConfig, "study_", called={"train_count": "study_count"}, fixed=(*SHARED_TRAINING, "seeds")),
        Part(config.EvaluationConfig),
    ],
    9: [Part(config.EnsembleConfig, called={"names": "ensembles"})],
    10: [
        Part(config.ErrorsConfig), Part(config.LocalizationConfig, "map_", ("draws", "confidence", "seed")),
        Part(config.SegmentationConfig, "segmentation_", ("seed",)),
    ],
}  # fmt: skip
MORE = "more"  #: the mapping of a parameters cell that sets what the cell does not show

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


def _names(chapter: Chapter) -> list[str]:
    """What can be set in a chapter: what its cell shows, and what its configurations have beside it."""
    shown = [name for name in chapter.parameters if name not in ("run_name", MORE)]
    hidden = [name for part in CONFIGURATIONS.get(chapter.number, ()) for name in part.names]
    return list(dict.fromkeys(shown + (hidden if MORE in chapter.parameters else [])))


def _check_value(chapter: Chapter, name: str, value: Any, where: str = "") -> None:
    """Raise ConfigError for a parameter that the chapter does not have, or a value that it cannot have."""
    if name == MORE and MORE in chapter.parameters:
        if not isinstance(value, dict):
            raise ConfigError(f"Chapter {chapter.number}, parameter {MORE}{where} must be a mapping, got {value!r}.")
        for inner, one in value.items():
            _check_value(chapter, str(inner), one, where or f" (in {MORE})")
        return
    if name not in _names(chapter):
        raise ConfigError(unknown(f"parameter of chapter {chapter.number}{where}", name, _names(chapter)))
    if wrong := problem(chapter, name, value):
        raise ConfigError(f"Chapter {chapter.number}, parameter {name}{where} {wrong}.")


def problem(chapter: Chapter, name: str, value: Any) -> str:
    """What is wrong with a parameter's value, as the end of a sentence; empty if nothing is.

    Its type and range are those of the configuration that it goes into, else the type of the notebook's own value.
    """
    if (chapter.number, name) == (1, "image_size") and isinstance(value, int) and not isinstance(value, bool):
        step = 2 ** config.halvings(value)
        if value % step or value < 2 * step:
            return f"must be a multiple of {step} at this size (TDANet halves it), at least 32, got {value}"
    for part in CONFIGURATIONS.get(chapter.number, ()):
        if name in part.names:
            return part.kind.problem(part.names[name], value)
    default = chapter.parameters[name]
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
        for name, value in values.items():
            if name == "run_name":
                raise ConfigError(f"In {where}: run_name is set by --run NAME, for all chapters at once.")
            _check_value(chapter, name, value, f" (in {where})")


def check_parameters(namespace: Mapping[str, Any], number: int, root: Path | None = None) -> dict[str, Any]:
    """The parameters of a running chapter; ConfigError for a misspelt one, or a value that it cannot have.

    Looked at are the cells that set parameters, as IPython keeps them (``In``): the latest that papermill put in
    (``# Parameters``), and the latest that sets ``run_name``. Without ``In`` (not a notebook) there is nothing to look
    at. Papermill may set what the chapter's cell does not show, as :data:`MORE` does.

    Returns: name -> value, without ``run_name``.
    """
    cells = [text for text in namespace.get("In", ()) if isinstance(text, str)]
    injected = [text for text in cells if text.lstrip().startswith("# Parameters\n")]
    own = [text for text in cells if text not in injected and re.search(r"^run_name *=", text, flags=re.MULTILINE)]
    chapter = _known_chapter(number, all_chapters(root))
    typed = {}
    for text in injected[-1:] + own[-1:]:
        for name, value, _ in assignments(text, f"chapter {number}"):
            if name != "run_name":
                _check_value(chapter, name, value)
                _check_names(number, name, value)
                typed[name] = value
    names = [name for name in (*chapter.parameters, *typed) if name not in ("run_name", MORE) and name in namespace]
    return {name: namespace[name] for name in names} | dict(namespace.get(MORE) or {})


def configurations(values: Mapping[str, Any], number: int, root: Path | None = None) -> tuple[Any, ...]:
    """What a chapter is set to: one configuration for each of its parts, in the order of :data:`CONFIGURATIONS`.

    Args: values: ``globals()`` in the chapter, which :func:`check_parameters` then looks at; or its parameters, as
        :func:`plan` gives them. What is not named keeps the configuration's default.

    Raises:
        ConfigError: a name that the chapter does not have, or a value of the wrong type or out of its range.
    """
    if "In" in values:
        values = check_parameters(values, number, root)
    else:
        chapter = _known_chapter(number, all_chapters(root))
        for name in values:
            if name != MORE and name not in _names(chapter):
                raise ConfigError(unknown(f"parameter of chapter {number}", str(name), _names(chapter)))
    return _built(number, values)


def _built(number: int, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The configurations of a chapter; ConfigError for values that contradict each other."""
    values = dict(values) | dict(values.get(MORE) or {})
    try:
        return tuple(
            part.kind.from_mapping({f: values[name] for name, f in part.names.items() if name in values})
            for part in CONFIGURATIONS.get(number, ())
        )
    except ConfigError as error:
        raise ConfigError(f"Chapter {number}: {error}") from None


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
        _put(merged, values.get(chapter.number, {}))
        if "dataset" in merged:
            merged["dataset"] = dataset
            if data is not None and "data" in merged:
                merged["data"] = data
        _put(merged, settings.get(chapter.number, {}))
        _built(chapter.number, merged)
        result[chapter.number] = merged
    return result


def _put(merged: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Set parameters of a chapter: those that its cell does not show go into its mapping :data:`MORE`."""
    for name, value in values.items():
        if name == MORE or name in merged:
            merged[name] = {**merged[MORE], **value} if name == MORE else value
        else:
            merged[MORE] = {**merged[MORE], name: value}


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


def _known_chapter(number: int, chapters: Sequence[Chapter]) -> Chapter:
    for chapter in chapters:
        if chapter.number == number:
            return chapter
    raise ConfigError(unknown("chapter", str(number), [str(chapter.number) for chapter in chapters]))
