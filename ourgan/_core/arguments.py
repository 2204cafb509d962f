"""What people write on the command line or into environment variables, as values."""

from __future__ import annotations

import argparse
import re

from ourgan._core.errors import OurganError

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


class ArgumentError(OurganError, argparse.ArgumentTypeError):
    """A text that is no such value: one line, wherever it was written."""


def parse_bytes(text: str) -> int:
    """Return the bytes that "2GiB", "500m" or "1.5 g" says. Raises ArgumentError for anything else, and 0."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    if not match or not (value := int(float(match[1]) * _UNITS[match[2]])):
        raise ArgumentError(f"'{text}' is not an amount of memory; write for example 2GiB")
    return value


def parse_steps(text: str) -> tuple[int, ...]:
    """Return the steps of the paper that "1,2,3" says, in their order. Raises ArgumentError."""
    if not re.fullmatch(r"[1-4](,[1-4])*", text):
        raise ArgumentError(f"'{text}' is not a list of steps; write for example 1,2,3")
    return tuple(sorted({int(step) for step in text.split(",")}))
