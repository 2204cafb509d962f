"""The error for the person at the keyboard."""

from __future__ import annotations

import pytest

from ourgan._core.errors import OurganError, check_choice


def test_a_wrong_choice_lists_the_right_ones() -> None:
    check_choice("size", "4k", {"1k": 1, "4k": 2})
    with pytest.raises(OurganError) as caught:
        check_choice("size", "8k", {"1k": 1, "4k": 2})
    assert str(caught.value) == "size '8k': use one of 1k, 4k"
