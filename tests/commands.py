"""What tests of the `ourgan` command share."""

from __future__ import annotations

import pytest


def refusal(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """Return the one line of a command that was refused, and so ended with 2."""
    assert code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]
