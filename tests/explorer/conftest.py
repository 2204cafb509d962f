"""Toy models for the explorer: as they are, saved in a directory, and the twin without the coordinate."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toy import SMALL, toy_model

from ourgan.models.generators import HPVAEGAN
from ourgan.pipeline import OurGAN
from ourgan.upscale.upscaler import Upscaler


@pytest.fixture(scope="session")
def toy() -> OurGAN:
    return toy_model()


@pytest.fixture(scope="session")
def twin() -> OurGAN:
    torch.manual_seed(1)
    generator = HPVAEGAN(dataclasses.replace(SMALL, coordinate_generator=False), 0.75)
    for _ in generator.sizes[1:]:
        generator.grow()
    generator.noise_amplitudes = [1.0, 0.5, 0.5]
    return OurGAN(generator, Upscaler(device=torch.device("cpu")))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A model's directory that a test may write into."""
    toy_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """`until(condition)`: wait for it, up to a minute."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.01)

    return wait
