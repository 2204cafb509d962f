"""Numbers about layout: what they see, and what they must not see."""

from __future__ import annotations

import pytest
import torch

from ourgan.metrics.layout import row_colour_error, row_distribution_distance


def test_where_along_a_row_does_not_count(photo) -> None:
    image = photo(width=96)
    shuffled = image[:, :, torch.randperm(96, generator=torch.Generator().manual_seed(0))]
    assert row_distribution_distance(image, shuffled) == 0
    assert row_distribution_distance(image, image.flip(2)) == 0
    assert row_distribution_distance(image, image.flip(1)) > 20


def test_equal_means_do_not_deceive_it() -> None:
    grey, halves = torch.full((3, 4, 8), 0.5), torch.zeros(3, 4, 8)
    halves[:, :, 4:] = 1
    assert row_colour_error(grey, halves) == 0
    assert row_distribution_distance(grey, halves) == pytest.approx(127.5)


def test_a_shift_of_values_is_measured_in_levels(photo) -> None:
    image = photo(width=64) * 0.5
    assert row_distribution_distance(image, image + 10 / 255) == pytest.approx(10, abs=1e-4)


def test_widths_may_differ_and_heights_may_not(photo) -> None:
    image = photo(width=64)
    wide = torch.cat([image, image], 2)  # the same bags, twice as full
    assert row_distribution_distance(image, wide) < 1.5
    with pytest.raises(ValueError, match="heights"):
        row_distribution_distance(image, image[:, 1:])


def test_it_is_never_less_than_the_difference_of_the_means(photo) -> None:
    one, other = photo(width=64), photo("sunset", width=64)
    height = min(one.shape[1], other.shape[1])
    one, other = one[:, :height], other[:, :height]
    assert row_distribution_distance(one, other) > row_colour_error(one, other) - 0.5
