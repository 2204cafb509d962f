"""Numbers that need no network: is the layout the photo's, do samples vary, are they copies?

All are of images in [0, 1], and in 8-bit levels: a difference of 1 is one of the 255 steps of an 8-bit file.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

WIDTH = 256  # pixels at which `ourgan evaluate` and `ourgan benchmark` compare layouts
QUANTILES = 256  # at which the values of a row are compared


def layout_size(image: Float[Tensor, "3 h w"]) -> tuple[int, int]:
    """Return (height, 256): the size, in the image's aspect ratio, at which layouts are compared."""
    return max(1, round(WIDTH * image.shape[1] / image.shape[2])), WIDTH


def row_colour_error(photo: Float[Tensor, "3 h w"], sample: Float[Tensor, "3 h w2"]) -> float:
    """Return the mean absolute difference of the rows' mean colours, in 8-bit levels.

    Sky under a mountain changes the mean colour of a row; the same mountain further left does not. So
    this tells vertical incoherence from variety, which a perceptual distance between samples cannot.
    """
    return float((photo.mean(2) - sample.mean(2)).abs().mean() * 255)


def row_distribution_distance(photo: Float[Tensor, "3 h w"], sample: Float[Tensor, "3 h2 w2"]) -> float:
    """Return how far the rows' colours are from the photo's: the mean of `row_distances`, in 8-bit levels."""
    return float(row_distances(photo, sample).mean())


def row_distances(photo: Float[Tensor, "3 h w"], sample: Float[Tensor, "3 h2 w2"]) -> Float[Tensor, " h"]:
    """Return the first Wasserstein distance of each row's colours from those of the photo's row.

    Each row of each channel is taken as a bag of W values, and the two bags of a row are compared by their
    quantiles. Where along a row something stands does not count, which leaves a generator free to move its
    mountains; how high it stands does. Unlike the mean colour of a row, a bag also knows whether the row is
    half sky and half rock or all of it grey. 0 for the photo with the pixels of every row shuffled.

    Distances are means over the channels, in 8-bit levels. Raises ValueError where the heights differ.
    """
    if photo.shape[1] != sample.shape[1]:
        raise ValueError(f"heights {photo.shape[1]} and {sample.shape[1]}: scale one to the other")
    shares = (torch.arange(QUANTILES) + 0.5) / QUANTILES
    first, second = (
        image.double().sort(2).values[:, :, (shares.double() * image.shape[2]).long()]
        for image in (photo, sample)
    )
    return (first - second).abs().mean((0, 2)).float() * 255


def pixel_differences(samples: Sequence[Float[Tensor, "3 h w"]]) -> Float[Tensor, "n n"]:
    """Return the mean absolute difference of each of n samples of one size to each other, in 8-bit levels."""
    stacked = torch.stack(list(samples))
    return torch.stack([(stacked - sample).abs().mean((1, 2, 3)) * 255 for sample in stacked])


def diversity(samples: Sequence[Float[Tensor, "3 h w"]]) -> float:
    """Return the mean of `pixel_differences` over all pairs of samples; 0 for a single one."""
    count = len(samples)
    return float(pixel_differences(samples).sum()) / (count * (count - 1)) if count > 1 else 0.0


def distance_to_photo(photo: Float[Tensor, "3 h w"], sample: Float[Tensor, "3 h w"]) -> float:
    """Return the mean absolute difference to the photo or to its mirror image, whichever is nearer.

    It is in 8-bit levels; near 0 means that the sample is a copy.
    """
    nearest = torch.stack([(image - sample).abs().mean() for image in (photo, photo.flip(2))]).min()
    return float(nearest * 255)
