"""A scene that no seed draws: scaled noise, an image at a scale, a picture given, and its watcher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import structure

from ourgan.config import SuperResolutionConfig
from ourgan.pipeline import OurGAN
from ourgan.training.scales import ScaleTrainer
from ourgan.upscale.noise import scene_noise
from ourgan.upscale.upscaler import Upscaler

TINY = structure(
    width=24, min_width=16, vae_refinements=1, gan_stages=2, channels=8, layers=1, latent_channels=8,
    batch_size=1, iterations=2, dtype="float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def model(photo) -> OurGAN:
    trainer = ScaleTrainer(photo(width=64), TINY, seed=3)
    while not trainer.finished:
        trainer.step()
    settings = SuperResolutionConfig(noise_std=0.02, overlap=8, dtype="float32")
    return OurGAN(trainer.generator, Upscaler(settings, device=torch.device("cpu")))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")


def test_noise_scales_and_noise(model: OurGAN) -> None:
    scales = len(model.generator.sizes)
    plain = model.sample(5)
    assert torch.equal(plain, model.sample(5, noise_scales=[1.0] * scales))
    assert torch.equal(plain, model.sample(9, noise=scene_noise(5)))
    still = [model.sample(seed, noise_scales=[0.0] * scales) for seed in (5, 6)]
    assert torch.equal(*still) and not torch.equal(still[0], plain)


def test_an_image_at_a_scale(model: OurGAN, photo) -> None:
    given = photo(width=32)
    made = model.sample(5, inject_at=(2, given))
    assert made.shape == model.sample(5).shape
    assert not torch.equal(made, model.sample(5, inject_at=(2, 1 - given)))
    # What is drawn below does not matter any more, and the image's size is that of no scale.
    other = [0.0, 0.0, *[1.0] * (len(model.generator.sizes) - 2)]
    assert torch.equal(made, model.sample(5, inject_at=(2, given), noise_scales=other))
    with pytest.raises(ValueError, match="inject_at scale 0"):
        model.sample(5, inject_at=(0, given))


@pytest.mark.slow
def test_a_picture_in_place_of_the_seeds(model: OurGAN, photo, tmp_path: Path) -> None:
    given = photo(width=24)
    pixels = model.synthesize(5, "1k", image=given, progress=False)
    assert isinstance(pixels, np.ndarray) and pixels.shape == (given.shape[1] * 4, 96, 3)
    assert np.array_equal(model.synthesize(5, "1k", image=model.sample(5)), model.synthesize(5, "1k"))
    window = model.crop(5, "1k", (10, 12, 30, 20), image=given)
    shown = (window * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    assert np.abs(shown.astype(int) - pixels[12:32, 10:40]).max() <= 1
    assert not torch.equal(window, model.crop(5, "1k", (10, 12, 30, 20)))


class Enough(Exception):
    pass


def test_a_watcher_sees_rows_and_may_end_it(model: OurGAN, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    model.synthesize(5, "1k", tmp_path / "all.png", progress=False, watch=lambda *rows: seen.append(rows))
    assert seen[-1] == (72, 72) and [row for row, _ in seen] == sorted(row for row, _ in seen)

    def stop(done: int, _: int) -> None:
        raise Enough

    out = tmp_path / "scene.png"
    with pytest.raises(Enough):
        model.synthesize(5, "1k", out, progress=False, watch=stop)
    assert not out.exists()
    model.synthesize(5, "1k", out, progress=False, resume=True)
    assert out.read_bytes() == (tmp_path / "all.png").read_bytes()
