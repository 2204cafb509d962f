"""Names of the parameters of published super-resolution networks, and what they tell of the network.

A checkpoint of another backbone or scale should be called that, not seven hundred missing tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

Value = TypeVar("Value")

# The ESRGAN repository's own names, and ours (which are those of every later tool).
_ESRGAN = (
    (re.compile(r"RRDB_trunk\.(\d+)\.RDB(\d)\.(.+)"), r"body.\1.rdb\2.\3"),
    (re.compile(r"trunk_conv\.(.+)"), r"conv_body.\1"),
    (re.compile(r"upconv(\d)\.(.+)"), r"conv_up\1.\2"),
    (re.compile(r"HRconv\.(.+)"), r"conv_hr.\1"),
)
_OLD_DENSE = re.compile(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.(.+)")
_OLD_TRUNK = re.compile(r"model\.1\.sub\.\d+\.(weight|bias)")
_OLD_LAYER = re.compile(r"model\.(\d+)\.(weight|bias)")
# SwinIR files carry these; the network computes them from the size of its input.
_DERIVED = re.compile(r"(.+\.)?(attn_mask|relative_position_index)")


def rrdbnet_names(state: Mapping[str, Value]) -> dict[str, Value]:
    """Return `state` under the names of our RRDBNet.

    Its own may be those of the ESRGAN repository, or that one's old `model.1.sub.0...`; names that belong to
    neither stay as they are.
    """
    layers = sorted({int(match[1]) for name in state if (match := _OLD_LAYER.fullmatch(name))})
    # The last two are conv_hr and conv_last; between them and the first lies one for each doubling.
    doublings = [f"conv_up{number}" for number in range(1, len(layers) - 2)]
    roles = dict(zip(layers, ["conv_first", *doublings, "conv_hr", "conv_last"], strict=False))

    def rename(name: str) -> str:
        if match := _OLD_DENSE.fullmatch(name):
            return f"body.{match[1]}.rdb{match[2]}.conv{match[3]}.{match[4]}"
        if match := _OLD_TRUNK.fullmatch(name):
            return f"conv_body.{match[1]}"
        if match := _OLD_LAYER.fullmatch(name):
            return f"{roles[int(match[1])]}.{match[2]}"
        for pattern, replacement in _ESRGAN:
            if pattern.fullmatch(name):
                return pattern.sub(replacement, name)
        return name

    return {rename(name): value for name, value in state.items()}


def swinir_names(state: Mapping[str, Value]) -> dict[str, Value]:
    """Return `state` without the buffers of the official SwinIR files, which are not parameters."""
    return {name: value for name, value in state.items() if not _DERIVED.fullmatch(name)}


def find_backbone(state: Mapping[str, Tensor]) -> tuple[str, int] | None:
    """Return the name and scale of the network that a state dict under the names above belongs to.

    The name is RRDBNet, SwinIR or that of another kind of SwinIR; None where it is none of them.
    """
    if any(name.startswith("body.0.rdb1.") for name in state):
        # Real-ESRGAN's x2 and x1 networks fold the image into 4 or 16 times the channels first.
        first = state.get("conv_first.weight")
        folded = {12: 2, 48: 4}.get(first.shape[1], 1) if first is not None and first.dim() == 4 else 1
        return "RRDBNet", 2 ** _upsamplers(state) // folded
    if any(name.startswith("layers.0.residual_group.") for name in state):
        if scale := _shuffled(state):
            return "SwinIR (pixel shuffle)", scale
        return "SwinIR", 2 ** _upsamplers(state)
    return None


def _upsamplers(state: Mapping[str, Tensor]) -> int:
    return len({name.split(".")[0] for name in state if re.fullmatch(r"conv_up\d\.weight", name)})


def _shuffled(state: Mapping[str, Tensor]) -> int:
    """Return the scale of a SwinIR that ends in pixel shuffles, 0 where it has none."""
    scale = 0
    for name, value in state.items():
        if re.fullmatch(r"upsample\.\d\.weight", name) and value.dim() == 4:
            outputs, inputs = value.shape[:2]
            # One shuffle straight to three channels has 3 r^2 outputs, each of several has r^2 inputs.
            ratio = outputs / 3 if outputs % inputs else outputs / inputs
            scale = max(scale, 1) * round(ratio**0.5)
    return scale
