"""A photo too flat or too tall for step 1 is told the shape that is accepted, and that shape is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from ourgan._core.errors import OurganError
from ourgan.config import load_profile
from ourgan.training.job import Photo, check_photo


def check(profile: str, height: int, width: int) -> None:
    structure = load_profile(profile).structure("ourgan")
    check_photo(
        Photo(Path("a.jpg"), "", torch.empty(3, height, width)), structure.network.sizes(height / width)
    )


@pytest.mark.parametrize("profile", ["smoke", "quick", "cpu"])
@pytest.mark.parametrize("tall", [False, True])
def test_the_ratio_in_the_advice_is_the_one_that_is_accepted(profile, tall):
    shape = (40_000, 600) if tall else (300, 30_000)
    with pytest.raises(OurganError, match="too elongated") as caught:
        check(profile, *shape)
    across, down = map(float, re.search(r"at most ([\d.]+):([\d.]+)$", str(caught.value)).groups())
    assert (down > across) == tall
    side = 300 if not tall else 600
    good = (int(side * down), side) if tall else (side, int(side * across))
    check(profile, *good)
    flatter = (int(side * down * 1.1), side) if tall else (side, int(side * across * 1.1))
    with pytest.raises(OurganError, match="too elongated"):
        check(profile, *flatter)
