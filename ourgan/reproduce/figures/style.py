"""What the figures share: one colour for each thing, marks on photographs, axes of seams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from ourgan.io.pixels import to_uint8

_OURS, _WITHOUT = "#0072b2", "#d55e00"
# A thing has its colour in every figure; the colour-blind can distinguish those that meet in one.
COLOURS = {
    "photo": "#000000",
    "paper": "#666666",
    "OUR-GAN": _OURS,
    "with the coordinate": _OURS,
    "HP-VAE-GAN": _WITHOUT,
    "without": _WITHOUT,
    "SinGAN": "#cc79a7",
    "tiles": "#e69f00",
    "bands": "#009e73",
    "step 2": "#56b4e9",
    "step 3": "#882255",
    "|g|": "#332288",
    "g²": "#999933",
}
LINES = {"pre-trained": "--", "fine-tuned": "-"}
MARK, SECOND_MARK = "white", "#ffd92f"  # on photographs


def series_style(name: str) -> dict[str, Any]:
    """Return colour and line of a series, for `Axes.plot`.

    Args:
        name: a key of COLOURS such as "step 2", which may go on as in "step 2, fine-tuned" with one of LINES.
    """
    thing, _, method = name.partition(", ")
    return {"color": COLOURS[thing], "ls": LINES.get(method, "-")}


def show_photo(axes: Axes, image: Float[Tensor, "3 h w"]) -> None:
    """Draw a picture in [0, 1] with pixel coordinates and no ticks."""
    axes.imshow(to_uint8(image))
    axes.set_xticks([])
    axes.set_yticks([])


def write_on_photo(
    axes: Axes, x: int | float, y: int | float, text: str, colour: str, size: int = 11
) -> None:
    """Write text that stays readable whatever the photo shows; its upper left corner is at pixel (x, y)."""
    box = {"facecolor": "black", "alpha": 0.55, "edgecolor": "none", "pad": 2}
    axes.text(x, y, text, color=colour, va="top", fontsize=size, bbox=box)


def mark_overlaps(axes: Axes, marks: Sequence[tuple[int, str]]) -> None:
    """Draw vertical lines at overlaps, each named above the axes; the last one, in use, is solid."""
    colour = COLOURS["paper"]
    for index, (overlap, text) in enumerate(marks):
        last = index == len(marks) - 1
        axes.axvline(overlap, color=colour, lw=1, ls="-" if last else "--", zorder=0)
        above = axes.get_xaxis_transform()
        axes.text(overlap, 1.02, text, ha="center", color=colour, fontsize=9, transform=above)


def set_seam_axes(axes: Axes, overlap: int) -> None:
    """Mark what curves of the difference at a seam share: the paper's overlaps, that in use, half a level."""
    axes.axhline(0.5, color="black", lw=0.8, ls=":", label="half a level: lost in rounding to 8 bits")
    mark_overlaps(axes, [(10, "paper,\nESRGAN"), (24, "paper,\nSwinIR"), (overlap, "this\nprofile")])
    axes.set(yscale="log", xlabel="overlap α, LR pixels")
    axes.yaxis.set_major_formatter("{x:g}")
