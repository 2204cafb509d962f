"""Subregions, their seams and their cost (Fig. 6, Fig. 8, Eq. 8): notebooks 02 and 04."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from ourgan.io.pixels import contact_sheet
from ourgan.reproduce.figures.style import (
    COLOURS,
    MARK,
    SECOND_MARK,
    mark_overlaps,
    series_style,
    set_seam_axes,
    show_photo,
    write_on_photo,
)
from ourgan.upscale.seams import SeamDifference
from ourgan.upscale.tiles import TilePlan, tile_cost


def draw_split(photo: Float[Tensor, "3 h w"], plan: TilePlan, chosen: int) -> Figure:
    """Draw a plan over the LR photo (Fig. 6): all subregions, and one with its overlap.

    Args:
        photo: in [0, 1].
        plan: of an image of that size.
        chosen: which of `plan.tiles()` is drawn with its overlap.
    """
    figure, axes = plt.subplots(figsize=(8, 6))
    show_photo(axes, photo)
    tiles = list(plan.tiles())
    for tile in tiles:
        axes.add_patch(_box(tile.top, tile.left, tile.bottom, tile.right, color=MARK, lw=1))
    tile = tiles[chosen]
    axes.add_patch(_box(*tile.outer, color=SECOND_MARK, lw=2.5, ls="--"))
    axes.add_patch(_box(tile.top, tile.left, tile.bottom, tile.right, color=MARK, lw=2.5))
    top, left, *_ = tile.outer
    write_on_photo(axes, left + 8, top + 8, "the network sees", SECOND_MARK, 10)
    write_on_photo(axes, tile.left + 8, tile.top + 10, "the picture keeps", MARK, 10)
    middle = (tile.top + tile.bottom) / 2
    arrow = {"arrowstyle": "<->", "color": SECOND_MARK, "lw": 1.5, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (left, middle), (tile.left, middle), arrowprops=arrow)
    write_on_photo(axes, (left + tile.left) / 2 - 9, middle + 12, "α", SECOND_MARK, 13)
    return figure


def draw_difference_maps(maps: Mapping[int, Float[Tensor, "h w"]]) -> Figure:
    """Draw difference maps in 8-bit levels by overlap, on one logarithmic scale of colours (Fig. 8)."""
    figure, row = plt.subplots(1, len(maps), figsize=(3.2 * len(maps) + 0.9, 3.5), layout="constrained")
    for axes, (overlap, levels) in zip(row, maps.items(), strict=True):
        image = axes.imshow(levels.clamp(min=0.1).numpy(), cmap="magma", norm=LogNorm(0.1, 100))
        axes.set_title(f"overlap {overlap}: at most {float(levels.max()):.3g}")
        axes.set_xticks([])
        axes.set_yticks([])
    bar = figure.colorbar(image, ax=row, label="difference, 8-bit levels", shrink=0.9)
    bar.set_ticks([0.1, 0.5, 1, 10, 100], labels=["≤ 0.1", "0.5", "1", "10", "≥ 100"])
    return figure


def draw_seams(differences: Mapping[int, SeamDifference], marked: int) -> Figure:
    """Draw mean in the band and largest difference over the overlap; `marked`: the overlap in use."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    overlaps = sorted(differences)
    largest = [differences[a].largest for a in overlaps]
    mean = [differences[a].mean_in_band for a in overlaps]
    axes.plot(overlaps, largest, "s--", color=COLOURS["tiles"], label="largest anywhere")
    axes.plot(overlaps, mean, "o-", color=COLOURS["tiles"], label="mean within 16 px of the seam")
    set_seam_axes(axes, marked)
    axes.set_ylabel("difference, 8-bit levels")
    axes.set_xticks(overlaps)
    axes.set_ylim(min(0.1, *mean) / 2, 150)
    axes.legend(loc="lower left")
    return figure


def draw_network_seams(seams: Mapping[str, Mapping[int, SeamDifference]], marked: int) -> Figure:
    """Draw the mean difference at the seam over the overlap, for several networks.

    Args:
        seams: by overlap, by names such as "step 2, pre-trained", see `series_style`.
        marked: the overlap in use.
    """
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, measured in seams.items():
        means = [seam.mean_in_band for seam in measured.values()]
        axes.plot(list(measured), means, marker="o", **series_style(name), label=name)
    set_seam_axes(axes, marked)
    axes.set_ylabel("mean at the seam, 8-bit levels")
    axes.legend()
    return figure


def seam_crop_sheet(
    pictures: Mapping[str, Float[Tensor, "3 h w"]],
    plan: TilePlan,
    levels: Float[Tensor, "h w"],
    side: int = 200,
) -> Image.Image:
    """Show the same HR pixels of each picture, in the middle of them where the first seam is worst.

    Args:
        pictures: in [0, 1], by caption.
        plan: with at least two columns.
        levels: the difference map that says where it is worst.
        side: of each window, in HR pixels.
    """
    side = min(side, *levels.shape)
    seam = plan.tile_width * plan.scale
    left = max(0, min(seam - side // 2, levels.shape[1] - side))
    band = levels[:, seam - 16 : seam + 16].mean(1)
    top = int(band.unfold(0, side, 1).sum(1).argmax())
    crops = [picture.clamp(0, 1)[:, top : top + side, left : left + side] for picture in pictures.values()]
    return contact_sheet(crops, len(crops), list(pictures))


def draw_tile_cost(sizes: Sequence[tuple[int, int]], marked: int, bytes_per_pixel: int) -> Figure:
    """Draw Eq. 8 over the overlap: relative to no overlap, and in memory.

    Args:
        sizes: (height, width) of tiles in LR pixels.
        marked: the overlap in use.
        bytes_per_pixel: memory of the network for each HR pixel of a tile.
    """
    figure, (relative, memory) = plt.subplots(1, 2, figsize=(9, 3.7), layout="constrained")
    overlaps = list(range(101))
    for index, (height, width) in enumerate(sizes):
        costs = [tile_cost(height, width, 4, overlap) for overlap in overlaps]
        colour = colormaps["viridis"](0.9 * index / max(1, len(sizes) - 1))
        relative.plot(overlaps, [c / costs[0] for c in costs], color=colour)
        gigabytes = [c * bytes_per_pixel / 1e9 for c in costs]
        memory.plot(overlaps, gigabytes, color=colour, label=f"{height} × {width}")
    relative.set(ylabel="pixels computed / pixels kept", ylim=(1, 8))
    memory.set(ylabel="memory of one tile, GB", ylim=(0, None))
    for axes in (relative, memory):
        axes.set(xlabel="overlap α, LR pixels", xlim=(0, 100))
        mark_overlaps(axes, [(marked, "this profile")])
    memory.legend(title="tile, LR pixels", loc="upper left")
    return figure


def _box(top: int, left: int, bottom: int, right: int, **style: Any) -> Rectangle:
    return Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, **style)
