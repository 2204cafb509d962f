"""What lies beside the weights, and what the card says of the photo."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tiny import structure
from torch import Tensor

from ourgan._core.files import sha256
from ourgan.config import SuperResolutionConfig
from ourgan.io.model_dir import ModelMetadata
from ourgan.io.read import read_image
from ourgan.pipeline import OurGAN
from ourgan.training import model_card
from ourgan.training.model_card import write_card, write_model_card
from ourgan.training.scales import ScaleTrainer
from ourgan.upscale.upscaler import Upscaler

PHOTO = Path(__file__).parents[2] / "data" / "photos" / "picos-de-europa.jpg"
TINY = structure(
    width=32, min_width=24, vae_refinements=0, gan_stages=1, channels=8, layers=1, latent_channels=8,
    batch_size=1, iterations=2, dtype="float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def photo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    with Image.open(PHOTO) as picture:
        picture.resize((300, 225)).save(path)
    return path


@pytest.fixture(scope="module")
def model(photo_file: Path, photo: Callable[..., Tensor]) -> OurGAN:
    trainer = ScaleTrainer(photo(width=64), TINY, seed=3)
    while not trainer.finished:
        trainer.step()
    metadata = ModelMetadata(photo="mine.png", photo_sha256=sha256(photo_file), credit="A. B., CC BY 4.0")
    return OurGAN(trainer.generator, Upscaler(SuperResolutionConfig(noise_std=0.0)), metadata)


def test_with_its_photo_a_model_shows_a_picture_of_its_pixels(
    model: OurGAN, photo_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m"
    out.mkdir()
    shutil.copy(photo_file, out)
    write_model_card(model, read_image(photo_file), out, tmp_path / "no log")
    text = (out / "README.md").read_text()
    assert "![a picture with detail from the photo](redrawn.jpg)" in text
    assert "contain the photo's own pixels: A. B., CC BY 4.0; their licence follows the photo's" in text
    assert "The photo's own file is among these: `photo.png`." in text
    with Image.open(out / "redrawn.jpg") as picture:
        assert picture.size == (128, 96)
    large = (out / "redrawn.jpg").stat().st_size
    monkeypatch.setattr(model_card, "LARGEST", large // 2)
    weights = (out / "global.safetensors").stat().st_mtime_ns
    write_card(OurGAN.from_pretrained(out, device="cpu"), read_image(photo_file), out)
    assert (out / "redrawn.jpg").stat().st_size <= large // 2
    assert (out / "README.md").read_text() == text
    assert (out / "global.safetensors").stat().st_mtime_ns == weights


def test_without_it_the_card_says_so(model: OurGAN, photo_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    out.mkdir()
    (out / "redrawn.jpg").write_bytes(b"of an earlier card")
    unknown = dataclasses.replace(model, metadata=ModelMetadata(photo="mine.png", photo_sha256="0" * 64))
    write_model_card(unknown, read_image(photo_file), out, tmp_path / "no log")
    text = (out / "README.md").read_text()
    assert not (out / "redrawn.jpg").exists() and "redrawn.jpg" not in text
    assert "The photo's own file is not among these." in text
    assert "contain the photo's own pixels: ask its author" in text
