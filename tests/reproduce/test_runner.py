"""The runner, on small real notebooks through the real papermill and real kernels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from ourgan._core.errors import OurganError
from ourgan.reproduce.runner import reproduce

PARAMETERS = 'profile = "auto"\nseed = 0'
FIGURE = """
import os, pathlib
figures = pathlib.Path(os.environ["OURGAN_OUT"], "figures")
figures.mkdir(exist_ok=True)
(figures / "01_a.png").write_bytes(b"png")
print(profile, seed)
"""
SOURCES = {
    "01_good": FIGURE,
    "02_fails": "1 / 0",
    "03_killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "04_hangs": "import time\ntime.sleep(60)",
    "05_exits": "raise SystemExit(0)",
    "06_says": "import os, sys; open(profile).close()\nprint(sys.executable, os.getenv('OURGAN_PROFILE'))",
    "07_result": "import os\nos.environ['OURGAN_OUT'] + '/x'",
    "08_large": "print('line\\n' * 60000)",
    "09_wrecks": "import os, shutil\nshutil.rmtree(os.environ['OURGAN_OUT'] + '/notebooks')",
}


def write(directory: Path, *names: str, parameters: str = PARAMETERS) -> Path:
    """Notebooks as this project has them, in directory/notebooks."""
    (directory / "notebooks").mkdir(exist_ok=True)
    for name in names:
        sources = (parameters, SOURCES[name].strip(), "'the end'")
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        cells[0].metadata["tags"] = ["parameters"]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "language": "python",
            "display_name": "Python 3",
        }
        nbformat.write(notebook, directory / "notebooks" / f"{name}.ipynb")
    return directory / "notebooks"


def run_json(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


def test_done(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    notebooks = write(tmp_path, "01_good")
    (tmp_path / "figures").mkdir()
    out = tmp_path / "out"
    assert (
        reproduce("smoke", out=out, notebooks=notebooks, parameters={"seed": 5}, commit_notebooks=True) == 0
    )
    run = run_json(out)
    assert run["status"] == run["notebooks"]["01_good"]["status"] == "done"
    assert run["notebooks"]["01_good"]["figures"] == ["figures/01_a.png"] and run["torch"]
    assert "look at" in capfd.readouterr().out
    # Committed: the outputs of the run, the parameters of the source, and the figure.
    committed = nbformat.read(notebooks / "01_good.ipynb", as_version=4)
    assert [cell.source for cell in committed.cells] == [PARAMETERS, FIGURE.strip(), "'the end'"]
    assert committed.cells[1].outputs[0]["text"] == "smoke 5\n"
    assert "papermill" not in (notebooks / "01_good.ipynb").read_text()
    assert (tmp_path / "figures" / "01_a.png").read_bytes() == b"png"


def test_a_failure_does_not_stop_the_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    notebooks = write(tmp_path, "01_good", "02_fails")
    before = (notebooks / "01_good.ipynb").read_bytes()
    assert reproduce("smoke", out=tmp_path / "out", notebooks=notebooks, commit_notebooks=True) == 1
    run = run_json(tmp_path / "out")
    assert run["status"] == "failed" and run["notebooks"]["01_good"]["status"] == "done"
    failed = run["notebooks"]["02_fails"]
    assert (
        failed["status"] == "failed" and "ZeroDivisionError" in failed["error"] and failed["line"] == "1 / 0"
    )
    assert "1 / 0" in capfd.readouterr().out
    assert (notebooks / "01_good.ipynb").read_bytes() == before  # nothing half-committed


def test_a_killed_kernel_and_a_hung_cell(tmp_path: Path) -> None:
    notebooks = write(tmp_path, "03_killed", "04_hangs")
    assert reproduce("smoke", out=tmp_path / "out", notebooks=notebooks, cell_seconds=3) == 138
    run = run_json(tmp_path / "out")
    assert {name: entry["status"] for name, entry in run["notebooks"].items()} == {
        "03_killed": "dead-kernel",
        "04_hangs": "timeout",
    }
    for name, culprit, line in (
        ("03_killed", "os.kill", "import os, signal"),
        ("04_hangs", "sleep", "import time"),
    ):
        entry = run["notebooks"][name]
        assert (entry["cell"], entry["line"]) == (3, line)  # after the parameters and those injected
        marked = nbformat.read(entry["output"], as_version=4)
        assert entry["status"] in marked.cells[0].source
        states = [(cell.metadata.papermill.status, culprit in cell.source) for cell in marked.cells[1:]]
        assert states[2:] == [("failed", True), ("pending", False)]


def test_exit_is_no_success_and_the_kernel_is_this_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebooks = write(tmp_path, "05_exits", "06_says")
    foreign = tmp_path / "jupyter" / "kernels" / "python3"  # as a user may have installed
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text(
        '{"argv": ["/bin/false"], "display_name": "x", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    (tmp_path / "mine.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out {x}"  # papermill takes braces for places of parameters
    assert reproduce("mine.toml", out=out, notebooks=notebooks) == 1
    entries = run_json(out)["notebooks"]
    assert entries["05_exits"]["status"] == "failed" and entries["05_exits"]["line"] == SOURCES["05_exits"]
    assert entries["06_says"]["status"] == "done"
    said = nbformat.read(entries["06_says"]["output"], as_version=4).cells[2].outputs[0]["text"]
    assert said == f"{sys.executable} {tmp_path / 'mine.toml'}\n"


def test_commits_all_or_nothing_and_no_paths(tmp_path: Path) -> None:
    notebooks, out = write(tmp_path, "07_result", "08_large"), tmp_path / "out"
    path = notebooks / "07_result.ipynb"
    source = nbformat.read(path, as_version=4)
    source.metadata["papermill"] = {"input_path": "/old"}
    source.cells[1].metadata["execution"] = {"iopub.execute_input": "2020-01-01"}
    nbformat.write(source, path)
    before = path.read_bytes()
    with pytest.raises(OurganError, match=r"^08_large\.ipynb: 300000 bytes"):
        reproduce("smoke", out=out, notebooks=notebooks, commit_notebooks=True)
    assert path.read_bytes() == before
    assert reproduce("smoke", ["7"], out, notebooks=notebooks, commit_notebooks=True) == 0
    committed = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in committed.cells] == [1, 2, 3]
    (result,) = committed.cells[1].outputs
    assert (result.execution_count, result.data["text/plain"]) == (2, "'runs/reproduce-smoke/x'")
    assert not [word for word in ("papermill", "iopub", str(tmp_path)) if word in path.read_text()]


def test_run_json_is_final_even_if_the_directory_goes(tmp_path: Path) -> None:
    notebooks, out = write(tmp_path, "09_wrecks"), tmp_path / "out"
    with pytest.raises(OurganError, match="cannot be written"):
        reproduce("smoke", out=out, notebooks=notebooks)
    run = run_json(out)
    assert run["status"] == run["notebooks"]["09_wrecks"]["status"] == "failed"


def test_refused_before_a_kernel_starts(tmp_path: Path) -> None:
    notebooks, out = write(tmp_path, "01_good", "02_fails"), tmp_path / "out"
    for arguments, says in (
        ({"parameters": {"sed": 1}}, "did you mean 'seed'"),
        ({"parameters": {"seed": "1"}}, "type int"),
        ({"only": ["9"]}, "use 01, 02"),
        ({"notebooks": tmp_path}, "checkout"),
        ({"out": tmp_path / "notebooks" / "01_good.ipynb"}, "cannot be written"),
        ({"profile": "smok"}, "did you mean 'smoke'"),
    ):
        with pytest.raises(OurganError, match=says):
            reproduce(**({"profile": "smoke", "out": out, "notebooks": notebooks} | arguments))
    write(tmp_path, "01_good", parameters="seed = 0")  # no profile any more
    with pytest.raises(OurganError, match="no parameter 'profile'"):
        reproduce("smoke", out=out, notebooks=notebooks)
    for line in ("%matplotlib inline", "profile = input()"):
        write(tmp_path, "01_good", parameters=line)
        with pytest.raises(OurganError, match="lines like name = value"):
            reproduce("smoke", out=out, notebooks=notebooks)
    assert not out.exists()


def start(notebooks: Path, out: Path) -> subprocess.Popen[str]:
    """A runner in a process of its own, once its kernel sleeps."""
    code = (
        "import sys; from pathlib import Path; from ourgan.reproduce.runner import reproduce; "
        "reproduce('smoke', out=Path(sys.argv[2]), notebooks=Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(notebooks), str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (out / "run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2)
    return process


def test_killed_and_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notebooks, out = write(tmp_path, "04_hangs"), tmp_path / "out"
    with start(notebooks, out) as process:
        try:
            with pytest.raises(OurganError, match="another run is at work there"):
                reproduce("smoke", out=out, notebooks=notebooks)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert run_json(out)["status"] == "running"
    write(tmp_path, "01_good")
    (notebooks / "04_hangs.ipynb").unlink()
    assert reproduce("smoke", out=out, notebooks=notebooks) == 0
    assert "did not finish" in caplog.text and run_json(out)["status"] == "done"


def test_interrupted(tmp_path: Path) -> None:
    notebooks, out = write(tmp_path, "04_hangs"), tmp_path / "out"
    with start(notebooks, out) as process:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode != 0
    run = run_json(out)
    assert run["status"] == run["notebooks"]["04_hangs"]["status"] == "interrupted"
