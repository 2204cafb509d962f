"""How the notebooks draw: one module for each chapter, and here what they share.

Colours mean the same everywhere: blue is |g| or a mean, orange g^2 or a largest value, grey the paper's.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from IPython.display import Markdown
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ourgan.io.pixels import to_uint8

FIRST, SECOND, PRINTED = "#1f77b4", "#e6761b", "#666666"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Markdown:
    """A Markdown table, first column left, the others right; a float shows three digits that count."""
    lines = [" | ".join(map(_cell, header)), ":--" + " | --:" * (len(header) - 1)]
    lines += [" | ".join(_cell(value) for value in row) for row in rows]
    return Markdown("\n".join(f"| {line} |" for line in lines))


def as_picture(figure: Figure, dpi: int = 110) -> Image.Image:
    """Render a drawing that holds photographs, so that it is kept as JPEG and not as a far larger PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight")
    plt.close(figure)
    return Image.open(buffer).convert("RGB")


def show_photo(axes: Axes, image: Tensor) -> None:
    """Draw (3, H, W) in [0, 1] with pixel coordinates and no ticks."""
    axes.imshow(to_uint8(image))
    axes.set_xticks([])
    axes.set_yticks([])


def write_on_photo(axes: Axes, x: float, y: float, text: str, colour: str, size: float = 11) -> None:
    """Text that stays readable whatever the photo shows; its upper left corner is at pixel (x, y)."""
    box = {"facecolor": "black", "alpha": 0.55, "edgecolor": "none", "pad": 2}
    axes.text(x, y, text, color=colour, va="top", fontsize=size, bbox=box)


def mark_overlaps(axes: Axes, marks: Sequence[tuple[int, str]]) -> None:
    """Vertical lines at overlaps, each named above the axes; the last one, in use, is solid."""
    for index, (overlap, text) in enumerate(marks):
        last = index == len(marks) - 1
        axes.axvline(overlap, color=PRINTED, lw=1, ls="-" if last else "--", zorder=0)
        place = axes.get_xaxis_transform()
        axes.text(overlap, 1.02, text, ha="center", color=PRINTED, fontsize=9, transform=place)


def seam_axes(axes: Axes, overlap: int) -> None:
    """What curves of the difference at a seam share: the paper's overlaps, that in use, half a level."""
    axes.axhline(0.5, color="black", lw=0.8, ls=":", label="half a level: lost in rounding to 8 bits")
    mark_overlaps(axes, [(10, "paper,\nESRGAN"), (24, "paper,\nSwinIR"), (overlap, "this\nprofile")])
    axes.set(yscale="log", xlabel="overlap α, LR pixels")
    axes.yaxis.set_major_formatter("{x:g}")


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value).replace("|", "\\|")
    return f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"
