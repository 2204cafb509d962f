"""Checkpoints: one safetensors file, whole or absent, that holds all a training needs to go on.

Beside it lie the log and, of super-resolution, the weights that were best by validation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ourgan._core.errors import OurganError
from ourgan._core.files import atomic_path, write_bytes

CHECKPOINT = "checkpoint.safetensors"  # in the directory of a run
LOG = "log.jsonl"  # beside it


class TrainingError(OurganError):
    """A training that cannot go on; says at which iteration and why."""


class CheckpointError(OurganError):
    """A checkpoint or model file that cannot be used; names the file and the reason."""


def save(path: str | os.PathLike[str], tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors and JSON-able `meta` atomically, with a checksum of both; never a pickle.

    A crash at any moment leaves the previous file. Non-finite values are refused, so that a good
    checkpoint is never replaced by a ruined one. Raises CheckpointError for these, and where the file
    cannot be written.
    """
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise CheckpointError(
            f"{path}: not saved, {bad[0]} holds NaN or infinity (the previous file is kept)"
        )
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        with atomic_path(path) as temporary:
            text = json.dumps(meta)
            save_file(copies, temporary, metadata={"ourgan": text, "sha256": _checksum(copies, text)})
    except (SafetensorError, OSError) as error:
        raise _unwritten(path, error) from error


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save` wrote; raises CheckpointError when the file is absent, damaged or foreign.

    One bit that is not as it was written is damage. An earlier version's file, without a checksum, is read.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            meta = dict(json.loads(header["ourgan"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if header.get("sha256", found := _checksum(tensors, header["ourgan"])) != found:
            raise ValueError("its contents are not those that were written: their sha256 differs")
        return tensors, meta
    except KeyError:
        raise CheckpointError(f"{path}: not written by ourgan (its header has no 'ourgan' entry)") from None
    except (SafetensorError, ValueError, TypeError, OSError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); delete it, or restore it from a copy") from None


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log. Raises CheckpointError where it is missing or damaged."""
    try:
        return [dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}); restore it from a copy, or train anew in another --out"
        ) from None


def write_log(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Write a run's log, a line of JSON for each of `lines`. Raises CheckpointError if that cannot be."""
    try:
        write_bytes(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
    except OSError as error:
        raise _unwritten(path, error) from error


def add_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under `prefix.` names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix.`, without it."""
    start = prefix + "."
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def collect(
    modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """Return the state of networks and optimisers as flat tensors under their names.

    Those of an optimiser are `<its name>.<parameter index>.<name>`.
    """
    tensors: dict[str, Tensor] = {}
    for title, module in modules.items():
        tensors |= add_prefix(title, dict(module.state_dict()))
    for title, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= add_prefix(f"{title}.{index}", {k: torch.as_tensor(v) for k, v in state.items()})
    return tensors


def restore(
    tensors: dict[str, Tensor],
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> None:
    """Put back what `collect` returned; the optimisers keep their groups as built."""
    for title, module in modules.items():
        module.load_state_dict(with_prefix(title, tensors))
    for title, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in with_prefix(title, tensors).items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


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
    """Turn what goes wrong while a checkpoint's tensors are restored into a CheckpointError."""
    try:
        yield
    except (KeyError, RuntimeError, ValueError):
        raise CheckpointError(
            f"{path}: damaged (it does not fit the networks); delete it, or restore it from a copy"
        ) from None


@dataclasses.dataclass(frozen=True)
class Validation:
    """The averaged network on what it was not trained on."""

    iteration: int
    st_lpips: float  # lower is better; training stops by this one
    psnr: float  # in decibels

    def line(self) -> dict[str, Any]:
        """Return the line of the log."""
        numbers = {"st_lpips": self.st_lpips, "psnr": self.psnr}
        return {"iteration": self.iteration} | {name: float(f"{v:.5g}") for name, v in numbers.items()}


class BestWeights:
    """The best validation so far, and its weights as a file in the directory of the run."""

    def __init__(self) -> None:
        self.validation = Validation(-1, float("inf"), 0.0)
        self.waited = 0  # validations since the best

    def _path(self, run: Path) -> Path:
        # Named by its iteration: what a killed run wrote ahead of its checkpoint is not mistaken for it.
        return run / f"best-{self.validation.iteration:06d}.safetensors"

    def update(self, values: Validation, network: nn.Module, run: Path) -> None:
        """Keep the weights of `network` in `run` if `values` are better than the best so far."""
        if values.st_lpips < self.validation.st_lpips:
            self.validation, self.waited = values, 0
            save(self._path(run), network.state_dict(), {"iteration": values.iteration})
        else:
            self.waited += 1

    def remove_others(self, run: Path) -> None:
        """Remove the files of earlier bests; to be called once a checkpoint names the new one."""
        for old in run.glob("best-*.safetensors"):
            if old != self._path(run):
                old.unlink()

    def metadata(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it, as plain data."""
        return {"best": dataclasses.asdict(self.validation), "waited": self.waited}

    def restore(self, meta: dict[str, Any], run: Path) -> None:
        """Continue from `metadata`. Raises CheckpointError unless the weights are there and whole."""
        self.validation, self.waited = Validation(**meta["best"]), meta["waited"]
        if self.validation.iteration >= 0:  # better known before hours of training than after
            load(self._path(run))

    def load_into(self, network: nn.Module, run: Path) -> None:
        """Put the weights into `network`. Raises CheckpointError unless they are there and whole."""
        network.load_state_dict(load(self._path(run))[0])


def _unwritten(path: str | os.PathLike[str], error: Exception) -> CheckpointError:
    reason = getattr(error, "strerror", None) or error
    return CheckpointError(
        f"{path}: cannot be written ({reason}); what was saved before is kept: make room, then resume"
    )


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    """SHA-256 of the tensors, with their names, types and shapes, and of the meta entry."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _difference(key: str, theirs: Any, mine: Any) -> str:
    if isinstance(theirs, dict) and isinstance(mine, dict):
        for name in [*mine, *theirs]:
            if theirs.get(name) != mine.get(name):
                return f"{name} was {theirs.get(name)} and is now {mine.get(name)}"
    return f"{key} was {theirs} and is now {mine}"
