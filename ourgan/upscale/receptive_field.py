"""Which low-resolution pixels an output pixel depends on in effect (Fig. 7); in theory, see `reach`.

The effective receptive field, after Luo et al. 2016, is where the gradient of an output pixel with respect to
the input really is; the paper takes its radius for the overlap alpha of Eq. 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm

Norm = Literal["magnitude", "energy"]
LUO_THRESHOLD = 1 - 0.9545  # of the value at the centre: two standard deviations of a Gaussian
CELL = 8  # LR pixels over which the output pixel is drawn: a window of SwinIR, in which positions differ


@dataclass(frozen=True)
class EffectiveReceptiveField:
    """Average gradient of an output pixel with respect to LR pixels.

    Attributes:
        magnitude: |g| summed over the input's channels, each sample normalised to sum 1 before averaging.
        energy: the same of g^2.
        centre: (y, x), the mean position of the output pixels in these maps.
        crop: side in LR pixels of what the network saw.
        samples: how many output pixels were averaged.
    """

    magnitude: Float[Tensor, "S S"]
    energy: Float[Tensor, "S S"]
    centre: tuple[float, float]
    crop: int
    samples: int

    def radius(self, share: float = 0.98, norm: Norm = "magnitude") -> float:
        """Return the radius in LR pixels of the circle that holds `share` of the gradient."""
        radii, shares = self.shares(norm)
        # Rounding may leave the last sum just under 1.
        index = min(int(torch.searchsorted(shares, share)), len(radii) - 1)
        return float(radii[index])

    def share_within(self, radius: float, norm: Norm = "magnitude") -> float:
        """Return the share, 0 to 1, in the circle of `radius` LR pixels: the inverse of `self.radius`."""
        radii, shares = self.shares(norm)
        inside = int(torch.searchsorted(radii, radius, right=True))
        return float(shares[inside - 1]) if inside else 0.0

    def shares(self, norm: Norm = "magnitude") -> tuple[Tensor, Tensor]:
        """Return radii in LR pixels, ascending, and the share within each, 0 to 1; both (S * S,)."""
        return circle_share(self.values(norm), self.centre)

    def luo_size(self, norm: Norm = "magnitude") -> float:
        """Return the side of a square as large as the area over 4.55 % of the centre's value (Luo et al.)."""
        values = self.values(norm)
        middle = values[round(self.centre[0]), round(self.centre[1])]
        return math.sqrt(int((values > LUO_THRESHOLD * middle).sum()))

    def values(self, norm: Norm) -> Tensor:
        """Return `magnitude` or `energy`; ValueError for another norm."""
        if norm not in ("magnitude", "energy"):
            raise ValueError(f"norm is {norm!r}, not 'magnitude' or 'energy'")
        return self.magnitude if norm == "magnitude" else self.energy


def mean_field(fields: Sequence[EffectiveReceptiveField]) -> EffectiveReceptiveField:
    """Average fields measured with the same crop, each sample counting alike; ValueError if crops differ."""
    if len({field.crop for field in fields}) != 1:
        raise ValueError("fields of different crops cannot be averaged")
    samples = sum(field.samples for field in fields)
    weights = torch.tensor([field.samples / samples for field in fields], dtype=torch.float64)

    def mean(values: Sequence[Tensor]) -> Tensor:
        return torch.tensordot(weights, torch.stack(list(values)), 1)

    y, x = mean([torch.tensor(field.centre, dtype=torch.float64) for field in fields]).tolist()
    magnitude, energy = mean([f.magnitude for f in fields]), mean([f.energy for f in fields])
    return EffectiveReceptiveField(magnitude, energy, (y, x), fields[0].crop, samples)


def circle_share(
    values: Float[Tensor, "H W"], centre: tuple[float, float]
) -> tuple[Float[Tensor, " H*W"], Float[Tensor, " H*W"]]:
    """Return radii in pixels, ascending, and the share of `values` within each, 0 to 1.

    Args:
        values: not negative.
        centre: (y, x) of the circles.
    """
    y = torch.arange(values.shape[0], dtype=torch.float64) - centre[0]
    x = torch.arange(values.shape[1], dtype=torch.float64) - centre[1]
    radii, order = torch.hypot(y[:, None], x[None, :]).flatten().sort()
    shares = values.double().flatten()[order].cumsum(0)
    return radii, shares / shares[-1]


