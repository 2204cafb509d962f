"""`ourgan reproduce`: the notebooks from end to end through papermill, and one run.json that is true."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import nbformat
import zmq
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbformat import NotebookNode

from ourgan._core import files, provenance
from ourgan._core.errors import OurganError
from ourgan.config import load_profile, resolve_profile

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
# Seconds that one cell may take: what a profile promises, many times over, so that a hang ends some time.
CELL_SECONDS = {"smoke": 600, "quick": 3600, "cpu": 3600, "paper-4k": 86400, "paper-16k": 86400}
EXIT = {"done": 0, "failed": 1, "timeout": 1, "dead-kernel": 138}
COMMITTED_BYTES = 300_000  # of a notebook


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
        """Papermill calls this before each code cell."""
        self.number, self.index, self.source = self.number + 1, cell_index, cell.source

    def where(self) -> dict[str, Any]:
        """For run.json."""
        return {"cell": self.number, "line": next(iter(self.source.strip().splitlines()), "")}


def reproduce(
    profile: str = "auto",
    only: Sequence[str] | None = None,
    out: Path | None = None,
    *,
    notebooks: Path = ROOT / "notebooks",
    commit_notebooks: bool = False,
    parameters: dict[str, Any] | None = None,
    cell_seconds: int | None = None,
) -> int:
    """Execute the notebooks; returns 0 when all are done, 1 when one failed, 138 when a kernel was killed.

    Args:
        only: numbers or names of notebooks.
        out: directory for executed notebooks, figures and run.json; runs/reproduce-PROFILE when None.
        commit_notebooks: put executed notebooks and figures in place when all are done.
        parameters: values for the notebooks' `parameters` cells beside the profile.

    Whatever can be known before is refused before a kernel starts, as OurganError. One notebook's failure
    does not stop the others. KeyboardInterrupt passes through, after run.json has been written.
    """
    loaded = load_profile(profile)
    chosen = _choose(notebooks, only)
    given = resolve_profile(profile)
    # Kernels work in the notebooks' folder: a path relative to ours would mislead there.
    value = str(Path(given).resolve()) if given.endswith(".toml") else loaded.name
    values = {"profile": value} | (parameters or {})
    for path in chosen:
        _check_parameters(path, values)
    out = (out or Path("runs") / f"reproduce-{loaded.name}").resolve()
    with _held(out):
        run: dict[str, Any] = {"status": "running", "profile": loaded.name, **provenance.record()}
        run["notebooks"] = {path.stem: {"status": "not run"} for path in chosen}
        with _environment(out, value):
            _execute_all(chosen, run, out, values, cell_seconds or CELL_SECONDS.get(loaded.name, 86400))
        print(_summary(run, out))
        if commit_notebooks and run["status"] == "done":
            _commit(chosen, run, out, notebooks)
    return EXIT[run["status"]]


def _execute_all(
    chosen: Sequence[Path], run: dict[str, Any], out: Path, values: dict[str, Any], seconds: int
) -> None:
    """One after the other; run.json says how it ended, whatever ends it."""
    try:
        for path in chosen:
            entry = run["notebooks"][path.stem]
            entry["status"] = "running"
            _save(run, out)
            log.info("running %s", path.name)
            before = _figures(out)
            with _announced(out, before):
                entry.update(_execute(path, out / "notebooks" / path.name, values, seconds))
            made = sorted(_figures(out).items() - before.items(), key=lambda figure: figure[1])
            entry["figures"] = [figure for figure, _ in made]
            print(f"{path.stem}: {entry['status']} in {entry['seconds'] / 60:.1f} min", flush=True)
        run["status"] = max((e["status"] for e in run["notebooks"].values()), key=lambda status: EXIT[status])
    except BaseException as error:
        run["status"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        for entry in run["notebooks"].values():
            if entry["status"] == "running":
                entry |= {"status": run["status"], "error": f"{type(error).__name__}: {error}"}
        if isinstance(error, OSError):
            raise OurganError(
                f"{out}: cannot be written ({error.strerror or error}); make room there"
            ) from error
        raise
    finally:
        _save(run, out)


def _save(run: dict[str, Any], out: Path) -> None:
    try:
        files.write_json(out / "run.json", run)
    except OSError as error:
        raise OurganError(f"{out}: cannot be written ({error.strerror or error}); make room there") from error


def _choose(directory: Path, only: Sequence[str] | None) -> list[Path]:
    found = sorted(directory.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise OurganError(
            f"{directory}: no notebooks here; run `ourgan reproduce` from a checkout of the project"
        )
    if only is None:
        return found
    by_name = {path.stem[:2]: path for path in found} | {path.stem: path for path in found}
    wanted = []
    for name in only:
        key = name.zfill(2) if name.isdigit() else name.removesuffix(".ipynb")
        if key not in by_name:
            raise OurganError(
                f"--only {name}: there is no such notebook; use {', '.join(p.stem[:2] for p in found)}"
            )
        wanted.append(by_name[key])
    return sorted(set(wanted))


def _check_parameters(path: Path, values: dict[str, Any]) -> None:
    """Papermill only warns of a parameter that a notebook does not have: refuse it here."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError) as error:
        raise OurganError(f"{path}: not a notebook ({error})") from None
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise OurganError(f"{path}: has {len(cells)} cells tagged 'parameters', needs one")
    defaults: dict[str, Any] = {}
    try:
        for statement in ast.parse(cells[0].source).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=default):
                    defaults[name] = ast.literal_eval(default)
                case _:
                    raise ValueError("not an assignment")
    except (SyntaxError, ValueError):
        raise OurganError(f"{path}: its 'parameters' cell may only hold lines like name = value") from None
    for name, value in values.items():
        if name not in defaults:
            close = difflib.get_close_matches(name, defaults, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(defaults)}"
            raise OurganError(f"{path.name}: no parameter '{name}'; {hint}")
        if type(value) is not type(defaults[name]):
            kind = type(defaults[name]).__name__
            raise OurganError(f"{path.name}: parameter '{name}' must be of type {kind}, not {value!r}")


