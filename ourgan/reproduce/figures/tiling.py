"""What notebook 02 measures and draws: subregions, their seams and their cost (Fig. 6, Fig. 8, Eq. 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from ourgan.io.pixels import contact_sheet
from ourgan.reproduce.figures import FIRST, SECOND, mark_overlaps, seam_axes, show_photo, write_on_photo
from ourgan.upscale.seams import SeamDifference
from ourgan.upscale.tiles import TilePlan, tile_cost


def level_difference(tiled: Tensor, whole: Tensor) -> Tensor:
    """Largest absolute difference over the channels, (H, W), in 8-bit levels, both clamped to [0, 1]."""
    return (tiled.clamp(0, 1) - whole.clamp(0, 1)).abs().amax(0) * 255


def smallest_overlap(differences: Mapping[int, SeamDifference], mean: float) -> int | None:
    """The smallest overlap measured from which on the mean at the seam stays under `mean` levels, or None."""
    fitting = None
    for overlap in sorted(differences, reverse=True):
        if differences[overlap].mean_in_band >= mean:
            break
        fitting = overlap
    return fitting


def draw_split(photo: Tensor, plan: TilePlan, chosen: int) -> Figure:
    """The plan over the LR photo (3, H, W): all subregions, and one with its overlap (Fig. 6)."""
    figure, axes = plt.subplots(figsize=(8, 6))
    show_photo(axes, photo)
    tiles = list(plan.tiles())
    for tile in tiles:
        axes.add_patch(_box(tile.top, tile.left, tile.bottom, tile.right, color="white", lw=1))
    tile = tiles[chosen]
    axes.add_patch(_box(*tile.outer, color="#ffd92f", lw=2.5, ls="--"))
    axes.add_patch(_box(tile.top, tile.left, tile.bottom, tile.right, color="white", lw=2.5))
    top, left, *_ = tile.outer
    write_on_photo(axes, left + 8, top + 8, "the network sees", "#ffd92f", 10)
    write_on_photo(axes, tile.left + 8, tile.top + 10, "the picture keeps", "white", 10)
    middle = (tile.top + tile.bottom) / 2
    arrow = {"arrowstyle": "<->", "color": "#ffd92f", "lw": 1.5, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (left, middle), (tile.left, middle), arrowprops=arrow)
    write_on_photo(axes, (left + tile.left) / 2 - 9, middle + 12, "α", "#ffd92f", 13)
    return figure


def draw_differences(maps: Mapping[int, Tensor]) -> Figure:
    """Difference maps (H, W) in 8-bit levels by overlap, on one logarithmic scale of colours (Fig. 8)."""
    figure, row = plt.subplots(1, len(maps), figsize=(3.2 * len(maps) + 0.9, 3.5), layout="constrained")
    for axes, (overlap, levels) in zip(row, maps.items(), strict=True):
        image = axes.imshow(levels.clamp(min=0.1).numpy(), cmap="magma", norm=LogNorm(0.1, 100))
        axes.set_title(f"overlap {overlap}: at most {float(levels.max()):.3g}")
        axes.set_xticks([])
        axes.set_yticks([])
    bar = figure.colorbar(image, ax=row, label="difference, levels of 255", shrink=0.9)
    bar.set_ticks([0.1, 0.5, 1, 10, 100], labels=["≤ 0.1", "0.5", "1", "10", "≥ 100"])
    return figure


def draw_seams(differences: Mapping[int, SeamDifference], marked: int) -> Figure:
    """Mean in the band and largest difference over the overlap; `marked`: the overlap in use."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    overlaps = sorted(differences)
    largest = [differences[a].largest for a in overlaps]
    mean = [differences[a].mean_in_band for a in overlaps]
    axes.plot(overlaps, largest, "s-", color=SECOND, label="largest anywhere")
    axes.plot(overlaps, mean, "o-", color=FIRST, label="mean within 16 px of the seam")
    seam_axes(axes, marked)
    axes.set_ylabel("difference, levels of 255")
    axes.set_xticks(overlaps)
    axes.set_ylim(min(0.1, *mean) / 2, 150)
    axes.legend(loc="lower left")
    return figure


def seam_crops(
    pictures: Mapping[str, Tensor], plan: TilePlan, levels: Tensor, side: int = 200
) -> Image.Image:
    """The same `side` x `side` HR pixels of each picture, in the middle of them the worst place of the seam.

    `levels`: (H, W), the difference map that says which place is worst.
    """
    side = min(side, *levels.shape)
    seam = plan.tile_width * plan.scale
    left = max(0, min(seam - side // 2, levels.shape[1] - side))
    band = levels[:, seam - 16 : seam + 16].mean(1)
    sums = band.unfold(0, side, 1).sum(1)
    top = int(sums.argmax())
    crops = [picture.clamp(0, 1)[:, top : top + side, left : left + side] for picture in pictures.values()]
    return contact_sheet(crops, len(crops), list(pictures))


def draw_cost(sizes: Sequence[tuple[int, int]], marked: int, bytes_per_pixel: float) -> Figure:
    """Eq. 8 over the overlap for tiles of (h, w) LR pixels: relative to no overlap, and in memory."""
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
