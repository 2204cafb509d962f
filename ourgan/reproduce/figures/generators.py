"""Step 1: a photo's pyramid, losses, scenes and their rows, edits of a scene (notebooks 03, 06 and 07)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor

from ourgan.io.pixels import contact_sheet, from_uint8, to_uint8
from ourgan.reproduce.figures.style import COLOURS, show_photo

if TYPE_CHECKING:
    from ourgan.explorer.state.edits import Edit

Scenes = Sequence[Float[Tensor, "3 _ _"]]
DONE = {"move": "moved", "mirror": "mirrored", "duplicate": "duplicated", "paste": "pasted"}


def draw_pyramid(images: Scenes) -> Figure:
    """Draw the scales of a photo side by side, each at the same size with its true pixels."""
    columns = (len(images) + 1) // 2
    figure, panels = plt.subplots(2, columns, figsize=(2.2 * columns, 4), layout="constrained", squeeze=False)
    for axes in panels.flat:
        axes.axis("off")
    for axes, image in zip(panels.flat, images, strict=False):
        axes.imshow(to_uint8(image), interpolation="nearest")
        axes.set_title(f"{image.shape[2]} x {image.shape[1]}", fontsize=9)
    return figure


def draw_losses(lines: Sequence[Mapping[str, Any]], sizes: Sequence[tuple[int, int]]) -> Figure:
    """Draw reconstruction error and the discriminator's distance over all iterations, scale by scale.

    Args:
        lines: of a training's log, see `ourgan.training.run`.
        sizes: (height, width) of each scale.
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(10, 5), layout="constrained", sharex=True)
    line = {"color": COLOURS["OUR-GAN"], "lw": 1, "marker": ".", "ms": 3}
    offset, ends = 0, []
    for scale, (_, width) in enumerate(sizes):
        own = [entry for entry in lines if entry["scale"] == scale]
        if not own:
            continue
        x = [offset + entry["iteration"] for entry in own]
        above.semilogy(x, [entry["reconstruction"] for entry in own], **line)
        if "critic" in own[0]:
            below.plot(x, [entry["critic"] for entry in own], **line)
        middle = offset + own[-1]["iteration"] / 2
        above.text(middle, 1.02, f"{width}", transform=above.get_xaxis_transform(), ha="center", fontsize=7)
        offset += own[-1]["iteration"]
        ends.append(offset)
    for axes in (above, below):
        for end in ends[:-1]:
            axes.axvline(end, color="0.85", lw=1)
    above.set_ylabel("reconstruction, MSE")
    below.set_ylabel("discriminator: real - fake")
    below.set_xlabel("iteration")
    return figure


def draw_row_brightness(photo: Float[Tensor, "3 h w"], groups: Mapping[str, Scenes]) -> Figure:
    """Draw the mean brightness of every row: the photo's line against those of samples, one panel a group.

    Args:
        photo: in [0, 1], like the samples, and of their height.
        groups: samples by one of COLOURS, "with the coordinate" or "without".
    """
    figure, panels = plt.subplots(
        1, len(groups), figsize=(4.5 * len(groups), 4), layout="constrained", sharey=True, squeeze=False
    )
    heights = range(photo.shape[1])
    for axes, (name, samples) in zip(panels[0], groups.items(), strict=True):
        for number, sample in enumerate(samples):
            label = None if number else "samples"
            brightness = sample.mean((0, 2)) * 255
            axes.plot(brightness, heights, color=COLOURS[name], alpha=0.5, lw=1, label=label)
        axes.plot(photo.mean((0, 2)) * 255, heights, color=COLOURS["photo"], lw=2, label="photo")
        axes.set_title(name)
        axes.set_xlabel("mean brightness of the row, 8-bit levels")
        axes.legend()
    panels[0][0].invert_yaxis()
    panels[0][0].set_ylabel("row, from the top")
    return figure


