"""Numbers that need no other network: is the layout the photo's, do samples vary, are they copies?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor


def row_colour_error(photo: Tensor, sample: Tensor) -> float:
    """Mean absolute difference of the rows' mean colours, in levels of 255; images (3, H, W) in [0, 1].

    Sky under a mountain changes the mean colour of a row; the same mountain further left does not. So
    this tells vertical incoherence from variety, which a perceptual distance between samples cannot.
    """
    return float((photo.mean(2) - sample.mean(2)).abs().mean() * 255)


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