def effective(
    network: nn.Module,
    images: Sequence[Float[Tensor, "3 _ _"]],
    *,
    positions: int = 4,
    crop: int = 128,
    seed: int = 0,
    progress: bool = True,
) -> EffectiveReceptiveField:
    """Return the effective receptive field, averaged over random positions in several LR photos.

    Of each crop one output pixel near its middle, its three channels summed, is differentiated with respect
    to the input. A crop as wide as the theoretical field (698 px for RRDBNet) is exact and needs some 100 GB;
    in a smaller one the far gradient is cut off, so the radii of |g| are lower bounds; those of g^2 depend
    little on the crop.

    Args:
        network: whose field is measured; left as it was.
        images: each (3, H, W) in [0, 1].
        positions: how many crops are taken of each image.
        crop: side in LR pixels of what the network sees.
        seed: of the positions.
        progress: show a progress bar.

    Raises:
        ValueError: for an image smaller than the crop, and for a gradient that is zero or not finite.
    """
    for image in images:
        if image.ndim != 3 or min(image.shape[1:]) < crop:
            raise ValueError(f"an image of shape {tuple(image.shape)} has no crop of {crop}x{crop} pixels")
    if not images or positions < 1 or crop < 2 * CELL:
        raise ValueError(f"needs an image, a position and a crop of at least {2 * CELL} pixels")
    generator = torch.Generator().manual_seed(seed)
    side, middle = crop + CELL - 1, crop // 2 - CELL // 2 + CELL - 1
    total = torch.zeros(2, side, side, dtype=torch.float64)
    centres = torch.zeros(2, dtype=torch.float64)
    samples = [image for image in images for _ in range(positions)]
    with _frozen(network):
        for image in tqdm(samples, desc="effective receptive field", unit="pixel", disable=not progress):
            patch = _random_crop(image, crop, generator)
            gradient, (y, x), centre = _gradient(network, patch, generator)
            # Shifted so that the LR pixel above the output pixel always lies at (middle, middle).
            window = total[:, middle - y : middle - y + crop, middle - x : middle - x + crop]
            for accumulated, values in zip(window, (gradient.abs(), gradient.square()), strict=True):
                accumulated += values.sum(0) / values.sum()
            centres += torch.tensor(centre) + middle
    if not total.isfinite().all():
        raise ValueError("the gradient is zero or not finite")
    total /= len(samples)
    mean_y, mean_x = (centres / len(samples)).tolist()
    return EffectiveReceptiveField(total[0], total[1], (mean_y, mean_x), crop, len(samples))


def _gradient(
    network: nn.Module, patch: Tensor, generator: torch.Generator
) -> tuple[Tensor, tuple[int, int], tuple[float, float]]:
    """Gradient (3, crop, crop) of an output pixel, its LR pixel, and how far its centre is from that's."""
    parameter = next(network.parameters())
    patch = patch.to(parameter).requires_grad_()
    output = network(patch[None])[0]
    scale = output.shape[1] // patch.shape[1]
    first = (patch.shape[1] // 2 - CELL // 2) * scale
    row, column = (first + torch.randint(0, CELL * scale, (2,), generator=generator)).tolist()
    (gradient,) = torch.autograd.grad(output[:, row, column].sum(), patch)
    pixel = (row // scale, column // scale)
    # Output pixel Y lies at (Y + 1/2) / r - 1/2 in LR pixels.
    offsets = ((row % scale + 0.5) / scale - 0.5, (column % scale + 0.5) / scale - 0.5)
    return gradient.double().cpu(), pixel, offsets


def _random_crop(image: Tensor, crop: int, generator: torch.Generator) -> Tensor:
    top = int(torch.randint(0, image.shape[1] - crop + 1, (), generator=generator))
    left = int(torch.randint(0, image.shape[2] - crop + 1, (), generator=generator))
    return image[:, top : top + crop, left : left + crop].clone()


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Evaluate without gradients for parameters, which would keep every convolution's input."""
    training = network.training
    wanted = [parameter.requires_grad for parameter in network.parameters()]
    network.eval().requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        network.train(training)
        for parameter, flag in zip(network.parameters(), wanted, strict=True):
            parameter.requires_grad_(flag)
