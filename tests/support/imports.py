"""What Python files import, read from their source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def imported(statements: list[ast.stmt]) -> Iterator[str]:
    """Yield the modules that are imported when a module is, without those for types only."""
    for statement in statements:
        match statement:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{name.name}" for name in names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
                yield from imported(orelse)
            case ast.If(body=body, orelse=orelse):
                yield from imported([*body, *orelse])


def file_of(module: str) -> Path | None:
    """Return the file of a module of ours."""
    path = ROOT / module.replace(".", "/")
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((each for each in found if each.is_file()), None)


def own_files(starts: Iterable[Path]) -> set[Path]:
    """Return these files and all of ours that they need, imports within functions included."""
    waiting, seen = list(starts), set[Path]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        tree = ast.parse(path.read_text())
        nested = [
            statement
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for statement in node.body
        ]
        for module in imported([*tree.body, *nested]):
            found = file_of(module)
            waiting += [found] if found is not None else []
        package = path.parent / "__init__.py"
        waiting += [package] if package.is_file() else []
    return seen
