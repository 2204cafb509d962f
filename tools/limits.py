"""Check that files and functions stay as short as CONTRIBUTING.md says.

    python tools/limits.py

Prints a line for each that is longer and exits with 1 then. A function counts without its decorators and its
docstring. `[tool.limits]` of pyproject.toml has the numbers and the folders, and may list exceptions for as
long as there are any (FILE, or FILE:FUNCTION); an exception that is no longer needed is a fault, too.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def too_long(path: Path, name: str, file_lines: int, function_lines: int) -> Iterator[tuple[str, str]]:
    """Yield (FILE or FILE:FUNCTION, what is wrong with it) for a Python file called `name` in messages."""
    text = path.read_text(encoding="utf-8")
    if (lines := len(text.splitlines())) > file_lines:
        yield name, f"{name}: {lines} lines, at most {file_lines}"
    for function in (node for node in ast.walk(ast.parse(text)) if isinstance(node, FUNCTIONS)):
        if (lines := length(function)) > function_lines:
            place = f"{name}:{function.name}"
            yield place, f"{place}, line {function.lineno}: {lines} lines, at most {function_lines}"


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without its decorators and its docstring."""
    first, lines = function.body[0], (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def main() -> int:
    """Print what is too long in the folders of pyproject.toml; return the exit code."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["limits"]
    exceptions = dict.fromkeys(options.get("exceptions", ()), False)
    faults = []
    for path in sorted(path for folder in options["folders"] for path in (ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for place, fault in too_long(path, name, options["file_lines"], options["function_lines"]):
            if place in exceptions:
                exceptions[place] = True
            else:
                faults.append(fault)
    faults += [f"{place}: no exception is needed any more" for place, used in exceptions.items() if not used]
    print("\n".join(faults), end="\n" if faults else "")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
