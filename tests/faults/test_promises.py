"""The page of promises names every fault, and tests that there are; the page of licences names every pin."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


def test_every_fault_has_a_promise_and_a_test() -> None:
    rows = re.findall(r"(?m)^\| (F\d+) \| (.+?) \| (.+?) \| (.+) \|$", PAGE)
    assert [row[0] for row in rows] == [f"F{number}" for number in range(1, 26)]
    assert all("::" in row[3] for row in rows)


def test_every_test_of_the_page_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 60
    for path in {path for path, _ in named}:
        tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
        there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert [name for where, name in named if where == path and name not in there] == [], path


def test_the_page_of_licences_has_every_pin() -> None:
    pins = runpy.run_path(str(ROOT / "tools" / "licences.py"))["pins"]()
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"(?m)^\| ([\w.-]+) \| (\d\S*) \| ", text))
    assert rows == pins, "run python tools/licences.py"
