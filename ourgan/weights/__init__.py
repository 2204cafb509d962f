"""Released weights: looked up, verified and loaded, with a record of where they came from.

This room may import `hub`, `io`, `models`, `config` and `_core`.

`registry.toml` lists the weights. A file is looked for in the Hub's local cache, then on the Hub, then, where
there is one, in an installed package that carries the same network (`weights.convert` reads its format). The
environment variable OURGAN_WEIGHTS narrows that: `auto` (default), `hub` or `package`; `package` never
touches the network.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ourgan.weights.checks import Weights, build, read_tensors
from ourgan.weights.names import recognise
from ourgan.weights.registry import Package, Released, WeightsError, read_registry
from ourgan.weights.sources import find, from_file, from_hub, from_package

if TYPE_CHECKING:
    from ourgan.models.rrdbnet import RRDBNet
    from ourgan.models.swinir import SwinIR

__all__ = [
    "DEFAULT",
    "Package",
    "Released",
    "Weights",
    "WeightsError",
    "find",
    "find_architecture",
    "from_file",
    "from_hub",
    "from_package",
    "load",
    "network",
    "read_registry",
]

DEFAULT = "realesrgan-x4plus"


def load(name: str = DEFAULT, *, path: str | os.PathLike[str] | None = None) -> Weights:
    """Load released weights by name, or a local file of parameters for the same network.

    Args:
        name: an entry of `registry.toml`.
        path: a .safetensors, .pth, .pt or .ckpt file to use instead of the released one.

    Raises:
        WeightsError: no source has the file, or it differs from its checksum, contains anything but
            tensors or a value that is not finite, or does not fit the network.
    """
    entry = _entry(name)
    return from_file(entry, path) if path is not None else find(entry)


def network(
    name: str = DEFAULT, *, path: str | os.PathLike[str] | None = None, dtype: torch.dtype = torch.float32
) -> tuple[RRDBNet | SwinIR, Weights]:
    """Return the network of `load(name, path=path)` in evaluation mode, and the weights it was loaded with.

    Args:
        name: an entry of `registry.toml` that has an architecture.
        path: a .safetensors, .pth, .pt or .ckpt file to use instead of the released one.
        dtype: the type of the network's parameters.

    Raises:
        WeightsError: as `load` does, and for weights of a network that is not ours (vgg19, ...).
    """
    model = build(_entry(name))
    weights = load(name, path=path)
    model = model.to_empty(device="cpu")
    model.load_state_dict(weights.state_dict)
    return model.to(dtype).eval(), weights


def find_architecture(path: str | os.PathLike[str]) -> str:
    """Return the architecture of the network whose parameters a file holds, "" for one that is not known.

    Raises:
        WeightsError: no such file, or it holds anything but tensors.
    """
    if not Path(path).suffix:
        _entry(str(path))  # says which names there are
    if not Path(path).is_file():
        raise WeightsError(f"{path}: no such file of weights")
    _, network = recognise(read_tensors(Path(path)))
    return network.architecture if network else ""


def _entry(name: str) -> Released:
    entries = read_registry()
    if name not in entries:
        raise WeightsError(f"no released weights are called {name!r}; there are: {', '.join(entries)}")
    return entries[name]
