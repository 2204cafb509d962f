"""Read parameters from a file, and check that they fit the network they are for."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ourgan.hub.client import first_line
from ourgan.weights.names import recognise
from ourgan.weights.registry import Released, WeightsError

if TYPE_CHECKING:
    from ourgan.models.rrdbnet import RRDBNet
    from ourgan.models.swinir import SwinIR

logger = logging.getLogger("ourgan.weights")

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WRAPPERS = ("params_ema", "params", "state_dict")  # in this order: the running average comes out best
PICKLES = (".pth", ".pt", ".ckpt")  # in any case


@dataclass(frozen=True)
class Weights:
    """Verified parameters.

    Attributes:
        name: of the entry of `registry.toml` that they fit.
        state_dict: the parameters by the names of our networks.
        source: in words, where they came from.
        sha256: of the file that was read.
        licence: of the weights, in words.
    """

    name: str
    state_dict: dict[str, Tensor]
    source: str
    sha256: str
    licence: str


def build(entry: Released) -> RRDBNet | SwinIR:
    """Return the network of `entry` on the meta device: names and shapes without memory."""
    with torch.device("meta"):
        if entry.architecture == "RRDBNet":
            from ourgan.models.rrdbnet import RRDBNet

            return RRDBNet(**entry.arguments)
        if entry.architecture == "SwinIR":
            from ourgan.models.swinir import SwinIR

            return SwinIR(**entry.arguments)
    raise WeightsError(f"{entry.name}: plain parameters without a network of ours; use load()")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file, or of a .pth, .pt or .ckpt, by name.

    The latter are pickles, which could run code: `torch.load(weights_only=True)` has its own machine for
    the few operations that tensors and plain containers need, and what is left must be tensors.

    Raises:
        WeightsError: the file is damaged or contains anything but tensors.
    """
    if path.suffix.lower() in PICKLES:
        return _read_pickle(path)
    with path.open("rb") as file:
        start = file.read(2)
    # A zip archive (torch.save) or a bare pickle under a wrong name: not opened.
    if start in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise WeightsError(f"{path}: is a pickle, which can run code; if you trust it, rename it to .pth")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: is not a whole safetensors file ({first_line(error)})") from error


def check(
    entry: Released, state_dict: dict[str, Tensor], source: str, checksum: str, licence: str
) -> Weights:
    """Refuse parameters that do not fit the network of `entry`; log the others and return them.

    Args:
        entry: the network, and its name.
        state_dict: parameters under the names of any published version of the network.
        source: in words, where they came from; error lines begin with it.
        checksum: SHA-256 of the file.
        licence: of the weights, in words.

    Raises:
        WeightsError: parameters of another network or scale, missing or unknown names, wrong shapes or
            types, values that are not finite; the first three faults and the number of the others.
    """
    if entry.architecture:
        parameters = dict(build(entry).named_parameters())  # neither network has buffers
        state_dict, network = recognise(state_dict)
        _, wanted = recognise(parameters)
        if network is None or (wanted and network.differs(wanted)):
            names = f"{len(state_dict)} names: {', '.join(state_dict)[:60]}"
            held = network or f"no network that is known ({names})"
            raise WeightsError(f"{source}: holds {held}, {wanted} is needed")
        faults = _faults(parameters, state_dict)
    else:
        faults = (f"{name} holds values that are not finite" for name in _not_finite(state_dict))
    if problems := list(faults):
        more = f" and {len(problems) - 3} more faults" if len(problems) > 3 else ""
        what = entry.architecture or entry.name
        raise WeightsError(f"{source}: unfit for {what}: {'; '.join(problems[:3])}{more}")
    logger.info("%s from %s, sha256 %s", entry.name, source, checksum)
    return Weights(entry.name, state_dict, source, checksum, licence)


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the checks below refuse
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile pickle fails in any way it likes
        # torch's own words are not passed on: they advise to load the file without the restriction.
        if forbidden := re.search(r"GLOBAL (\S+)", str(error)):
            raise WeightsError(
                f"{path}: holds more than tensors ({forbidden[1]}), which can run code; refused: "
                "use a .safetensors copy of the weights"
            ) from error
        raise WeightsError(f"{path}: is damaged, or no file of tensors alone; fetch it again") from error
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__} where named tensors are needed")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise WeightsError(
                f"{path}: holds more than tensors ({str(name)!r} is a {type(value).__name__}); refused: "
                "save the network's state_dict alone"
            )
    return {name: value.detach() for name, value in content.items()}


def _faults(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Iterator[str]:
    for name in expected:
        if name not in state:
            yield f"{name} is missing"
    not_finite = _not_finite(state)
    for name, value in state.items():
        if name not in expected:
            yield f"{name} is not part of it"
        elif value.shape != expected[name].shape:
            yield f"{name} has shape {tuple(value.shape)}, not {tuple(expected[name].shape)}"
        elif value.dtype not in FLOATS:
            yield f"{name} holds {value.dtype}"
        elif name in not_finite:
            yield f"{name} holds values that are not finite"


def _not_finite(state: Mapping[str, Tensor]) -> list[str]:
    return [name for name, value in state.items() if value.dtype in FLOATS and not value.isfinite().all()]
