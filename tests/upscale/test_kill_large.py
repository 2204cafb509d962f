"""A 4K picture of the shipped model, killed three times with kill -9: the same file as one drawn at once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[2] / "data/models/picos-de-europa"


def start(out: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ourgan", "synthesize", str(MODEL), "--seed", "7", "--out", str(out)]
    return subprocess.Popen(
        [*command, "--detail", "network", *more], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


@pytest.mark.long
def test_killed_three_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    whole, killed = tmp_path / "whole.tif", tmp_path / "killed.tif"
    began = time.monotonic()
    assert start(whole).wait() == 0
    seconds = time.monotonic() - began
    moments, kills = random.Random(5), 0
    while kills < 3:
        process = start(killed, "--resume")
        # Each within what is left, most likely: the rows that are done before a kill stay.
        try:
            process.wait(seconds * moments.uniform(0.2, 0.35))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    assert kills == 3 and not killed.exists()
    assert start(killed, "--resume").wait() == 0
    assert killed.read_bytes() == whole.read_bytes()
