"""Names of the parameters of published super-resolution networks, and what they tell of the network.

A checkpoint of another backbone or scale should be called that, not seven hundred missing tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

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
# Files that lie beside those of RRDBNet and SwinIR, by a name that only they have.
_OTHERS = {
    "a compact network (SRVGGNetCompact)": re.compile(r"body\.\d+\.weight"),
    "a discriminator": re.compile(r"conv\d+\.weight_orig|conv0_0\.weight|linear1\.weight"),
}


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


class Network(NamedTuple):
    """What names and shapes tell of a network; fields that they do not tell are empty.

    Attributes:
        architecture: its name, or that of its family.
        blocks: RRDBs, or attention layers in each residual group.
        channels: of the trunk.
        scale: of its output to its input.
        colours: channels of a picture.
    """

    architecture: str
    blocks: tuple[int, ...] = ()
    channels: int = 0
    scale: int = 0
    colours: int = 0

    def __str__(self) -> str:
        """Say it in words: RRDBNet (23 blocks, 64 channels, x4)."""
        told = [
            f"{'+'.join(map(str, self.blocks))} blocks" if self.blocks else "",
            f"{self.channels} channels" if self.channels else "",
            f"x{self.scale}" if self.scale else "",
            "" if self.colours in (0, 3) else f"pictures of {self.colours} channels",
        ]
        told = [words for words in told if words]
        return f"{self.architecture} ({', '.join(told)})" if told else self.architecture

    def differs(self, other: Network) -> bool:
        """Return whether a field that both tell is another one."""
        return any(mine and theirs and mine != theirs for mine, theirs in zip(self, other, strict=True))


def recognise(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Network | None]:
    """Return a state dict under our names, and the network that it belongs to.

    Names of any published version of RRDBNet and SwinIR are understood, also behind a prefix that all of
    them share ("module.", "model.netG."). Where the network is none that is known, the names stay.
    """
    candidate = dict(state)
    while candidate:
        renamed = swinir_names(rrdbnet_names(candidate))
        if network := _network(renamed):
            return renamed, network
        first, *others = {name.partition(".")[0] for name in candidate}
        if others or first in candidate:
            break
        candidate = {name.partition(".")[2]: value for name, value in candidate.items()}
    return dict(state), None


def _network(state: Mapping[str, Tensor]) -> Network | None:
    """Return what the names and shapes above tell."""
    first, last = (_shape(state, name) for name in ("conv_first.weight", "conv_last.weight"))
    channels = first[0] if first else 0
    if any(name.startswith("body.0.rdb1.") for name in state):
        family = "RRDBNet of ESRGAN+" if any("conv1x1" in name for name in state) else "RRDBNet"
        # Real-ESRGAN's x2 and x1 networks fold the image into 4 or 16 times the channels first.
        folded = {12: 2, 48: 4}.get(first[1], 1) if first else 1
        blocks: tuple[int, ...] = (_count(state, r"body\.(\d+)\."),)
        return Network(family, blocks, channels, 2 ** _upsamplers(state) // folded, last[0] if last else 0)
    if any(name.startswith("layers.0.residual_group.") for name in state):
        blocks = tuple(
            _count(state, rf"layers\.{group}\.residual_group\.blocks\.(\d+)\.")
            for group in range(_count(state, r"layers\.(\d+)\."))
        )
        shuffled, colours = _shuffled(state), first[1] if first else 0
        family = "SwinIR (pixel shuffle)" if shuffled else "SwinIR"
        return Network(family, blocks, channels, shuffled or 2 ** _upsamplers(state), colours)
    for family, sign in _OTHERS.items():
        if any(sign.fullmatch(name) for name in state):
            return Network(family)
    return None


def _shape(state: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """Return the shape of a convolution, () where there is none of that name."""
    shape = tuple(state[name].shape) if name in state else ()
    return shape if len(shape) == 4 else ()


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max((int(match[1]) for name in state if (match := re.match(pattern, name))), default=-1)


def _upsamplers(state: Mapping[str, Tensor]) -> int:
    return len({name.split(".")[0] for name in state if re.fullmatch(r"conv_up\d\.weight", name)})


def _shuffled(state: Mapping[str, Tensor]) -> int:
    """Return the scale of a SwinIR that ends in pixel shuffles, 0 where it has none."""
    scale = 0
    for name, value in state.items():
        if re.fullmatch(r"upsample\.\d\.weight", name) and value.dim() == 4:
            outputs, inputs = value.shape[:2]
            # Each of several has r^2 outputs an input, r being 2 or 3; one straight to three channels 3 r^2.
            ratio = outputs / inputs if outputs / inputs in (4, 9) else outputs / 3
            scale = max(scale, 1) * round(ratio**0.5)
    return scale
