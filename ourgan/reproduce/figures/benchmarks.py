"""The drawings of notebook 06: generators side by side, and what a number about layout sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ourgan.io.pixels import contact_sheet
from ourgan.metrics.layout import row_distances
from ourgan.reproduce.figures import FIRST, PRINTED, SECOND, show_photo

COLOURS = (FIRST, SECOND, PRINTED)


def generator_sheet(samples: Mapping[str, Sequence[Tensor]]) -> Image.Image:
    """One row of scenes for each generator, the same seeds below each other."""
    titles = [f"{name}, seed {seed}" for name, scenes in samples.items() for seed in range(len(scenes))]
    scenes = [scene for row in samples.values() for scene in row]
    return contact_sheet(scenes, len(next(iter(samples.values()))), titles)


def ablation_sheet(pairs: Mapping[str, tuple[Sequence[Tensor], Sequence[Tensor]]]) -> Image.Image:
    """A row for each photo: its scenes with the coordinate, then, of the same seeds, those without."""
    titles: list[str] = []
    scenes: list[Tensor] = []
    for photo, pair in pairs.items():
        for name, drawn in zip(("with", "without"), pair, strict=True):
            titles += [f"{photo}, {name}, seed {seed}" for seed in range(len(drawn))]
            scenes += drawn
    return contact_sheet(scenes, len(scenes) // len(pairs), titles)


def draw_row_distances(photo: Tensor, samples: Mapping[str, Sequence[Tensor]]) -> Figure:
    """Beside the photo: how far each row's colours are from its, mean and extremes over the samples."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.6), layout="constrained", sharey=True, width_ratios=(1.35, 1)
    )
    show_photo(left, photo)
    for colour, (name, scenes) in zip(COLOURS, samples.items(), strict=False):
        rows = torch.stack([row_distances(photo, scene) for scene in scenes])
        height = torch.arange(rows.shape[1])
        right.fill_betweenx(height, rows.amin(0), rows.amax(0), color=colour, alpha=0.15, lw=0)
        right.plot(rows.mean(0), height, color=colour, label=name)
    right.set(xlabel="distance of the row's colours, levels of 255", xlim=(0, None))
    right.legend(fontsize=9)
    return figure


def draw_disagreement(points: Mapping[str, Sequence[tuple[float, float]]], metric: str) -> Figure:
    """Perceptual distance (`metric`) of each sample from the photo against that of its rows' colours."""
    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for colour, (name, found) in zip(COLOURS, points.items(), strict=False):
        across, up = zip(*found, strict=True)
        axes.plot(across, up, "o", color=colour, alpha=0.8, label=name)
    axes.set(xlabel=f"{metric} from the photo", ylabel="distance of the rows' colours, levels")
    axes.legend(fontsize=9)
    return figure
