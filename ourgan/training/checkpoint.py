"""Checkpoints: one safetensors file, whole or absent, that holds all a training needs to go on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ourgan.errors import OurganError
from ourgan.files import atomic_path, clean_partial
from ourgan.training.errors import TrainingError

CHECKPOINT = "checkpoint.safetensors"  # in the directory of a run
LOG = "log.jsonl"  # beside it


class CheckpointError(OurganError):
    """A checkpoint or model file that cannot be used; names the file and the reason."""


def save(path: str | os.PathLike[str], tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors and JSON-able `meta` atomically; never a pickle.

    A crash at any moment leaves the previous file. Non-finite values are refused, so that a good
    checkpoint is never replaced by a ruined one. Raises CheckpointError for these, and where the file
    cannot be written.
    """
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise CheckpointError(
            f"{path}: not saved, {bad[0]} holds NaN or infinity (the previous file is kept)"
        )
    held = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        with atomic_path(path) as temporary:
            save_file(held, temporary, metadata={"ourgan": json.dumps(meta)})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error}); what was saved before is kept: make room, then resume"
        ) from error


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save` wrote; raises CheckpointError when the file is absent, damaged or foreign."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            meta = dict(json.loads((file.metadata() or {})["ourgan"]))
            return {name: file.get_tensor(name) for name in file.keys()}, meta
    except KeyError:
        raise CheckpointError(f"{path}: not written by ourgan (its header has no 'ourgan' entry)") from None
    except (SafetensorError, ValueError, TypeError, OSError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); delete it, or restore it from a copy") from None


def open_run(run: Path, resume: bool) -> bool:
    """Make the directory of a run, rid of what a killed one left; whether a checkpoint is to be continued.

    Raises TrainingError for one that is there, unless `resume`.
    """
    run.mkdir(parents=True, exist_ok=True)
    clean_partial(run)
    if not (run / CHECKPOINT).exists():
        return False
    if not resume:
        raise TrainingError(
            f"{run} holds a training already: continue it with --resume, or choose another --out"
        )
    return True


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under `prefix.` names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix.`, without it."""
    start = prefix + "."
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as flat tensors, `<parameter index>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(v) for index, held in state.items() for name, v in held.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took; the groups are those of the optimizer as built."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def check_identity(path: str | os.PathLike[str], meta: dict[str, Any], mine: dict[str, Any]) -> None:
    """Refuse a checkpoint whose `identity` is not `mine`; the CheckpointError names the first difference."""
    if "identity" not in meta:
        raise CheckpointError(f"{path}: holds no training to continue; choose another --out")
    for key, value in mine.items():
        theirs = meta["identity"].get(key)
        if theirs != value:
            raise CheckpointError(
                f"{path}: of another training, {_difference(key, theirs, value)}; use its settings, "
                "or another --out"
            )


@contextlib.contextmanager
def fitting(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong while a checkpoint's tensors are put in their places into a CheckpointError."""
    try:
        yield
    except (KeyError, RuntimeError, ValueError):
        raise CheckpointError(
            f"{path}: damaged (it does not fit the networks); delete it, or restore it from a copy"
        ) from None


def _difference(key: str, theirs: Any, mine: Any) -> str:
    if isinstance(theirs, dict) and isinstance(mine, dict):
        for name in mine:
            if theirs.get(name) != mine[name]:
                return f"{name} was {theirs.get(name)} and is now {mine[name]}"
    return f"{key} was {theirs} and is now {mine}"
