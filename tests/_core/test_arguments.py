"""Amounts and lists as people write them."""

from __future__ import annotations

import argparse

import pytest

from ourgan._core.arguments import parse_bytes, parse_steps
from ourgan._core.errors import OurganError


@pytest.mark.parametrize(
    ("text", "value"), [("2GiB", 2**31), ("1.5g", 3 * 2**29), ("800 MB", 800 * 2**20), ("7", 7)]
)
def test_amounts_of_memory(text: str, value: int) -> None:
    assert parse_bytes(text) == value


def test_lists_of_steps() -> None:
    assert parse_steps("3,1,3") == (1, 3)


def test_what_is_none_is_one_line_for_people_and_for_argparse() -> None:
    for parse, text in ((parse_bytes, "much"), (parse_bytes, "0"), (parse_steps, "1,5")):
        for kind in (OurganError, argparse.ArgumentTypeError):
            with pytest.raises(kind, match=rf"^'{text}' is not .*write for example \S+"):
                parse(text)
