"""Put a finished run into the checkout: executed notebooks without traces of this machine, and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from ourgan._core import files
from ourgan._core.errors import OurganError

COMMITTED_BYTES = 300_000  # of a notebook


def commit(chosen: Sequence[Path], run: Mapping[str, Any], out: Path, root: Path) -> None:
    """Put executed notebooks and figures in place: all of them, or none if one is too large.

    Args:
        chosen: the notebooks, which are replaced; figures go to the folder `figures` beside theirs.
        run: what run.json says.
        out: directory of the run.
        root: the checkout, which outputs shall not name.

    Raises:
        OurganError: a notebook of COMMITTED_BYTES or more, or one that was edited while it ran.
    """
    names = {out: f"runs/reproduce-{run['profile']}/", root: "", Path.home(): "~/"}
    committed = {path: _with_outputs(path, out / "notebooks" / path.name, names) for path in chosen}
    if large := [path.name for path, data in committed.items() if len(data) >= COMMITTED_BYTES]:
        raise OurganError(
            f"{', '.join(large)}: {COMMITTED_BYTES} bytes or more when executed; show less there"
        )
    for path, data in committed.items():
        files.write_bytes(path, data)
        figures = path.parents[1] / "figures"
        figures.mkdir(exist_ok=True)
        for name in run["notebooks"][path.stem]["figures"]:
            for figure in (out / name, (out / name).with_suffix(".json")):
                if figure.exists():
                    files.write_bytes(figures / figure.name, figure.read_bytes())


def _with_outputs(path: Path, executed: Path, names: Mapping[Path, str]) -> bytes:
    """Return the source's cells and parameters with the run's outputs, and nothing of this machine.

    `names`: what to write for each directory of this machine.
    """
    source = nbformat.read(path, as_version=4)
    cells = nbformat.read(executed, as_version=4).cells
    ran = [cell for cell in cells if "injected-parameters" not in cell.metadata.get("tags", [])]
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
        text = json.dumps([o for o in theirs.outputs if not _is_progress(o)], ensure_ascii=False)
        for directory, name in names.items():
            text = text.replace(f"{directory}/", name)
        mine.outputs = [nbformat.from_dict(output) for output in json.loads(text)]
        for output in mine.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number
    return (nbformat.writes(source) + "\n").encode()


def _is_progress(output: Mapping[str, Any]) -> bool:
    """Tell progress bars and log lines: of use while it runs, noise afterwards."""
    return output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in output.get(
        "data", {}
    )
