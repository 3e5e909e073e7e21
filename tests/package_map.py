"""The list of rooms and modules in CONTRIBUTING.md, made from the docstrings:  python tests/package_map.py"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- rooms: made by python tests/package_map.py -->\n", "<!-- end of rooms -->\n"


def rooms() -> str:
    """The package as a list in Markdown: a line for each room and module, which is the first one of its docstring."""
    lines = ["```", "nbsupport/"]
    for path in sorted((ROOT / "nbsupport").rglob("*.py"), key=_order):
        inner = path.relative_to(ROOT / "nbsupport")
        if inner.as_posix() == "__init__.py":
            continue
        is_room = inner.name == "__init__.py"
        name = f"{inner.parent.name}/" if is_room else inner.name
        depth = len(inner.parts) - is_room
        first = ast.get_docstring(ast.parse(path.read_text("utf-8"))).split("\n")[0]
        lines.append(f"{'  ' * depth}{name:{28 - 2 * depth}}{first.replace('``', '').rstrip('.')}")
    return "\n".join([*lines, "```\n"])


def _order(path: Path) -> tuple:
    inner = path.relative_to(ROOT / "nbsupport")
    return (*inner.parts[:-1], "" if inner.name == "__init__.py" else inner.name)


def written() -> str:
    """CONTRIBUTING.md with the list as it should be."""
    text = PLACE.read_text("utf-8")
    return re.sub(f"{BEGIN}.*{END}", lambda _: BEGIN + rooms() + END, text, flags=re.DOTALL)


if __name__ == "__main__":
    PLACE.write_text(written(), "utf-8")
