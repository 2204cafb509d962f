"""`ourgan reproduce`: the notebooks from end to end, and one run.json that says truly how each ended."""

from __future__ import annotations

import ast
import contextlib
import difflib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import nbformat

from ourgan._core import files, provenance
from ourgan._core.errors import OurganError
from ourgan.config import load_profile, resolve_profile
from ourgan.reproduce import ROOT
from ourgan.reproduce.commit import commit
from ourgan.reproduce.execute import execute

log = logging.getLogger(__name__)

# Seconds that one cell may take: what a profile promises, many times over, so that a hang ends some time.
CELL_SECONDS = {"smoke": 600, "quick": 3600, "cpu": 3600, "paper-4k": 86400, "paper-16k": 86400}
EXIT = {"done": 0, "failed": 1, "timeout": 1, "dead-kernel": 138}


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
    """Execute the notebooks and leave them, their figures and run.json in a directory.

    One notebook's failure does not stop the others. KeyboardInterrupt passes through, after run.json has
    been written.

    Args:
        profile: name of a profile, or the path of one's own.
        only: numbers or names of notebooks; all when None.
        out: directory for executed notebooks, figures and run.json; runs/reproduce-PROFILE when None.
        notebooks: directory of the notebooks.
        commit_notebooks: put executed notebooks and figures in place when all are done.
        parameters: values for the notebooks' `parameters` cells beside the profile.
        cell_seconds: time limit of one cell; the profile's of CELL_SECONDS when None.

    Returns:
        The exit code: 0 when all are done, 1 when one failed, 138 when a kernel was killed.

    Raises:
        OurganError: before a kernel starts, for whatever can be known then; or when `out` cannot be written.
    """
    loaded = load_profile(profile)
    chosen = _choose(notebooks, only)
    resolved = resolve_profile(profile)
    # Kernels work in the notebooks' folder: a path relative to ours would mislead there.
    value = str(Path(resolved).resolve()) if resolved.endswith(".toml") else loaded.name
    values = {"profile": value} | (parameters or {})
    for path in chosen:
        _check_parameters(path, values)
    out = (out or Path("runs") / f"reproduce-{loaded.name}").resolve()
    with _locked(out):
        run: dict[str, Any] = {"status": "running", "profile": loaded.name, **provenance.record()}
        run["notebooks"] = {path.stem: {"status": "not run"} for path in chosen}
        with files.refuse_unwritable(out, "make room there"), _environment(out, value):
            _execute_all(chosen, run, out, values, cell_seconds or CELL_SECONDS.get(loaded.name, 86400))
        print(_summary(run, out))
        if commit_notebooks and run["status"] == "done":
            commit(chosen, run, out, ROOT)
    return EXIT[run["status"]]


def _execute_all(
    chosen: Sequence[Path], run: dict[str, Any], out: Path, values: dict[str, Any], seconds: int
) -> None:
    """Execute one after the other; run.json says how it ended, whatever ends it."""
    try:
        for path in chosen:
            entry = run["notebooks"][path.stem]
            entry["status"] = "running"
            files.write_json(out / "run.json", run)
            log.info("running %s", path.name)
            entry.update(execute(path, out, values, seconds))
            print(f"{path.stem}: {entry['status']} in {entry['seconds'] / 60:.1f} min", flush=True)
        run["status"] = max((e["status"] for e in run["notebooks"].values()), key=lambda status: EXIT[status])
    except BaseException as error:
        run["status"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        for entry in run["notebooks"].values():
            if entry["status"] == "running":
                entry |= {"status": run["status"], "error": f"{type(error).__name__}: {error}"}
        raise
    finally:
        files.write_json(out / "run.json", run)


def _choose(directory: Path, only: Sequence[str] | None) -> list[Path]:
    """Return the notebooks of a directory, or those of them that `only` names."""
    paths = sorted(directory.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise OurganError(
            f"{directory}: no notebooks here; run `ourgan reproduce` from a checkout of the project"
        )
    if only is None:
        return paths
    by_name = {path.stem[:2]: path for path in paths} | {path.stem: path for path in paths}
    chosen = []
    for name in only:
        key = name.zfill(2) if name.isdigit() else name.removesuffix(".ipynb")
        if key not in by_name:
            raise OurganError(
                f"--only {name}: there is no such notebook; use {', '.join(p.stem[:2] for p in paths)}"
            )
        chosen.append(by_name[key])
    return sorted(set(chosen))


def _check_parameters(path: Path, values: dict[str, Any]) -> None:
    """Refuse a parameter that a notebook does not have, of which papermill would only warn."""
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
def _locked(out: Path) -> Iterator[None]:
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
    """Set what the kernels inherit; papermill has no other way to hand it to them."""
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


def _summary(run: dict[str, Any], out: Path) -> str:
    lines = ["", f"{'notebook':<32} {'status':<12} {'minutes':>7}  figures"]
    for name, entry in run["notebooks"].items():
        minutes = entry.get("seconds", 0) / 60
        lines.append(f"{name:<32} {entry['status']:<12} {minutes:7.1f}  {len(entry.get('figures', []))}")
        if "error" in entry:
            lines.append(f"    {entry['error']}" + (f"  [{entry['line']}]" if "line" in entry else ""))
    places = {"notebooks": out / "notebooks", "figures": out / "figures", "record": out / "run.json"}
    return "\n".join([*lines, "", *(f"{name + ':':<10} {path}" for name, path in places.items())])
