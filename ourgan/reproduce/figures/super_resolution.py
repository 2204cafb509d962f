"""Steps 2 to 4: fine-tuning (notebook 04), windows of a large picture and its memory (notebook 05)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ourgan.io.pixels import contact_sheet, crop_middle, from_uint8
from ourgan.reproduce.figures.style import COLOURS, series_style
from ourgan.upscale.tiles import TilePlan

Picture = Float[Tensor, "3 _ _"]
Pixels = UInt8[np.ndarray, "h w 3"]


def degradation_sheet(hr: Picture, lr: Mapping[str, Picture]) -> Image.Image:
    """Show an HR patch and its LR versions by name, enlarged to the patch's size as pixels one can see."""
    factors = [hr.shape[1] // picture.shape[1] for picture in lr.values()]
    enlarged = [
        picture.clamp(0, 1).repeat_interleave(factor, 1).repeat_interleave(factor, 2)
        for picture, factor in zip(lr.values(), factors, strict=True)
    ]
    return contact_sheet([hr, *enlarged], 4, ["HR", *lr])


def draw_training(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw L1, perceptual and both adversarial losses, and the validation, over the iterations.

    Args:
        runs: lines of trainings' logs, by "step 2" or "step 3".
    """
    figure, panels = plt.subplots(1, 4, figsize=(13, 3.3), layout="constrained")
    kinds = (("l1", "L1"), ("perceptual", "perceptual"), ("adversarial", "adversarial, G (-) and D (--)"))
    for name, lines in runs.items():
        colour = COLOURS[name]
        for axes, (key, title) in zip(panels, kinds, strict=False):
            axes.plot(*_series(lines, key), color=colour, label=name)
            axes.set(title=title, xlabel="iteration")
        panels[2].plot(*_series(lines, "discriminator"), color=colour, ls="--")
        iterations, distances = _series(lines, "st_lpips")
        panels[3].plot(iterations, distances, "o-", color=colour, label=name)
        best = min(range(len(distances)), key=distances.__getitem__)
        panels[3].plot(iterations[best], distances[best], "o", ms=11, mfc="none", color=colour)
    panels[3].set(title="validation, ST-LPIPS (ring: kept)", xlabel="iteration", ylim=(0, None))
    panels[3].legend()
    return figure


def comparison_sheet(
    rows: Mapping[str, Sequence[Picture]], columns: Sequence[str], side: int = 192
) -> Image.Image:
    """Show the middle of pictures at 100 %: one row a case, one column a method.

    Args:
        rows: pictures in [0, 1] by case, as many as there are columns.
        columns: names of the methods.
        side: of what is shown, in pixels.
    """
    pictures = [crop_middle(picture, side) for row in rows.values() for picture in row]
    captions = [f"{name}, {column}" for name in rows for column in columns]
    return contact_sheet(pictures, len(columns), captions)


def draw_noise(cells: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw what noise costs and buys, by its strength: distance to the truth, difference of two draws.

    Args:
        cells: of `benchmarks/results/fine_tuning.json`, of one photo and step.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    cells = sorted(cells, key=lambda cell: cell["noise_std"])
    deviations = [cell["noise_std"] for cell in cells]
    for method in ("pre-trained", "fine-tuned"):
        style = series_style(f"step {cells[0]['step']}, {method}") | {"marker": "o", "label": method}
        left.plot(deviations, [cell[method]["st_lpips"] for cell in cells], **style)
        right.plot(deviations, [cell[method]["sample_difference"] for cell in cells], **style)
    left.set(title="cost: ST-LPIPS to the truth", xlabel="standard deviation of the noise", ylim=(0, None))
    right.set(title="gain: two draws differ by, 8-bit levels", xlabel="standard deviation of the noise")
    left.legend()
    return figure


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


def _series(lines: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Return iterations and values of the lines that have such a value."""
    having = [line for line in lines if key in line]
    return [line["iteration"] for line in having], [line[key] for line in having]
