"""The check of lengths sees what is too long, and only that."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = tool("limits")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "room").mkdir()
    return module


def settings(root: Path, exceptions: str = "") -> None:
    (root / "pyproject.toml").write_text(
        '[tool.limits]\nfolders = ["room"]\nfile_lines = 12\nfunction_lines = 4\n'
        f"exceptions = [{exceptions}]\n"
    )


def test_lengths_are_counted_without_docstring_and_decorators(
    limits: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(tmp_path)
    code = '@cache\ndef f():\n    """One.\n\n    Two.\n    """\n    a = 1\n    b = 2\n    return a + b\n'
    (tmp_path / "room/short.py").write_text(code)
    assert limits.main() == 0 and capsys.readouterr().out == ""
    (tmp_path / "room/long.py").write_text(code.replace("    return", "    c = 3\n    return"))
    assert limits.main() == 1
    assert capsys.readouterr().out == "room/long.py:f, line 2: 5 lines, at most 4\n"
    settings(tmp_path, '"room/long.py:f"')
    assert limits.main() == 0
    (tmp_path / "room/long.py").write_text("\n" * 13)
    assert limits.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        "room/long.py: 13 lines, at most 12",
        "room/long.py:f: no exception is needed any more",
    ]


def test_nothing_is_too_long_here() -> None:
    assert tool("limits").main() == 0


def test_texts_end_well_and_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_text = tool("check_text")
    texts = {
        "good.md": "two spaces  \nbreak a line\n",
        "space.py": "x = 1 \n",
        "end.txt": "no newline",
        "ends.txt": "two\n\n",
        "bad.toml": "a =\n",
        "bad.yml": "a: [\n",
        "merge.txt": "<<<<<<< HEAD\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary.bin").write_bytes(b"\xff\0 ")
    assert check_text.main([str(tmp_path / name) for name in (*texts, "binary.bin")]) == 1
    lines = capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines()
    assert [line.partition(":")[0] for line in lines] == list(texts)[1:]
    assert lines[0] == "space.py: line 1: trailing space"


def test_all_texts_here_end_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TOOLS.parent)
    if not Path(".git").exists():
        pytest.skip("not a checkout")
    assert tool("check_text").main([]) == 0, sys.stdout
