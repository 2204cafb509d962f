"""The drawings of notebook 03: the pyramid, losses, brightness row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

PHOTO, WITH, WITHOUT = "black", "#0072b2", "#d55e00"  # told apart by the colour-blind, too


def losses_figure(lines: Sequence[dict[str, Any]], sizes: Sequence[tuple[int, int]]) -> Figure:
    """Reconstruction error and the critic's distance over all iterations, scale by scale.

    `lines`: of a training's log, see `ourgan.training.run`; `sizes`: (height, width) of each scale.
    """
    figure = Figure(figsize=(10, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    offset, ends = 0, []
    for scale, (_, width) in enumerate(sizes):
        own = [line for line in lines if line["scale"] == scale]
        if not own:
            continue
        x = [offset + line["iteration"] for line in own]
        above.semilogy(x, [line["reconstruction"] for line in own], color=PHOTO, lw=1, marker=".", ms=3)
        if "critic" in own[0]:
            below.plot(x, [line["critic"] for line in own], color=WITH, lw=1, marker=".", ms=3)
        above.text(offset + own[-1]["iteration"] / 2, 1.02, f"{width}",
                   transform=above.get_xaxis_transform(), ha="center", fontsize=7)  # fmt: skip
        offset += own[-1]["iteration"]
        ends.append(offset)
    for axes in (above, below):
        for end in ends[:-1]:
            axes.axvline(end, color="0.85", lw=1)
    above.set_ylabel("reconstruction, MSE")
    below.set_ylabel("critic: real - fake")
    below.set_xlabel("iteration")
    return figure


def row_colour_figure(photo: Tensor, groups: dict[str, Sequence[Tensor]]) -> Figure:
    """Mean brightness of every row: the photo's line against those of samples, one panel a group.

    Images (3, H, W) in [0, 1], all of one height.
    """
    figure = Figure(figsize=(4.5 * len(groups), 4), layout="constrained")
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    colours = (WITH, WITHOUT)
    for axes, (name, samples), colour in zip(panels, groups.items(), colours, strict=False):
        heights = range(photo.shape[1])
        for k, sample in enumerate(samples):
            axes.plot(sample.mean((0, 2)) * 255, heights, color=colour, alpha=0.5, lw=1,
                      label="samples" if k == 0 else None)  # fmt: skip
        axes.plot(photo.mean((0, 2)) * 255, heights, color=PHOTO, lw=2, label="photo")
        axes.set_title(name)
        axes.set_xlabel("mean brightness of the row, levels of 255")
        axes.legend()
    panels[0].invert_yaxis()
    panels[0].set_ylabel("row, from the top")
    return figure


def pyramid_figure(images: Sequence[Tensor]) -> Figure:
    """The scales of a photo side by side, each drawn at the same size with its true pixels."""
    columns = (len(images) + 1) // 2
    figure = Figure(figsize=(2.2 * columns, 4), layout="constrained")
    panels = figure.subplots(2, columns, squeeze=False)
    for axes in panels.flat:
        axes.axis("off")
    for axes, image in zip(panels.flat, images, strict=False):
        axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_title(f"{image.shape[2]} x {image.shape[1]}", fontsize=9)
    return figure
