"""OurGAN on a tiny model of a real photo, with the real released weights."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import structure
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.config import SuperResolutionConfig
from ourgan.io import canvas, tiff
from ourgan.io.model_dir import ModelError, ModelMetadata
from ourgan.pipeline import OurGAN
from ourgan.training.scales import ScaleTrainer
from ourgan.upscale.schedule import bytes_in_bands
from ourgan.upscale.tiles import TilePlan
from ourgan.upscale.upscaler import PROCESS_BYTES, Upscaler

TINY = structure(
    width=24, min_width=16, vae_refinements=1, gan_stages=1, channels=8, layers=1, latent_channels=8,
    batch_size=1, iterations=2, dtype="float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def model(photo: Callable[..., Tensor]) -> OurGAN:
    trainer = ScaleTrainer(photo(width=64), TINY, seed=3)
    while not trainer.finished:
        trainer.step()
    settings = SuperResolutionConfig(noise_std=0.02, overlap=8, dtype="float32")
    upscaler = Upscaler(settings, device=torch.device("cpu"))
    return OurGAN(trainer.generator, upscaler, ModelMetadata(photo="a photo.jpg", seed=3))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")


def columns(model: OurGAN, memory_budget: int | None = None) -> int:
    """Columns of tiles of step 2."""
    [plan] = model.upscaler.plan(torch.rand(3, 18, 24), [2], method="tile", memory_budget=memory_budget)
    assert isinstance(plan.layout, TilePlan)
    return plan.layout.columns


def test_sample_depends_on_the_seed_alone(model: OurGAN) -> None:
    first = model.sample(5)
    model.sample(6)
    assert first.shape == (3, 18, 24) and 0 <= first.min() and first.max() <= 1
    assert torch.equal(first, model.sample(5))
    assert not torch.equal(first, model.sample(6))
    assert model.sample(5, width=96).shape == (3, 18, 96)
    # The margin is drawn and cut off: what is left is the middle of a wider scene.
    wide = model.sample(5, width=24 + 2 * 6, margin=0)
    assert torch.equal(model.sample(5, margin=6), wide[:, :, 6:30])


def test_saved_and_loaded_it_draws_the_same(model: OurGAN, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    again = OurGAN.from_pretrained(tmp_path / "model", device="cpu")
    # float16 on disk: its rounding must not be seen, and a second trip must lose nothing more.
    assert (again.sample(5) - model.sample(5)).abs().max() < 2 / 255
    again.save_pretrained(tmp_path / "again")
    assert torch.equal(OurGAN.from_pretrained(tmp_path / "again", device="cpu").sample(5), again.sample(5))
    assert again.metadata == model.metadata and again.upscaler.settings == model.upscaler.settings
    assert again.generator.noise_amplitudes == model.generator.noise_amplitudes


@pytest.mark.slow
def test_from_seed_to_file(model: OurGAN, tmp_path: Path) -> None:
    path = model.synthesize(5, "4k", tmp_path / "scene.tif", progress=False)
    pixels = model.synthesize(5, "4k", progress=False)
    assert path == tmp_path / "scene.tif" and isinstance(pixels, np.ndarray)
    assert pixels.shape == (18 * 16, 24 * 16, 3)
    with Image.open(tmp_path / "scene.tif") as picture:
        assert np.array_equal(np.asarray(picture), pixels)
    record = json.loads((tmp_path / "scene.json").read_text())
    assert record["seed"] == 5 and record["weights"]["step 3"]["source"].startswith("package")
    assert record["methods"][1] == "bands of 64 rows in torch.float32"
    assert (tmp_path / "scene.preview.jpg").exists()
    with pytest.raises(OurganError, match="exists already"):
        model.synthesize(5, "1k", tmp_path / "scene.tif", progress=False)


@pytest.mark.slow
def test_what_was_begun_goes_on_to_the_same_pixels(
    model: OurGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (tiff, canvas):
        monkeypatch.setattr(module, "TILE", 64)
    pixels = model.synthesize(5, "4k", progress=False)
    append, drawn = canvas.Canvas.append, []

    def interrupted(self: canvas.Canvas, rows: NDArray[np.uint8]) -> None:
        append(self, rows)
        drawn.append(len(rows))
        if sum(drawn) > 150:
            raise KeyboardInterrupt

    for method in ("stream", "tile"):
        path = tmp_path / f"{method}.tif"
        steps = [model.upscaler.step(number) for number in (2, 3)]
        needed = bytes_in_bands(steps, 24, 8) if method == "stream" else 900 * 16 * 50 * 40
        options: dict[str, Any] = {"method": method, "memory_budget": PROCESS_BYTES["cpu"] + needed}
        drawn.clear()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(canvas.Canvas, "append", interrupted)
            model.synthesize(5, "4k", path, progress=False, **options)
        with pytest.raises(OurganError, match="begun with seed 5, this is 6"):
            model.synthesize(6, "4k", path, resume=True, progress=False, **options)
        with pytest.raises(OurganError, match="begun with methods"):
            model.synthesize(5, "4k", path, resume=True, progress=False, method=method)
        model.synthesize(5, "4k", path, resume=True, progress=False, **options)
        record = json.loads(path.with_suffix(".json").read_text())
        assert record["rows_from_an_earlier_run"] >= 128
        with Image.open(path) as picture:
            again = np.asarray(picture)
        if method == "stream":
            assert np.abs(again.astype(int) - pixels).max() <= 1  # other bands
        whole = model.synthesize(5, "4k", progress=False, **options)
        assert np.array_equal(again, whole)


@pytest.mark.slow
def test_the_steps_enlarge_what_they_are_given(model: OurGAN, photo: Callable[..., Tensor]) -> None:
    # Averaged back to its size, the enlarged photo is the photo: right way up, right place, right colours.
    image = photo(width=24)
    large = model.upscaler.upscale(image, 5, (2, 3), method="tile")
    assert large.shape == (3, 16 * image.shape[1], 16 * 24)
    back = large.unfold(1, 16, 16).unfold(2, 16, 16).mean((3, 4))
    others = [image.flip(1), image.flip(2), image.flip(0), image.roll(2, 2)]
    assert (back - image).abs().mean() < min((back - other).abs().mean() for other in others) / 2


def test_bands_make_the_whole_picture_and_write_the_same_pixels(model: OurGAN) -> None:
    image = model.sample(5)
    whole, streamed = (model.upscaler.upscale(image, 5, [2], method=m) for m in ("tile", "stream"))
    assert columns(model) == 1  # one tile: the whole image
    torch.testing.assert_close(streamed, whole, rtol=0, atol=1e-5)
    with pytest.raises(OurganError, match="method 'strips': use one of auto, stream, tile"):
        model.synthesize(5, "1k", method="strips")


def test_tiles_do_not_change_the_noise_they_see(model: OurGAN) -> None:
    image = model.sample(5)
    whole = model.upscaler.upscale(image, 5, [2], method="tile")
    needed = PROCESS_BYTES["cpu"] + 900 * 16 * 18 * 20  # bytes for a subregion smaller than the image
    assert columns(model, needed) > 1
    tiled = model.upscaler.upscale(image, 5, [2], method="tile", memory_budget=needed)
    other = model.upscaler.upscale(image, 6, [2], method="tile")
    assert (tiled - whole).abs().mean() < (other - whole).abs().mean()


@pytest.mark.parametrize("name", ["config.json", "global.safetensors"])
def test_a_missing_file_is_named(model: OurGAN, tmp_path: Path, name: str) -> None:
    model.save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match=name):
        OurGAN.from_pretrained(tmp_path)


def test_damage_is_refused_by_name(model: OurGAN, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "good")
    state = load_file(tmp_path / "good" / "global.safetensors")
    key = "decoder.convolutions.0.weight"
    for change, says in (
        (lambda s: s.pop(key), f"{key} is missing"),
        (lambda s: s.update({key: s[key][:1].clone()}), key),
        (lambda s: s.update({key: s[key] * float("nan")}), "NaN"),
        (lambda s: s.update({"more": torch.zeros(1)}), "unknown tensor more"),
    ):
        bad, directory = dict(state), tmp_path / "bad"
        change(bad)
        shutil.copytree(tmp_path / "good", directory, dirs_exist_ok=True)
        save_file(bad, directory / "global.safetensors")
        with pytest.raises(ModelError, match=says):
            OurGAN.from_pretrained(directory)
    (directory / "global.safetensors").write_bytes(b"no weights at all" * 10_000)
    with pytest.raises(ModelError, match="damaged"):
        OurGAN.from_pretrained(directory)
    table = json.loads((tmp_path / "good" / "config.json").read_text())
    for broken in (
        "{", "[]", json.dumps(table | {"format": 99}), json.dumps(table | {"aspect_ratio": None}),
        json.dumps(table | {"global_structure": {"wdth": 3}}),
    ):  # fmt: skip
        (directory / "config.json").write_text(broken)
        with pytest.raises(OurganError) as caught:
            OurGAN.from_pretrained(directory)
        assert "config.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_window_is_the_same_pixels_without_the_rest(model: OurGAN) -> None:
    whole = model.synthesize(5, "4k", progress=False)
    assert isinstance(whole, np.ndarray)
    window = model.crop(5, "4k", (200, 100, 50, 30), tolerance=0)
    expected = torch.from_numpy(whole[100:130, 200:250].copy()).permute(2, 0, 1) / 255
    assert (window - expected).abs().max() < 0.51 / 255
    scene = model.upscaler.upscale(model.sample(5), 5, [2], method="stream")
    assert torch.equal(model.crop(5, "1k", (0, 0, 96, 72)), scene)
    with pytest.raises(OurganError, match="not within the picture, 384x288"):
        model.crop(5, "4k", (380, 0, 5, 5))


def test_other_settings_are_another_model_with_the_same_generator(model: OurGAN) -> None:
    model.upscaler.network(2)  # in use from now on
    for change in ({"backbone": "swinir"}, {"dtype": "bfloat16"}):
        with pytest.raises(dataclasses.FrozenInstanceError):
            model.upscaler = model.upscaler.using(**change)  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.upscaler.settings.dtype = "bfloat16"  # type: ignore[misc]
    other = model.using(dtype="bfloat16", overlap=16)
    assert other.generator is model.generator and other.metadata == model.metadata
    assert other.upscaler.step(2).dtype == torch.bfloat16 != model.upscaler.step(2).dtype
    assert other.upscaler.settings.overlap == 16 != model.upscaler.settings.overlap
    assert torch.equal(other.sample(5), model.sample(5))
