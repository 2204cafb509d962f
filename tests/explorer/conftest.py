"""Toy models for the explorer: as they are, saved in a directory, and the twin without the coordinate."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from toy import SMALL, toy_model

from ourgan._core.files import sha256
from ourgan.io.model_dir import ModelMetadata
from ourgan.models.generators import HPVAEGAN
from ourgan.pipeline import OurGAN
from ourgan.upscale.upscaler import Upscaler

PHOTO = Path(__file__).parents[2] / "data" / "photos" / "picos-de-europa.jpg"


@pytest.fixture(scope="session")
def toy() -> OurGAN:
    return toy_model()


@pytest.fixture(scope="session")
def photographed(tmp_path_factory: pytest.TempPathFactory) -> OurGAN:
    """A toy of 64 x 48 pixels in a directory with its photo, which is large enough for 4K of that."""
    photo = tmp_path_factory.mktemp("photographed") / "photo.jpg"
    with Image.open(PHOTO) as picture:
        picture.resize((1024, 768)).save(photo, quality=95)
    metadata = ModelMetadata(photo="mine.jpg", photo_sha256=sha256(photo), credit="A. Person, CC BY 4.0")
    return dataclasses.replace(toy_model(64), metadata=metadata, directory=photo.parent)


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
    """`until(condition)`: wait for it, up to ten minutes, on however busy a machine."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 600
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.01)

    return wait