@contextlib.contextmanager
def _held(out: Path) -> Iterator[None]:
    """Make `out` for this run alone: the operating system drops the lock even of a killed process."""
    try:
        (out / "notebooks").mkdir(parents=True, exist_ok=True)
        (out / "figures").mkdir(exist_ok=True)
        lock = filelock.FileLock(out / "run.lock")
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise OurganError(
            f"{out}: another run is at work there; wait for it or choose another --out"
        ) from None
    except OSError as error:
        raise OurganError(f"{out}: cannot be written ({error.strerror}); choose another --out") from None
    try:
        files.clean_partial(out)
        with contextlib.suppress(OSError, ValueError, KeyError):
            if json.loads((out / "run.json").read_text())["status"] == "running":
                log.warning("%s: the last run did not finish; it was killed", out)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _environment(out: Path, profile: str) -> Iterator[None]:
    """What the kernels inherit; papermill has no other way to hand it to them."""
    new = {
        "OURGAN_OUT": str(out),
        "OURGAN_PROFILE": profile,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONHASHSEED": "0",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    before = {name: os.environ.get(name) for name in new}
    os.environ.update(new)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _execute(path: Path, output: Path, values: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Run one notebook. The exception decides what happened: papermill's own marks in the file do not."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    started, cursor = time.monotonic(), Cursor()
    result: dict[str, Any] = {"status": "done", "output": str(output)}
    output.unlink(missing_ok=True)  # of an earlier run
    try:
        executed = execute_notebook(
            _unformatted(path),
            _unformatted(output),
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


def _unformatted(path: Path) -> str:
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
    """Pictures and when they were written: what an earlier run left is not this one's."""
    paths = (out / "figures").glob("[!.]*.[pj][np]g")
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in paths}


@contextlib.contextmanager
def _announced(out: Path, known: dict[str, int]) -> Iterator[None]:
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


def _summary(run: dict[str, Any], out: Path) -> str:
    lines = ["", f"{'notebook':<32} {'status':<12} {'minutes':>7}  figures"]
    for name, entry in run["notebooks"].items():
        minutes = entry.get("seconds", 0) / 60
        lines.append(f"{name:<32} {entry['status']:<12} {minutes:7.1f}  {len(entry.get('figures', []))}")
        if "error" in entry:
            lines.append(f"    {entry['error']}" + (f"  [{entry['line']}]" if "line" in entry else ""))
    lines += [
        "",
        f"notebooks: {out / 'notebooks'}",
        f"figures:   {out / 'figures'}",
        f"record:    {out / 'run.json'}",
    ]
    return "\n".join(lines)


def _is_progress(output: Any) -> bool:
    """Progress bars and log lines: of use while it runs, noise afterwards."""
    return output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in output.get(
        "data", {}
    )


def _commit(chosen: Sequence[Path], run: dict[str, Any], out: Path, notebooks: Path) -> None:
    """Put executed notebooks and figures in place: all of them, or none if one is too large."""
    committed = {path: _with_outputs(path, out, run["profile"]) for path in chosen}
    if large := [path.name for path, data in committed.items() if len(data) >= COMMITTED_BYTES]:
        raise OurganError(
            f"{', '.join(large)}: {COMMITTED_BYTES} bytes or more when executed; show less there"
        )
    (notebooks.parent / "figures").mkdir(exist_ok=True)
    for path, data in committed.items():
        files.write_bytes(path, data)
        for name in run["notebooks"][path.stem]["figures"]:
            for figure in (out / name, (out / name).with_suffix(".json")):
                if figure.exists():
                    files.write_bytes(notebooks.parent / "figures" / figure.name, figure.read_bytes())


def _with_outputs(path: Path, out: Path, profile: str) -> bytes:
    """The source's cells and parameters with the run's outputs, and nothing of this machine."""
    source = nbformat.read(path, as_version=4)
    executed = nbformat.read(out / "notebooks" / path.name, as_version=4)
    ran = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    if [cell.source for cell in ran] != [cell.source for cell in source.cells]:
        raise OurganError(f"{path}: it was edited while it ran; run it again")
    for key in ("papermill", "widgets"):
        source.metadata.pop(key, None)
    number = 0
    for mine, theirs in zip(source.cells, ran, strict=True):
        for key in ("papermill", "execution"):
            mine.metadata.pop(key, None)
        if mine.cell_type != "code":
            continue
        number += bool(mine.source.strip())
        mine.execution_count = number if mine.source.strip() else None
        text = json.dumps(
            [output for output in theirs.outputs if not _is_progress(output)], ensure_ascii=False
        )
        for directory, name in ((out, f"runs/reproduce-{profile}/"), (ROOT, ""), (Path.home(), "~/")):
            text = text.replace(f"{directory}/", name)
        mine.outputs = [nbformat.from_dict(output) for output in json.loads(text)]
        for output in mine.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number
    return (nbformat.writes(source) + "\n").encode()
