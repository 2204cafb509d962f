"""Numbers that need no other network: is the layout the photo's, do samples vary, are they copies?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

QUANTILES = 256  # at which the values of a row are compared


def row_colour_error(photo: Tensor, sample: Tensor) -> float:
    """Mean absolute difference of the rows' mean colours, in levels of 255; images (3, H, W) in [0, 1].

    Sky under a mountain changes the mean colour of a row; the same mountain further left does not. So
    this tells vertical incoherence from variety, which a perceptual distance between samples cannot.
    """
    return float((photo.mean(2) - sample.mean(2)).abs().mean() * 255)


def row_distribution_distance(photo: Tensor, sample: Tensor) -> float:
    """How far the rows' colours are from the photo's: the mean of `row_distances`, in levels of 255."""
    return float(row_distances(photo, sample).mean())


def row_distances(photo: Tensor, sample: Tensor) -> Tensor:
    """First Wasserstein distance of each row's colours from those of the photo's row: (H,), levels of 255.

    Images (3, H, W) in [0, 1] of one height. Each row of each channel is taken as a bag of W values, and the
    two bags of a row are compared by their quantiles. Where along a row something stands does not count,
    which leaves a generator free to move its mountains; how high it stands does. Unlike the mean colour of a
    row, a bag also knows whether the row is half sky and half rock or all of it grey. 0 for the photo with
    the pixels of every row shuffled. ValueError if the heights differ.
    """
    if photo.shape[1] != sample.shape[1]:
        raise ValueError(f"heights {photo.shape[1]} and {sample.shape[1]}: scale one to the other")
    places = (torch.arange(QUANTILES) + 0.5) / QUANTILES
    first, second = (_quantiles(image, places) for image in (photo, sample))
    return (first - second).abs().mean((0, 2)).float() * 255


def _quantiles(image: Tensor, places: Tensor) -> Tensor:
    """Values of each row at the shares `places` of its sorted pixels: (3, H, len(places))."""
    return image.double().sort(2).values[:, :, (places.double() * image.shape[2]).long()]


def diversity(samples: Sequence[Tensor]) -> float:
    """Mean absolute difference over all pairs of samples (3, H, W) in [0, 1], in levels of 255."""
    pairs = [float((a - b).abs().mean()) for a, b in itertools.combinations(samples, 2)]
    return sum(pairs) / len(pairs) * 255 if pairs else 0.0


def distance_to_photo(photo: Tensor, sample: Tensor) -> float:
    """Mean absolute difference to the photo or to its mirror, whichever is nearer, in levels of 255.

    Near 0 means a copy.
    """
    return float(
        torch.stack([(photo - sample).abs().mean(), (photo.flip(2) - sample).abs().mean()]).min() * 255
    )
