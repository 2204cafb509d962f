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

from ourgan.images import to_uint8

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


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value).replace("|", "\\|")
    return f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"
