"""`ourgan reproduce`: the notebooks from end to end through papermill, and one run.json that is true."""

from __future__ import annotations

import ast
import contextlib
import difflib
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat

from ourgan import files, provenance
from ourgan.config import load_profile
from ourgan.errors import OurganError

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[1]
# Seconds that one cell may take: what a profile promises, many times over, so that a hang ends some time.
CELL_SECONDS = {"smoke": 600, "cpu": 3600, "paper-4k": 86400, "paper-16k": 86400}
EXIT = {"done": 0, "failed": 1, "timeout": 1, "dead-kernel": 138}
COMMITTED_BYTES = 300_000  # of a notebook


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
    values = {"profile": profile if profile.endswith(".toml") else loaded.name} | (parameters or {})
    for path in chosen:
        _check_parameters(path, values)
    out = (out or Path("runs") / f"reproduce-{loaded.name}").resolve()
    _prepare(out)
    run: dict[str, Any] = {"status": "running", "profile": loaded.name, **provenance.record()}
    run["notebooks"] = {path.stem: {"status": "not run"} for path in chosen}
    seconds = cell_seconds or CELL_SECONDS.get(loaded.name, 86400)
    with _environment(out):
        for path in chosen:
            entry = run["notebooks"][path.stem]
            entry["status"] = "running"
            files.write_json(out / "run.json", run)
            log.info("running %s", path.name)
            try:
                entry.update(_execute(path, out / "notebooks" / path.name, values, seconds))
            except KeyboardInterrupt:
                entry["status"] = run["status"] = "interrupted"
                files.write_json(out / "run.json", run)
                raise
            _announce(entry, path.stem, out)
            files.write_json(out / "run.json", run)
    worst = max((entry["status"] for entry in run["notebooks"].values()), key=lambda status: EXIT[status])
    run["status"] = worst
    files.write_json(out / "run.json", run)
    print(_summary(run, out))
    if commit_notebooks and worst == "done":
        _commit(chosen, out, notebooks)
    return EXIT[worst]


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
    """papermill only warns of a parameter that a notebook does not have: refuse it here."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError) as error:
        raise OurganError(f"{path}: not a notebook ({error})") from None
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise OurganError(f"{path}: has {len(cells)} cells tagged 'parameters', needs one")
    defaults: dict[str, Any] = {}
    for statement in ast.parse(cells[0].source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            defaults[statement.targets[0].id] = ast.literal_eval(statement.value)
    for name, value in values.items():
        if name not in defaults:
            close = difflib.get_close_matches(name, defaults, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(defaults)}"
            raise OurganError(f"{path.name}: no parameter '{name}'; {hint}")
        if type(value) is not type(defaults[name]):
            kind = type(defaults[name]).__name__
            raise OurganError(f"{path.name}: parameter '{name}' must be of type {kind}, not {value!r}")


def _prepare(out: Path) -> None:
    try:
        (out / "notebooks").mkdir(parents=True, exist_ok=True)
        files.write_bytes(out / "notebooks" / ".writable", b"")
        (out / "notebooks" / ".writable").unlink()
    except OSError as error:
        raise OurganError(f"{out}: cannot be written ({error.strerror}); choose another --out") from None
    with contextlib.suppress(OSError, ValueError, KeyError):
        if json.loads((out / "run.json").read_text())["status"] == "running":
            log.warning("%s: the last run did not finish; it was killed", out)


@contextlib.contextmanager
def _environment(out: Path) -> Iterator[None]:
    """What the kernels inherit: where to write, and a kernel named python3 that is this interpreter."""
    with tempfile.TemporaryDirectory() as directory:
        specification = Path(directory) / "kernels" / "python3"
        specification.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        content = {"argv": argv, "display_name": "Python 3", "language": "python"}
        (specification / "kernel.json").write_text(json.dumps(content))
        path = os.pathsep.join(filter(None, [directory, os.environ.get("JUPYTER_PATH")]))
        new = {"OURGAN_OUT": str(out), "JUPYTER_PATH": path, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
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

    started = time.monotonic()
    result: dict[str, Any] = {"status": "done", "output": str(output)}
    try:
        execute_notebook(
            path,
            output,
            parameters=values,
            kernel_name="python3",
            cwd=path.parent,
            execution_timeout=seconds,
            iopub_timeout=120,
            progress_bar={"leave": False},
        )
    except PapermillExecutionError as error:
        lines = error.source.strip().splitlines() or [""]
        result |= {"status": "failed", "error": f"{error.ename}: {error.evalue}", "line": lines[0]}
        result["cell"] = error.cell_index
    except DeadKernelError:
        result |= {"status": "dead-kernel", "error": "the kernel was killed; was there too little memory?"}
    except CellTimeoutError as error:
        first = str(error).strip().splitlines()[0]
        result |= {"status": "timeout", "error": f"a cell took over {seconds} s: {first}"}
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def _announce(entry: dict[str, Any], name: str, out: Path) -> None:
    figures = sorted((out / "figures").glob(f"{name[:2]}_*.[pj][np]g"))
    entry["figures"] = [str(path.relative_to(out)) for path in figures]
    print(f"{name}: {entry['status']} in {entry['seconds'] / 60:.1f} min", end="; " if figures else "\n")
    if figures:
        print(f"look at {figures[0]}", flush=True)


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


def _commit(chosen: Sequence[Path], out: Path, notebooks: Path) -> None:
    """Put executed notebooks and figures in place: outputs of the run, cells and parameters of the source."""
    for path in chosen:
        source = nbformat.read(path, as_version=4)
        executed = nbformat.read(out / "notebooks" / path.name, as_version=4)
        ran = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
        for mine, theirs in zip(source.cells, ran, strict=True):
            if mine.cell_type == "code":
                mine.outputs = [output for output in theirs.outputs if not _is_progress(output)]
                mine.execution_count = theirs.execution_count
        text = nbformat.writes(source) + "\n"
        if len(text) > COMMITTED_BYTES:
            raise OurganError(
                f"{path.name}: {len(text)} bytes when executed, the limit is {COMMITTED_BYTES}; show less"
            )
        files.write_bytes(path, text.encode())
        for figure in (out / "figures").glob(f"{path.stem[:2]}_*"):
            files.write_bytes(notebooks.parent / "figures" / figure.name, figure.read_bytes())
