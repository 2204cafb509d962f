"""Fine-tuning (notebook 04): degradations, losses, crops side by side, and what noise costs and buys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ourgan.io.pixels import contact_sheet, crop_middle
from ourgan.reproduce.figures.style import COLOURS, series_style

Picture = Float[Tensor, "3 h w"]


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
        right.plot(deviations, [cell[method]["variety"] for cell in cells], **style)
    left.set(title="cost: ST-LPIPS to the truth", xlabel="standard deviation of the noise", ylim=(0, None))
    right.set(title="gain: two draws differ by, 8-bit levels", xlabel="standard deviation of the noise")
    left.legend()
    return figure


def _series(lines: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Return iterations and values of the lines that have such a value."""
    having = [line for line in lines if key in line]
    return [line["iteration"] for line in having], [line[key] for line in having]
