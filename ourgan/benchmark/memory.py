"""Table 2: memory for training and synthesis, by theory as the paper counts it, beside what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ourgan.benchmark import paper
from ourgan.benchmark.memory_probe import Measured
from ourgan.config import load_profile
from ourgan.models.discriminators import UNetDiscriminator, VGGDiscriminator
from ourgan.upscale.networks import NETWORKS

GB = 1e9
FLOAT = 4  # bytes: theory counts float32
SIDE = 8  # LR pixels at which a generator's values are counted: they grow with the area
SUBREGION = (270, 512)  # h, w of Eq. 4: the paper's example
OVERLAP = 10  # alpha, LR pixels: the paper's for ESRGAN
NETWORKS_AT = {"4k": 2, "16k": 3}  # super-resolution networks of a picture


@dataclasses.dataclass(frozen=True)
class Theory:
    """Bytes by theory; what Sec. 4.2 does not count is 0."""

    parameters: int
    features: int
    gradients: int

    @property
    def total(self) -> int:
        """Parameters, features and gradients together."""
        return self.parameters + self.features + self.gradients


def training_theory(backbone: str, profile: str = "paper-4k") -> Theory:
    """Count parameters, feature values and gradients of step 2 or 3, generator and discriminator together.

    Features are the outputs of all layers for one batch; each of them, and each parameter, has a gradient.
    The paper says neither which network nor whether features' gradients are meant.
    """
    config = load_profile(profile).training(backbone)
    vgg = backbone == "esrgan"
    width = config.discriminator_channels
    discriminator = VGGDiscriminator(width, config.patch) if vgg else UNetDiscriminator(width)
    network = NETWORKS[backbone]()
    outputs = _count(network, SIDE)[0] * (config.patch // 4) ** 2 // SIDE**2
    features = config.batch_size * (outputs + _count(discriminator, config.patch)[0])
    parameters = _parameters(network) + _parameters(discriminator)
    return Theory(FLOAT * parameters, FLOAT * features, FLOAT * (parameters + features))


def synthesis_theory(backbone: str, size: str = "4k") -> Theory:
    """Count parameters of all networks of steps 2 and on, and the largest layer's in- and output (Sec. 4.2).

    With the paper's h and w this is 1.36 GB for SwinIR; printed is 1.35. Step 1 is not counted, as in the
    paper's 23.4 M parameters.
    """
    network = NETWORKS[backbone]()
    height, width = (length + 2 * OVERLAP for length in SUBREGION)
    largest = _count(network, SIDE)[1] * height * width // SIDE**2
    return Theory(FLOAT * NETWORKS_AT[size] * _parameters(network), FLOAT * largest, 0)


def table_2(
    training: Sequence[Measured] = (), synthesis: Sequence[Measured] = (), size: str = "4k"
) -> list[dict[str, Any]]:
    """Return the rows of Table 2, the paper's and ours; of measurements the largest counts.

    A row has "model", "training" and "synthesis" in GB (None: not measured), and "from". The size is "4k" or
    "16k", for which the paper has one row, in Sec. 4.4.
    """
    rows = _paper_rows(size)
    for name, backbone in (("OUR-GAN, ours, ESRGAN", "esrgan"), ("OUR-GAN, ours, SwinIR", "swinir")):
        theory = training_theory(backbone).total, synthesis_theory(backbone, size).total
        rows.append(_row(name, [value / GB for value in theory], "theory, paper-4k profile, float32"))
    measured = _largest(training), _largest(synthesis)
    what = "; ".join(f"{m.what} on {m.device}" for m in measured if m)
    peaks = [m.peak / GB if m and m.peak else None for m in measured]
    return [*rows, _row("OUR-GAN, ours", peaks, f"measured: {what}" if what else "not measured")]


def _largest(group: Sequence[Measured]) -> Measured | None:
    return max((each for each in group if each.peak), key=lambda each: each.peak or 0, default=None)


def _paper_rows(size: str) -> list[dict[str, Any]]:
    if size == "16k":
        return [_row("OUR-GAN-16K", paper.MEMORY_16K, "the paper, Sec. 4.4, measured")]
    names = {"ingan": "InGAN", "singan": "SinGAN", "ourgan": "OUR-GAN"}
    counts = {"measured": paper.MEMORY_MEASURED, "theory": paper.MEMORY_THEORY}
    return [
        _row(names[key], values, f"the paper, Table 2, {how}")
        for how, table in counts.items()
        for key, values in table.items()
    ]


def _row(model: str, values: Sequence[float | None], source: str) -> dict[str, Any]:
    training, synthesis = (value and round(value, 2) for value in values)
    return {"model": model, "training": training, "synthesis": synthesis, "from": source}


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def _count(network: nn.Module, side: int) -> tuple[int, int]:
    """Return how many numbers all layers put out for one image, and the largest takes in and puts out."""
    total, largest = 0, 0

    def count(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total, largest
        total += output.numel()
        largest = max(largest, inputs[0].numel() + output.numel())

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(count)
    network.eval()(torch.zeros(1, 3, side, side))
    return total, largest
