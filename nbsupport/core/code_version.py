"""Which version of the code makes a stage: a hash of its function and of all within the package that this reaches.

A stage that was made by other code is not what this code would make. What decides is the syntax tree of the functions,
classes and constants that are named, directly or through others, without docstrings: no comment, line break or change
of an unrelated function costs a training. Left out are the modules that only carry or show (:data:`CARRIERS`);
parameters count by value, in a stage's fingerprint, and not by ``config.py``.
"""

import ast
import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGE = _ROOT.name
_CACHE = _ROOT / "__pycache__" / "code_version.json"
_WHOLE = "*"  # in place of a name: everything in the module

#: Modules and rooms that carry values from place to place or show them, and change none.
CARRIERS = (
    *("__main__", "book", "cli", "config", "core.code_version", "core.errors", "core.files", "core.threads", "demo"),
    *("plots", "runs"),
)


@functools.cache
def code_version(*roots: str) -> str:
    """16 hexadecimal digits for the code behind `roots`: ``nbsupport.masks.drawing:draw``, or a whole module.

    Kept on disk, where that can be written, while no file of the package changes.
    """
    key, held = " ".join(roots), _held()
    if key not in held["versions"]:
        nodes = sorted(f"{module}:{name} {_digest(module, name)}" for module, name in reachable(*roots))
        held["versions"][key] = hashlib.sha256("\n".join(nodes).encode()).hexdigest()[:16]
        with contextlib.suppress(OSError):
            _CACHE.parent.mkdir(exist_ok=True)
            temporary = _CACHE.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(held), "utf-8")
            temporary.replace(_CACHE)
    return held["versions"][key]


def reachable(*roots: str) -> set[tuple[str, str]]:
    """(module, name) of all top-level names that `roots` use, directly or through others; raises for unknown ones."""
    found: set[tuple[str, str]] = set()
    waiting = []
    for root in roots:
        module, _, name = root.partition(":")
        if _file(module) is None or (name and name not in _module(module).bound):
            raise ModuleNotFoundError(f"The package holds no '{root}'.")
        waiting.append((module, name or _WHOLE))
    while waiting:
        module, name = waiting.pop()
        if (module, name) in found or module == _PACKAGE or _carries(module):
            continue
        found.add((module, name))
        own = _module(module)
        if name == _WHOLE:
            waiting += [(module, other) for other in own.bound]
        else:
            for statement in own.bound[name]:
                waiting += own.uses(statement)
        for statement in own.always:
            waiting += own.uses(statement)
    return found


def _carries(module: str) -> bool:
    inner = module.removeprefix(f"{_PACKAGE}.")
    return any(inner == carrier or inner.startswith(f"{carrier}.") for carrier in CARRIERS)


