"""Results by what they were made from: a cell is a file whose name is the hash of its inputs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ourgan._core import files
from ourgan._core.errors import OurganError


def digest(value: Any) -> str:
    """40 hexadecimal digits for plain JSON values; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:40]


def cell_path(directory: Path, inputs: dict[str, Any]) -> Path:
    """Where the result of `inputs` lies or will lie."""
    return directory / f"{digest(inputs)}.json"


def write_cell(path: Path, inputs: dict[str, Any], value: float | list[float]) -> None:
    """Write a result atomically. The same inputs give the same bytes: no time, no machine in it."""
    if path.stem != digest(inputs):
        raise ValueError(f"{path} is not the cell of {inputs}")
    files.write_json(path, {"inputs": inputs, "value": value})


def read_cell(path: Path) -> list[float]:
    """A result: one value, or one for each picture. Raises OurganError for a file of another content."""
    try:
        cell = json.loads(path.read_text(encoding="utf-8"))
        value, inputs = cell["value"], cell["inputs"]
        values = [float(each) for each in (value if isinstance(value, list) else [value])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OurganError(
            f"{path}: damaged ({type(error).__name__}); remove it, and it is made again"
        ) from None
    if digest(inputs) != path.stem:
        raise OurganError(f"{path}: holds the result of other inputs; remove it, and it is made again")
    return values
