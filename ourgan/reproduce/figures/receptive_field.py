"""What notebook 01 measures and draws: receptive fields in theory and in effect (Fig. 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from numpy.typing import NDArray
from torch import Tensor

from ourgan.reproduce.figures import FIRST, PRINTED, SECOND, show_photo, write_on_photo
from ourgan.upscale.receptive_field import EffectiveReceptiveField, Norm, circle_share

PAPER_RADII = {"ESRGAN": 10, "SwinIR": 24}  # LR pixels, "approximately 98 % of the gradient magnitude"
NORMS: tuple[tuple[Norm, str, str], ...] = (("magnitude", "|g|", FIRST), ("energy", "g²", SECOND))


def mean_field(fields: Sequence[EffectiveReceptiveField]) -> EffectiveReceptiveField:
    """Average fields measured with the same crop, each sample counting alike. ValueError if crops differ."""
    if len({field.crop for field in fields}) != 1:
        raise ValueError("fields of different crops cannot be averaged")
    samples = sum(field.samples for field in fields)
    shares = [field.samples / samples for field in fields]

    def mean(maps: Sequence[Tensor]) -> Tensor:
        weighted = [share * values for share, values in zip(shares, maps, strict=True)]
        return torch.stack(weighted).sum(0)

    y, x = (sum(s * f.centre[axis] for s, f in zip(shares, fields, strict=True)) for axis in (0, 1))
    magnitude, energy = mean([f.magnitude for f in fields]), mean([f.energy for f in fields])
    return EffectiveReceptiveField(magnitude, energy, (y, x), fields[0].crop, samples)


def share_within(field: EffectiveReceptiveField, radius: float, norm: Norm) -> float:
    """Share of the gradient, 0 to 1, in the circle of `radius` LR pixels: the inverse of `field.radius`."""
    radii, shares = circle_share(_values(field, norm), field.centre)
    inside = int(torch.searchsorted(radii, radius, right=True))
    return float(shares[inside - 1]) if inside else 0.0


def draw_theory(photo: Tensor, squares: Mapping[str, int], circles: Mapping[str, int]) -> Figure:
    """Theoretical fields (widths in px) and the paper's radii around the middle of a photo (3, H, W)."""
    figure, axes = plt.subplots(figsize=(8, 6))
    show_photo(axes, photo)
    y, x = photo.shape[1] / 2, photo.shape[2] / 2
    styles = (("white", "-"), ("#ffd92f", "--"))
    for (name, width), (colour, line) in zip(squares.items(), styles, strict=True):
        corner = (x - width / 2, y - width / 2)
        axes.add_patch(Rectangle(corner, width, width, fill=False, color=colour, lw=2, ls=line))
        write_on_photo(axes, corner[0] + 14, corner[1] + 14, f"{name}, theory: {width} px wide", colour)
    for (name, radius), (colour, line), y_text in zip(circles.items(), styles, (y - 70, y + 40), strict=True):
        axes.add_patch(Circle((x, y), radius, fill=False, color=colour, lw=2, ls=line))
        write_on_photo(axes, x - 95, y_text, f"{name}, in effect: {radius} px", colour)
    return figure


def draw_maps(field: EffectiveReceptiveField) -> Figure:
    """|g| and g^2 around the output pixel, relative to the largest value, with circles of 98 % (Fig. 7)."""
    figure, both = plt.subplots(1, 2, figsize=(9.6, 4.6), sharey=True, layout="constrained")
    for axes, (norm, name, _) in zip(both, NORMS, strict=True):
        values = _values(field, norm).numpy()
        top, left = (-centre - 0.5 for centre in field.centre)
        extent = (left, left + values.shape[1], top + values.shape[0], top)
        # The zeros of the margin, where no crop lay, and all that is smaller are drawn in the last colour.
        relative = np.maximum(values / values.max(), 1e-6)
        image = axes.imshow(relative, extent=extent, cmap="magma", norm=LogNorm(1e-6, 1))
        radius = field.radius(norm=norm)
        axes.add_patch(Circle((0, 0), radius, fill=False, color="white", lw=1.8, label="98 %"))
        for (paper, size), line in zip(PAPER_RADII.items(), ("--", ":"), strict=True):
            label = f"paper, {paper}: {size} px"
            axes.add_patch(Circle((0, 0), size, fill=False, color="#7fe0e8", lw=1.6, ls=line, label=label))
        axes.set(title=f"{name}: 98 % within {radius:.1f} px", xlabel="LR pixels")
    both[0].set_ylabel("LR pixels")
    figure.colorbar(image, ax=both, label="relative to the largest")
    _, labels = both[0].get_legend_handles_labels()
    lines = [Line2D([], [], color="#444444", ls=line) for line in ("-", "--", ":")]
    figure.legend(lines, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_shares(photos: Mapping[str, EffectiveReceptiveField], mean: EffectiveReceptiveField) -> Figure:
    """Share of the gradient within a circle over its radius; thin lines: one photo each."""
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for norm, name, colour in NORMS:
        for field in photos.values():
            axes.plot(*_curve(field, norm), color=colour, lw=0.7, alpha=0.6)
        radius = mean.radius(norm=norm)
        axes.plot(*_curve(mean, norm), color=colour, lw=2.2, label=f"{name}, all photos")
        axes.plot([radius], [0.98], "o", color=colour)
        # To the left of the point: the paper's line for 24 px may run just to its right.
        label, offset = f"{radius:.1f} px", (-4, 9)
        axes.annotate(label, (radius, 0.98), offset, textcoords="offset points", ha="right", color=colour)
    axes.axhline(0.98, color="black", lw=0.8)
    _paper_lines(axes)
    axes.set(
        xlim=(0, mean.crop / 2), ylim=(0, 1.09), xlabel="radius, LR pixels", ylabel="share of the gradient"
    )
    axes.legend(loc="lower right")
    return figure


def draw_crops(fields: Mapping[int, EffectiveReceptiveField]) -> Figure:
    """98 % radius over the side of the crop that the network saw, fields by crop."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    crops = sorted(fields)
    for norm, name, colour in NORMS:
        axes.plot(crops, [fields[c].radius(norm=norm) for c in crops], "o-", color=colour, label=name)
    axes.plot(crops, [c / 2 for c in crops], color="#bbbbbb", ls="--", label="border of the crop")
    axes.set(
        xscale="log", xlabel="side of the crop, LR pixels", ylabel="98 % radius, LR pixels", ylim=(0, None)
    )
    axes.set_xticks(crops, [str(c) for c in crops])
    axes.minorticks_off()
    axes.legend()
    return figure


def _paper_lines(axes: Axes) -> None:
    for name, radius in PAPER_RADII.items():
        axes.axvline(radius, color=PRINTED, lw=1, ls="--")
        axes.text(radius + 0.5, 0.03, f"paper, {name}: {radius}", rotation=90, color=PRINTED, fontsize=9)


def _curve(field: EffectiveReceptiveField, norm: Norm) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    radii, shares = circle_share(_values(field, norm), field.centre)
    return radii.numpy(), shares.numpy()


def _values(field: EffectiveReceptiveField, norm: Norm) -> Tensor:
    return field.magnitude if norm == "magnitude" else field.energy
