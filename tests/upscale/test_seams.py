"""What follows from measured seams: which overlap is enough, and where two pictures differ."""

from __future__ import annotations

import torch

from ourgan.upscale.seams import SeamDifference, level_difference, smallest_overlap


def difference(mean: float) -> SeamDifference:
    return SeamDifference(mean_in_band=mean, largest=10 * mean, changed=0.5)


def test_smallest_overlap_holds_for_all_larger_ones() -> None:
    measured = {0: difference(6.0), 8: difference(0.4), 16: difference(0.6), 32: difference(0.1)}
    assert smallest_overlap(measured, mean=0.5) == 32
    assert smallest_overlap(measured, mean=0.7) == 8
    assert smallest_overlap(measured, mean=10) == 0
    assert smallest_overlap(measured, mean=0.1) is None


def test_level_difference_is_that_of_the_worst_channel_within_the_range() -> None:
    tiled, whole = torch.zeros(3, 2, 2), torch.zeros(3, 2, 2)
    tiled[1, 0, 0], tiled[2, 0, 0], tiled[0, 1, 1], whole[0, 1, 1] = 0.2, 0.1, 3.0, 1.0
    torch.testing.assert_close(level_difference(tiled, whole), torch.tensor([[51.0, 0.0], [0.0, 0.0]]))
