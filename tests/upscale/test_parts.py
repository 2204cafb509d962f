"""A picture whose rows were made by several workers is the picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import structure
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.config import SuperResolutionConfig
from ourgan.io.model_dir import ModelMetadata
from ourgan.models.rrdbnet import RRDBNet
from ourgan.pipeline import OurGAN
from ourgan.training.scales import ScaleTrainer
from ourgan.upscale import parts
from ourgan.weights import Weights

TINY = structure(
    width=24, min_width=16, vae_refinements=0, gan_stages=1, channels=8, layers=1, latent_channels=8,
    batch_size=1, iterations=2,
)  # fmt: skip


@pytest.fixture
def model(photo: Callable[..., Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model whose steps of x4 are a tiny network with noise."""

    def tiny(_: SuperResolutionConfig) -> tuple[RRDBNet, Weights]:
        torch.manual_seed(5)
        network = RRDBNet(channels=8, blocks=1, growth=4, scale=4).eval()
        return network, Weights("tiny", {}, "a test", "0" * 64, "CC0-1.0")

    monkeypatch.setattr("ourgan.upscale.upscaler.starting_network", tiny)
    trainer = ScaleTrainer(photo(width=64), TINY, seed=3)
    while not trainer.finished:
        trainer.step()
    settings = SuperResolutionConfig(noise_std=0.05, dtype="float32", tile_memory_mb=64)
    OurGAN(trainer.generator, settings, ModelMetadata(photo="a photo.jpg"), "cpu").save_pretrained(
        tmp_path / "m"
    )
    return tmp_path / "m"


def pixels(path: Path, shape: tuple[int, int]) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.size == shape[::-1]
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("count", [1, 3, 7])
def test_the_joined_picture_is_the_picture(model: Path, tmp_path: Path, count: int) -> None:
    whole = OurGAN.from_pretrained(model, device="cpu").synthesize(7, "4k", method="stream", progress=False)
    out = parts.synthesize_in_parts(model, 7, "4k", tmp_path / "s.png", parts=count, workers=1)
    assert np.array_equal(pixels(out, whole.shape[:2]), whole)
    assert not list(tmp_path.glob(".s.png*"))


def test_parts_that_are_there_are_not_made_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def stop_at_third(scene: str, **arguments: object) -> None:
        if len(made) == 2:
            raise OurganError("the power went")
        made.append(arguments["first"])
        real(scene, **arguments)  # type: ignore[arg-type]

    real = parts.make_rows
    monkeypatch.setattr(parts, "make_rows", stop_at_third)
    out = tmp_path / "s.png"
    with pytest.raises(OurganError, match="the power went"):
        parts.synthesize_in_parts(model, 7, "4k", out, parts=4, workers=1)
    assert not out.exists() and len(made) == 2
    monkeypatch.setattr(
        parts, "make_rows", lambda scene, **more: (made.append(more["first"]), real(scene, **more))
    )
    parts.synthesize_in_parts(model, 7, "4k", out, parts=4, workers=1)
    assert sorted(made) == [0, 72, 144, 216]
    whole = OurGAN.from_pretrained(model, device="cpu").synthesize(7, "4k", method="stream", progress=False)
    assert np.array_equal(pixels(out, whole.shape[:2]), whole)


def test_what_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(OurganError, match="parts 0"):
        parts.synthesize_in_parts(model, 7, "4k", tmp_path / "s.png", parts=0, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    with pytest.raises(OurganError, match="size '8k'"):
        parts.synthesize_in_parts(model, 7, "8k", tmp_path / "s.png", parts=2)
    (tmp_path / "s.png").write_bytes(b"mine")
    with pytest.raises(OurganError, match="exists already"):
        parts.synthesize_in_parts(model, 7, "4k", tmp_path / "s.png", parts=2)
    assert (tmp_path / "s.png").read_bytes() == b"mine"
