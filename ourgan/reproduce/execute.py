"""One notebook through papermill, in a kernel of this interpreter: what happened, and a file that says so."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import zmq
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbformat import NotebookNode

from ourgan._core import files


class ThisPython(AsyncKernelManager):
    """Starts kernels with the running interpreter, whatever else is installed under the name `python3`."""

    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[], parent=self)  # leaves ipykernel's own: sys.executable

    def _transport_encryption_default(self) -> str:
        return "auto" if zmq.has("curve") else "disabled"  # without it every kernel prints a warning


@dataclasses.dataclass
class Cursor:
    """The cell being executed: the exceptions for a killed kernel and a hung cell do not name it."""

    number: int = 0  # as in `In [..]`
    index: int = -1  # among all cells
    source: str = ""

    def move(self, cell: NotebookNode, cell_index: int) -> None:
        """Take note of the next code cell; papermill calls this before each."""
        self.number, self.index, self.source = self.number + 1, cell_index, cell.source

    def where(self) -> dict[str, Any]:
        """Return the cell's number and its first line, for run.json."""
        return {"cell": self.number, "line": next(iter(self.source.strip().splitlines()), "")}


def execute(path: Path, out: Path, values: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Execute a notebook as out/notebooks/NAME and print the path of each figure as soon as it is there.

    Args:
        path: the notebook.
        out: directory with the folders `notebooks` and `figures`.
        values: its parameters.
        seconds: time limit of one cell.

    Returns:
        Its entry in run.json: `status` ("done", "failed", "timeout" or "dead-kernel"), `output`, `seconds`,
        `figures`, and unless it is done `error`, `cell` and the cell's first `line`.
    """
    before = _figures(out)
    with _announce_figures(out, before):
        entry = _execute(path, out / "notebooks" / path.name, values, seconds)
    written = sorted(_figures(out).items() - before.items(), key=lambda figure: figure[1])
    return entry | {"figures": [figure for figure, _ in written]}


def _execute(path: Path, output: Path, values: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Run papermill. The exception decides what happened: papermill's own marks in the file do not."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    started, cursor = time.monotonic(), Cursor()
    result: dict[str, Any] = {"status": "done", "output": str(output)}
    output.unlink(missing_ok=True)  # of an earlier run
    try:
        executed = execute_notebook(
            _escape_braces(path),
            _escape_braces(output),
            parameters=values,
            kernel_name="python3",
            kernel_manager_class=ThisPython,
            on_cell_execute=cursor.move,
            cwd=path.parent,
            execution_timeout=seconds,
            iopub_timeout=120,
            progress_bar={"leave": False},
        )
        code = [c for c in executed.cells if c.cell_type == "code" and c.source.strip()]
        if any(cell.execution_count is None for cell in code):  # papermill takes sys.exit(0) for success
            result |= {"status": "failed", "error": "SystemExit before the last cell"} | cursor.where()
    except PapermillExecutionError as error:
        result |= {"status": "failed", "error": f"{error.ename}: {error.evalue}"} | cursor.where()
    except CellTimeoutError as error:
        first = " ".join(str(error).strip().splitlines()[:2])  # what follows quotes the cell
        result |= {"status": "timeout", "error": first} | cursor.where()
        _mark(output, result, cursor)
    except RuntimeError as error:  # also a kernel that did not even start
        killed = isinstance(error, DeadKernelError)
        text = "the kernel was killed; was there too little memory?" if killed else str(error)
        result |= {"status": "dead-kernel", "error": text} | cursor.where()
        _mark(output, result, cursor)
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def _escape_braces(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")  # papermill fills parameters into paths


def _mark(output: Path, result: dict[str, Any], cursor: Cursor) -> None:
    """Correct what papermill leaves in the file: there even the cells after the fatal one are "completed"."""
    notebook = nbformat.read(output, as_version=4)
    notebook.metadata.papermill["exception"] = True
    for cell in notebook.cells[cursor.index :] if cursor.index >= 0 else notebook.cells:
        cell.metadata.papermill["status"] = "pending"
    if cursor.index >= 0:
        notebook.cells[cursor.index].metadata.papermill.update(status="failed", exception=True)
    text = f"**Incomplete: {result['status']}** in In [{result['cell']}], {result['error']}"
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(text))
    files.write_bytes(output, nbformat.writes(notebook).encode())


def _figures(out: Path) -> dict[str, int]:
    """Return pictures and when they were written: what an earlier run left is not this one's."""
    paths = (out / "figures").glob("[!.]*.[pj][np]g")
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in paths}


@contextlib.contextmanager
def _announce_figures(out: Path, known: dict[str, int]) -> Iterator[None]:
    """Print each figure's path when it is written: nobody should wait for a notebook's end to look."""
    ended = threading.Event()

    def watch() -> None:
        seen = dict(known)
        while True:
            last = ended.wait(1)
            for figure, when in sorted(_figures(out).items() - seen.items(), key=lambda f: f[1]):
                print(f"look at {out / figure}", flush=True)
                seen[figure] = when
            if last:
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
