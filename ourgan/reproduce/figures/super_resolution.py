"""What notebook 04 draws: degradations, losses, crops, receptive fields, and the trade of the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ourgan.io.pixels import contact_sheet
from ourgan.reproduce.figures import FIRST, PRINTED, SECOND, seam_axes
from ourgan.training.bsrgan import bsrgan_recipe
from ourgan.training.degradation import bicubic_downscale
from ourgan.training.patches import Pair, stream
from ourgan.upscale.receptive_field import EffectiveReceptiveField, circle_share
from ourgan.upscale.seams import SeamDifference

COLOURS = (PRINTED, FIRST, SECOND, "#2ca02c", "#9467bd")


def degradations(patch: Tensor, seed: int, count: int = 6) -> tuple[Image.Image, list[list[str]]]:
    """An HR patch (3, H, W), its bicubic LR and `count` draws of BSRGAN, enlarged to pixels one can see.

    Returns the sheet, and for each draw what was done, in words.
    """
    pictures, captions, recipes = [patch, bicubic_downscale(patch)], ["HR", "bicubic"], []
    for number in range(count):
        made, steps = patch, bsrgan_recipe((patch.shape[1], patch.shape[2]), stream(seed, number))
        for step in steps:
            made = step.apply(made)
        pictures.append(made)
        captions.append(f"draw {number + 1}")
        recipes.append([step.words for step in steps])
    factor = patch.shape[1] // pictures[1].shape[1]
    shown = [_enlarged(picture.clamp(0, 1), factor if i else 1) for i, picture in enumerate(pictures)]
    return contact_sheet(shown, 4, captions), recipes


def draw_training(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Logs of trainings by name: L1, perceptual and both adversarial losses, and the validation."""
    figure, panels = plt.subplots(1, 4, figsize=(13, 3.3), layout="constrained")
    kinds = (("l1", "L1"), ("perceptual", "perceptual"), ("adversarial", "adversarial, G (-) and D (--)"))
    for (name, lines), colour in zip(runs.items(), COLOURS[1:], strict=False):
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


def comparison(rows: Mapping[str, Sequence[Tensor]], columns: Sequence[str], side: int = 192) -> Image.Image:
    """The middle `side` pixels of pictures (3, H, W), at 100 %: one row a case, one column a method."""
    pictures, captions = [], []
    for name, row in rows.items():
        for column, picture in zip(columns, row, strict=True):
            top, left = ((size - min(side, size)) // 2 for size in picture.shape[1:])
            pictures.append(picture[:, top : top + side, left : left + side])
            captions.append(f"{name}, {column}")
    return contact_sheet(pictures, len(columns), captions)


def most_textured(pairs: Sequence[Pair], count: int, side: int = 192) -> list[Pair]:
    """The pairs of LR and HR whose middle `side` HR pixels, which `comparison` shows, change most."""

    def change(pair: Pair) -> float:
        _, high = pair
        top, left = ((size - min(side, size)) // 2 for size in high.shape[1:])
        middle = high[:, top : top + side, left : left + side]
        return float(middle.diff(dim=1).abs().mean() + middle.diff(dim=2).abs().mean())

    return sorted(pairs, key=change, reverse=True)[:count]


def draw_fields(fields: Mapping[str, EffectiveReceptiveField]) -> Figure:
    """Share of |g| and of g^2 within a circle, over its radius, for several networks."""
    figure, both = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for (name, field), colour in zip(fields.items(), COLOURS, strict=False):
        for axes, values, norm in zip(both, (field.magnitude, field.energy), ("|g|", "g²"), strict=True):
            radii, shares = circle_share(values, field.centre)
            index = min(int(torch.searchsorted(shares, 0.98)), len(radii) - 1)
            axes.plot(
                radii.numpy(), shares.numpy(), color=colour, label=f"{name}: {float(radii[index]):.1f} px"
            )
            axes.set(title=f"share of {norm}", xlabel="radius, LR pixels", xlim=(0, field.crop / 2))
    for axes in both:
        axes.axhline(0.98, color="black", lw=0.8)
        axes.legend(loc="lower right", title="98 % within")
    return figure


def draw_seam_means(seams: Mapping[str, Mapping[int, SeamDifference]], marked: int) -> Figure:
    """Mean difference at the seam over the overlap, for several networks; `marked`: the overlap in use."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for (name, measured), colour in zip(seams.items(), COLOURS, strict=False):
        means = [seam.mean_in_band for seam in measured.values()]
        axes.plot(list(measured), means, "o-", color=colour, label=name)
    seam_axes(axes, marked)
    axes.set_ylabel("mean at the seam, levels of 255")
    axes.legend()
    return figure


def draw_noise(cells: Sequence[Mapping[str, Any]]) -> Figure:
    """What noise costs (ST-LPIPS to the truth) and buys (difference between two draws), by its strength."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    cells = sorted(cells, key=lambda cell: cell["noise_std"])
    strengths = [cell["noise_std"] for cell in cells]
    for method, colour in (("pre-trained", PRINTED), ("fine-tuned", FIRST)):
        left.plot(strengths, [cell[method]["st_lpips"] for cell in cells], "o-", color=colour, label=method)
        right.plot(strengths, [cell[method]["variety"] for cell in cells], "o-", color=colour, label=method)
    left.set(title="cost: ST-LPIPS to the truth", xlabel="standard deviation of the noise", ylim=(0, None))
    right.set(title="gain: two draws differ by, levels of 255", xlabel="standard deviation of the noise")
    left.legend()
    return figure


def _series(lines: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    held = [line for line in lines if key in line]
    return [line["iteration"] for line in held], [line[key] for line in held]


def _enlarged(picture: Tensor, factor: int) -> Tensor:
    return picture.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
