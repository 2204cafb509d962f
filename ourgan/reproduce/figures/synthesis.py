"""Windows of a finished picture, and the memory that it took (notebook 05)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from ourgan.io.pixels import contact_sheet, from_uint8
from ourgan.reproduce.figures.style import COLOURS
from ourgan.upscale.tiles import TilePlan

Pixels = UInt8[np.ndarray, "h w 3"]


def window_sheet(pixels: Pixels, size: int = 400) -> Image.Image:
    """Show six windows of a picture at 100 %, from top left to bottom right, with their corners."""
    height, width = pixels.shape[:2]
    size = min(size, height, width)
    corners = [
        (round((height - size) * down), round((width - size) * across))
        for down, across in ((0.05, 0.1), (0.3, 0.8), (0.45, 0.3), (0.6, 0.6), (0.8, 0.15), (0.95, 0.9))
    ]
    return _sheet(pixels, corners, size)


def meeting_sheet(pixels: Pixels, plan: TilePlan, size: int = 400) -> Image.Image:
    """Show windows at 100 % whose centre is where subregions of the last step meet, at most three."""
    height, width = pixels.shape[:2]
    size = min(size, height, width)
    rows = [tile.top * plan.scale for tile in plan.tiles() if tile.top] or [height // 2]
    columns = [tile.left * plan.scale for tile in plan.tiles() if tile.left] or [width // 2]
    meetings = sorted({(row, column) for row in rows for column in columns})
    chosen = meetings[:: max(1, len(meetings) // 3)][:3]
    corners = [
        (min(max(0, row - size // 2), height - size), min(max(0, column - size // 2), width - size))
        for row, column in chosen
    ]
    return _sheet(pixels, corners, size)


def _sheet(pixels: Pixels, corners: Sequence[tuple[int, int]], size: int) -> Image.Image:
    crops = [from_uint8(pixels[top : top + size, left : left + size]) for top, left in corners]
    return contact_sheet(crops, 3, [f"x {left:,}  y {top:,}" for top, left in corners])


def draw_memory(traces: Mapping[str, Sequence[tuple[float, int]]]) -> Figure:
    """Draw memory in use over time: (seconds, bytes) from `memory_trace`, for "tiles" and "bands"."""
    figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for name, trace in traces.items():
        seconds, used = zip(*trace, strict=True)
        axes.plot(seconds, [value / 2**30 for value in used], color=COLOURS[name], label=name)
    axes.set(xlabel="seconds", ylabel="memory in use, GiB", ylim=(0, None), xlim=(0, None))
    axes.legend(loc="lower right")
    return figure


def draw_budgets(budgets: Mapping[str, Sequence[tuple[int, int, int]]]) -> Figure:
    """Draw peaks over the budget: (budget, predicted, measured) in bytes, for "tiles" and "bands"."""
    figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
    most = max(budget for rows in budgets.values() for budget, _, _ in rows) / 2**30
    axes.plot([0, most], [0, most], color="black", lw=0.8, label="the budget")
    axes.plot([0, most], [0, 1.1 * most], color="black", lw=0.8, ls=":", label="10 % more: a failure")
    for name, rows in budgets.items():
        budget, predicted, measured = (
            [value / 2**30 for value in column] for column in zip(*rows, strict=True)
        )
        axes.plot(budget, predicted, "o--", color=COLOURS[name], mfc="none", label=f"{name}, predicted")
        axes.plot(budget, measured, "o-", color=COLOURS[name], label=f"{name}, measured")
    axes.set(
        xlabel="memory budget, GiB",
        ylabel="peak of the process, GiB",
        xlim=(0.9, most * 1.05),
        ylim=(0, None),
    )
    axes.legend(loc="upper left", fontsize=9)
    return figure
