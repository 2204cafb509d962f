"""The notebooks: as committed, and executed with the smoke profile in both ways that CI promises."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ENVIRONMENT = os.environ | {"OURGAN_PROFILE": "smoke", "OURGAN_WEIGHTS": "package"}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_form(notebook: Path) -> None:
    content = nbformat.read(notebook, as_version=4)
    nbformat.validate(content)
    assert content.metadata.kernelspec.language == "python"  # papermill needs it
    assert notebook.stat().st_size < 300_000
    tagged = [cell for cell in content.cells if "parameters" in cell.metadata.get("tags", [])]
    assert [line.split(" = ")[0] for line in tagged[0].source.splitlines()] == ["profile", "seed", "photo"]
    kinds = [cell.cell_type for cell in content.cells]
    assert kinds[:3] == ["markdown", "markdown", "code"]  # prose first
    assert kinds.count("markdown") >= 1.5 * kinds.count("code")
    for cell in content.cells:
        assert "/home/" not in cell.source
        tree = ast.parse(cell.source if cell.cell_type == "code" else "")
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        assert all(f.end_lineno - f.lineno < 10 for f in functions)  # longer ones belong in the package


def test_committed_executed(notebook: Path) -> None:
    content = nbformat.read(notebook, as_version=4)
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert not [o for o in outputs if o.get("name") == "stderr"]
    assert [o for o in outputs if "image/png" in o.get("data", {}) or "image/jpeg" in o.get("data", {})]
    begun = "".join(o.get("text", "") for o in outputs[:2])
    assert begun.startswith("profile ") and "smoke" not in begun
    for output in outputs:  # every picture can be read by those who cannot see it
        if "image/jpeg" in output.get("data", {}) or "image/png" in output.get("data", {}):
            mime = "image/jpeg" if "image/jpeg" in output.data else "image/png"
            assert output.metadata[mime]["alt"]


def test_figures_have_their_record(notebook: Path) -> None:
    figures = [p for p in (ROOT / "figures").glob(f"{notebook.stem[:2]}_*") if p.suffix != ".json"]
    assert figures
    for figure in figures:
        record = json.loads(figure.with_suffix(".json").read_text())
        assert record["notebook"] == notebook.stem and record["profile"] != "smoke"
        assert record["command"].startswith("ourgan reproduce") and record["photo_sha256"]


def test_end_to_end(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ourgan", "reproduce", "--profile", "smoke", "--out", str(out)]
    result = subprocess.run(command, env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    run = json.loads((out / "run.json").read_text())
    assert run["status"] == "done" and run["profile"] == "smoke"
    assert sorted(run["notebooks"]) == [path.stem for path in NOTEBOOKS]
    for name, entry in run["notebooks"].items():
        assert entry["status"] == "done" and entry["figures"], name
        record = json.loads((out / f"{name}.json").read_text())
        assert record["logged"] and record["profile"] == "smoke"
    assert "record:" in result.stdout and (out / "scene-7-4k.tif").exists()


def test_nbval(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval-lax",
        "--nbval-cell-timeout=600",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    # The slowest run once, in the test above.
    command += [str(path) for path in NOTEBOOKS if path.stem[:2] not in ("05", "06", "07", "08")]
    environment = ENVIRONMENT | {"OURGAN_OUT": str(tmp_path)}
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