def generator_sheet(samples: Mapping[str, Scenes]) -> Image.Image:
    """Show one row of scenes for each generator, the same seeds below each other."""
    titles = [f"{name}, seed {seed}" for name, scenes in samples.items() for seed in range(len(scenes))]
    scenes = [scene for row in samples.values() for scene in row]
    return contact_sheet(scenes, len(next(iter(samples.values()))), titles)


def ablation_sheet(pairs: Mapping[str, tuple[Scenes, Scenes]]) -> Image.Image:
    """Show a row for each photo: its scenes with the coordinate, then, of the same seeds, those without."""
    titles: list[str] = []
    scenes: list[Tensor] = []
    for photo, pair in pairs.items():
        for name, group in zip(("with", "without"), pair, strict=True):
            titles += [f"{photo}, {name}, seed {seed}" for seed in range(len(group))]
            scenes += group
    return contact_sheet(scenes, len(scenes) // len(pairs), titles)


def draw_row_distances(
    photo: Float[Tensor, "3 h w"], distances: Mapping[str, Float[Tensor, "n h"]]
) -> Figure:
    """Draw beside the photo how far each row's colours are from its: mean and extremes over the samples.

    Args:
        photo: in [0, 1].
        distances: in 8-bit levels, a line for each sample (see `ourgan.metrics.layout`), by generator.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.6), layout="constrained", sharey=True, width_ratios=(1.35, 1)
    )
    show_photo(left, photo)
    for name, rows in distances.items():
        heights, colour = range(rows.shape[1]), COLOURS[name]
        right.fill_betweenx(heights, rows.amin(0), rows.amax(0), color=colour, alpha=0.15, lw=0)
        right.plot(rows.mean(0), heights, color=colour, label=name)
    right.set(xlabel="distance of the row's colours, 8-bit levels", xlim=(0, None))
    right.legend(fontsize=9)
    return figure


def draw_disagreement(points: Mapping[str, Sequence[tuple[float, float]]], metric: str) -> Figure:
    """Draw the perceptual distance of each sample from the photo against that of its rows' colours.

    Args:
        points: (perceptual distance, distance of rows) of each sample, by generator.
        metric: name of the perceptual distance.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for name, pairs in points.items():
        across, up = zip(*pairs, strict=True)
        axes.plot(across, up, "o", color=COLOURS[name], alpha=0.8, label=name)
    axes.set(xlabel=f"{metric} from the photo", ylabel="distance of the rows' colours, 8-bit levels")
    axes.legend(fontsize=9)
    return figure


def edit_sheet(before: Tensor, edit: Edit, after: Tensor) -> Image.Image:
    """Lay out a scene with the rectangle, with the rough change, and as the generator finished it.

    Args:
        before: the scene, (3, H, W) in [0, 1].
        edit: the change.
        after: the scene with it, of the same shape and range.
    """
    marked = Image.fromarray(to_uint8(before))
    x, y, w, h = edit.box
    ImageDraw.Draw(marked).rectangle((x, y, x + w - 1, y + h - 1), outline="white", width=2)
    captions = ["the scene", f"{DONE[edit.operation]}, roughly", f"the generator, from scale {edit.scale}"]
    return contact_sheet([from_uint8(np.asarray(marked)), edit.apply(before), after], 3, captions)


def paint_landscape(height: int, width: int) -> Tensor:
    """Paint sky, two mountains and a meadow as in a minute: (3, height, width) in [0, 1]."""
    picture = Image.new("RGB", (width, height), (120, 150, 190))
    brush = ImageDraw.Draw(picture)
    for colour, corners in (
        ((110, 110, 115), ((0.0, 0.7), (0.25, 0.15), (0.5, 0.7))),
        ((90, 90, 95), ((0.4, 0.7), (0.75, 0.3), (1.0, 0.7))),
        ((80, 90, 45), ((0.0, 0.65), (1.0, 0.6), (1.0, 1.0), (0.0, 1.0))),
    ):
        brush.polygon([(x * width, y * height) for x, y in corners], fill=colour)
    return from_uint8(np.asarray(picture))
