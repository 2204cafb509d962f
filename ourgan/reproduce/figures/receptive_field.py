"""Receptive fields in theory and in effect (Fig. 7): notebooks 01 and 04."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from ourgan.reproduce.figures.style import (
    COLOURS,
    MARK,
    SECOND_MARK,
    series_style,
    show_photo,
    write_on_photo,
)
from ourgan.upscale.receptive_field import EffectiveReceptiveField, Norm

PAPER_RADII = {"ESRGAN": 10, "SwinIR": 24}  # LR pixels, "approximately 98 % of the gradient magnitude"
NORMS: dict[Norm, str] = {"magnitude": "|g|", "energy": "g²"}


def draw_theoretical_fields(
    photo: Float[Tensor, "3 h w"], squares: Mapping[str, int], circles: Mapping[str, int]
) -> Figure:
    """Draw two networks' theoretical fields and the paper's radii around the middle of a photo.

    Args:
        photo: in [0, 1], to scale: its pixels are LR pixels.
        squares: widths of the theoretical fields in pixels, by network.
        circles: the paper's radii in pixels, by network.
    """
    figure, axes = plt.subplots(figsize=(8, 6))
    show_photo(axes, photo)
    y, x = photo.shape[1] / 2, photo.shape[2] / 2
    styles = ((MARK, "-"), (SECOND_MARK, "--"))
    for (name, width), (colour, line) in zip(squares.items(), styles, strict=True):
        corner = (x - width / 2, y - width / 2)
        axes.add_patch(Rectangle(corner, width, width, fill=False, color=colour, lw=2, ls=line))
        write_on_photo(axes, corner[0] + 14, corner[1] + 14, f"{name}, theory: {width} px wide", colour)
    for (name, radius), (colour, line), y_text in zip(circles.items(), styles, (y - 70, y + 40), strict=True):
        axes.add_patch(Circle((x, y), radius, fill=False, color=colour, lw=2, ls=line))
        write_on_photo(axes, x - 95, y_text, f"{name}, in effect: {radius} px", colour)
    return figure


def draw_effective_field(field: EffectiveReceptiveField) -> Figure:
    """Draw |g| and g^2 around the output pixel, relative to the largest, with circles of 98 % (Fig. 7)."""
    figure, both = plt.subplots(1, 2, figsize=(9.6, 4.6), sharey=True, layout="constrained")
    for axes, (norm, name) in zip(both, NORMS.items(), strict=True):
        values = field.values(norm).numpy()
        top, left = (-centre - 0.5 for centre in field.centre)
        extent = (left, left + values.shape[1], top + values.shape[0], top)
        # The zeros of the margin, where no crop lay, and all that is smaller are drawn in the last colour.
        relative = np.maximum(values / values.max(), 1e-6)
        image = axes.imshow(relative, extent=extent, cmap="magma", norm=LogNorm(1e-6, 1))
        radius = field.radius(norm=norm)
        axes.add_patch(Circle((0, 0), radius, fill=False, color=MARK, lw=1.8, label="98 %"))
        for (paper, size), line in zip(PAPER_RADII.items(), ("--", ":"), strict=True):
            label = f"paper, {paper}: {size} px"
            axes.add_patch(Circle((0, 0), size, fill=False, color=MARK, lw=1.4, ls=line, label=label))
        axes.set(title=f"{name}: 98 % within {radius:.1f} px", xlabel="LR pixels")
    both[0].set_ylabel("LR pixels")
    figure.colorbar(image, ax=both, label="relative to the largest")
    _, labels = both[0].get_legend_handles_labels()
    lines = [Line2D([], [], color="#444444", ls=line) for line in ("-", "--", ":")]
    figure.legend(lines, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_shares(photos: Mapping[str, EffectiveReceptiveField], mean: EffectiveReceptiveField) -> Figure:
    """Draw the share of the gradient within a circle over its radius; thin lines: one photo each."""
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for norm, name in NORMS.items():
        colour = COLOURS[name]
        for field in photos.values():
            axes.plot(*field.shares(norm), color=colour, lw=0.7, alpha=0.6)
        radius = mean.radius(norm=norm)
        axes.plot(*mean.shares(norm), color=colour, lw=2.2, label=f"{name}, all photos")
        axes.plot([radius], [0.98], "o", color=colour)
        # To the left of the point: the paper's line for 24 px may run just to its right.
        label, offset = f"{radius:.1f} px", (-4, 9)
        axes.annotate(label, (radius, 0.98), offset, textcoords="offset points", ha="right", color=colour)
    axes.axhline(0.98, color="black", lw=0.8)
    for name, radius in PAPER_RADII.items():
        axes.axvline(radius, color=COLOURS["paper"], lw=1, ls="--")
        text = f"paper, {name}: {radius}"
        axes.text(radius + 0.5, 0.03, text, rotation=90, color=COLOURS["paper"], fontsize=9)
    axes.set(
        xlim=(0, mean.crop / 2), ylim=(0, 1.09), xlabel="radius, LR pixels", ylabel="share of the gradient"
    )
    axes.legend(loc="lower right")
    return figure


def draw_radius_over_crop(fields: Mapping[int, EffectiveReceptiveField]) -> Figure:
    """Draw the 98 % radius over the side of the crop that the network saw, fields by crop."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    crops = sorted(fields)
    for norm, name in NORMS.items():
        radii = [fields[crop].radius(norm=norm) for crop in crops]
        axes.plot(crops, radii, "o-", color=COLOURS[name], label=name)
    axes.plot(crops, [c / 2 for c in crops], color="#bbbbbb", ls="--", label="border of the crop")
    axes.set(
        xscale="log", xlabel="side of the crop, LR pixels", ylabel="98 % radius, LR pixels", ylim=(0, None)
    )
    axes.set_xticks(crops, [str(c) for c in crops])
    axes.minorticks_off()
    axes.legend()
    return figure


def draw_network_shares(fields: Mapping[str, EffectiveReceptiveField]) -> Figure:
    """Draw the share of |g| and of g^2 within a circle over its radius, for several networks.

    Args:
        fields: by names such as "step 2, pre-trained", see `series_style`.
    """
    figure, both = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axes, (norm, title) in zip(both, NORMS.items(), strict=True):
        for name, field in fields.items():
            label = f"{name}: {field.radius(norm=norm):.1f} px"
            axes.plot(*field.shares(norm), **series_style(name), label=label)
        limits = (0, max(field.crop for field in fields.values()) / 2)
        axes.set(title=f"share of {title}", xlabel="radius, LR pixels", xlim=limits)
        axes.axhline(0.98, color="black", lw=0.8)
        axes.legend(loc="lower right", title="98 % within")
    return figure