class _Module:
    """The top-level statements of a module: by the names that they bind, and those that always count."""

    def __init__(self, name: str, tree: ast.Module, is_package: bool) -> None:
        self.name, self.is_package = name, is_package
        self.bound: dict[str, list[ast.stmt]] = {}
        self.always: list[ast.stmt] = []  # a registration, an assignment to an item
        kinds = ast.Import | ast.ImportFrom | ast.If | ast.Try
        self.imported = dict(self._imports(s for s in tree.body if isinstance(s, kinds) and not _only_for_types(s)))
        for statement in tree.body:
            if _only_for_types(statement) or isinstance(statement, ast.Import | ast.ImportFrom):
                continue
            names = list(_bound_names(statement))
            for bound in names:
                self.bound.setdefault(bound, []).append(statement)
            if not names:
                self.always.append(statement)

    def uses(self, statement: ast.stmt) -> Iterator[tuple[str, str]]:
        """What of the package a statement names."""
        imported = self.imported | dict(self._imports([statement]))
        for chain in _chains(statement):
            if chain[0] in imported:
                origin, name = imported[chain[0]]
                yield from _resolve(origin, [*([name] if name else []), *chain[1:]])
            elif chain[0] in self.bound:
                yield self.name, chain[0]

    def _imports(self, statements) -> Iterator[tuple[str, tuple[str, str]]]:
        """Local name -> (module, name within it or ``""``), wherever in `statements` it is imported."""
        for node in (node for statement in statements for node in ast.walk(statement)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.asname or alias.name.split(".")[0], (alias.name if alias.asname else _PACKAGE, "")
            elif isinstance(node, ast.ImportFrom):
                parts = self.name.split(".")
                base = parts[: len(parts) - node.level + self.is_package] if node.level else []
                origin = ".".join([*base, *([node.module] if node.module else [])])
                for alias in node.names:
                    yield alias.asname or alias.name, (origin, alias.name)


def _resolve(module: str, chain: list[str]) -> Iterator[tuple[str, str]]:
    """Where ``module.a.b`` is defined: the top-level name it leads to, through the packages on the way."""
    if module.split(".")[0] != _PACKAGE or _file(module) is None:
        return
    own = _module(module)
    if not chain:
        yield module, _WHOLE
    elif chain[0] in own.bound:
        yield module, chain[0]
    elif own.imported.get(chain[0], (module, chain[0])) != (
        module,
        chain[0],
    ):  # handed on, as packages do in their __init__
        origin, name = own.imported[chain[0]]
        yield from _resolve(origin, [*([name] if name else []), *chain[1:]])
    elif _file(f"{module}.{chain[0]}") is not None:
        yield from _resolve(f"{module}.{chain[0]}", chain[1:])
    elif not chain[0].startswith("__"):
        yield module, _WHOLE


def _chains(statement: ast.stmt) -> Iterator[list[str]]:
    """``a.b.c`` in a statement as ["a", "b", "c"]."""
    inner = set()
    for node in ast.walk(statement):
        if id(node) in inner or not isinstance(node, ast.Name | ast.Attribute):
            continue
        chain, base = [], node
        while isinstance(base, ast.Attribute):
            chain.append(base.attr)
            base = base.value
            inner.add(id(base))
        if isinstance(base, ast.Name):
            yield [base.id, *chain[::-1]]


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.If | ast.Try | ast.With):
        for inner in ast.iter_child_nodes(statement):
            if isinstance(inner, ast.stmt):
                yield from _bound_names(inner)
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name)
                        and isinstance(node.ctx, ast.Store))  # fmt: skip


def _only_for_types(statement: ast.stmt) -> bool:
    test = getattr(statement, "test", None)
    return isinstance(statement, ast.If) and isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


@functools.cache
def _module(name: str) -> _Module:
    file = _file(name)
    return _Module(name, _without_docstrings(ast.parse(file.read_text("utf-8"))), file.name == "__init__.py")


@functools.cache
def _file(module: str) -> Path | None:
    path = _ROOT.joinpath(*module.split(".")[1:])
    for candidate in (path / "__init__.py", path.parent / f"{path.name}.py"):
        if candidate.is_file() and candidate.is_relative_to(_ROOT):
            return candidate
    return None


def _digest(module: str, name: str) -> str:
    own = _module(module)
    statements = own.always if name == _WHOLE else [*own.bound[name], *own.always]
    return hashlib.sha256("\n".join(map(ast.dump, statements)).encode()).hexdigest()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


@functools.cache
def _held() -> dict:
    """The versions kept on disk, if they are of these very files."""
    files = sorted(_ROOT.rglob("*.py"))
    facts = [(path.as_posix(), status.st_size, status.st_mtime_ns) for path in files for status in [path.stat()]]
    key = hashlib.sha256(repr(facts).encode()).hexdigest()
    with contextlib.suppress(OSError, ValueError):
        held = json.loads(_CACHE.read_text("utf-8"))
        if held.get("files") == key:
            return held
    return {"files": key, "versions": {}}
