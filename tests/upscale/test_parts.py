"""A picture whose rows were made by several workers is the picture."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

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
from ourgan.upscale.parts import Parts
from ourgan.upscale.upscaler import Upscaler
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
        network = RRDBNet(channels=8, blocks=1, growth=4).eval()
        return network, Weights("tiny", {}, "a test", "0" * 64, "CC0-1.0")

    monkeypatch.setattr("ourgan.upscale.upscaler.starting_network", tiny)
    trainer = ScaleTrainer(photo(width=64), TINY, seed=3)
    while not trainer.finished:
        trainer.step()
    settings = SuperResolutionConfig(noise_std=0.05, dtype="float32", tile_memory_mb=64)
    metadata = ModelMetadata(photo="a photo.jpg")
    OurGAN(trainer.generator, Upscaler(settings), metadata).save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def pixels(path: Path, shape: tuple[int, int]) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.size == shape[::-1]
        return np.asarray(picture.convert("RGB"))


def in_parts(model: Path, out: Path, count: int, size: str = "4k") -> None:
    OurGAN.from_pretrained(model, device="cpu").synthesize(7, size, out, parts=Parts(count, workers=1))


def whole_picture(model: Path, out: Path | None = None) -> Any:
    own = OurGAN.from_pretrained(model, device="cpu")
    return own.synthesize(7, "4k", out, method="stream", progress=False)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_the_joined_picture_is_the_picture(model: Path, tmp_path: Path, count: int) -> None:
    whole = whole_picture(model)
    in_parts(model, tmp_path / "s.png", count)
    assert np.array_equal(pixels(tmp_path / "s.png", whole.shape[:2]), whole)
    assert not list(tmp_path.glob(".s.png*"))


@pytest.mark.slow
def test_tiles_are_joined_like_bands(model: Path, tmp_path: Path) -> None:
    own = OurGAN.from_pretrained(model, device="cpu")
    options = {"method": "tile", "overlap": 8, "memory_budget": 1055 * 2**20, "progress": False}
    whole = own.synthesize(7, "4k", **options)
    own.synthesize(7, "4k", tmp_path / "s.png", parts=Parts(3, workers=1), **options)
    assert np.array_equal(pixels(tmp_path / "s.png", whole.shape[:2]), whole)
    record = json.loads((tmp_path / "s.json").read_text())
    assert record["parts"] == 3 and record["methods"][1].startswith("tiles of")


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
        in_parts(model, out, 4)
    assert not out.exists() and len(made) == 2
    monkeypatch.setattr(
        parts, "make_rows", lambda scene, **more: (made.append(more["first"]), real(scene, **more))
    )
    in_parts(model, out, 4)
    assert sorted(made) == [0, 72, 144, 216]
    whole = whole_picture(model)
    assert np.array_equal(pixels(out, whole.shape[:2]), whole)


# A name, and which of its calls a process does not survive.
MOMENTS = {
    "while workers make rows": ("ourgan.upscale.parts.make_rows", 2),
    "while rows are taken over": ("ourgan.io.tiff.Strips.write", 3),
    "while levels are made": ("ourgan.io.tiff.Strips.halve", 2),
    "while the file is written": ("ourgan.io.canvas.write_tiff", 1),
    "before the preview": ("ourgan.io.canvas.write_preview", 1),
    "before the rows are removed": ("ourgan.io.canvas.Canvas.discard", 2),
}


@pytest.mark.skipif(os.name != "posix", reason="kills processes")
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_the_same_call_goes_on_to_the_same_file(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    for module in ("tiff", "canvas"):
        monkeypatch.setattr(f"ourgan.io.{module}.TILE", 64)
    whole, out = tmp_path / "whole.tif", tmp_path / "s.tif"
    whole_picture(model, whole)
    name, fatal = MOMENTS[moment]
    child = os.fork()
    if child == 0:
        owner, _, attribute = name.rpartition(".")
        real, calls = resolve_name(name), []

        def dying(*arguments: Any, **more: Any) -> Any:
            calls.append(1)
            if len(calls) == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **more)

        setattr(resolve_name(owner), attribute, dying)
        try:
            in_parts(model, out, 3)
        finally:  # never back into pytest, of which this is a second process
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if moment != "before the rows are removed":
        assert not out.exists()
    in_parts(model, out, 3)
    assert out.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob(".s.*"))


def test_what_is_refused(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.png"
    with pytest.raises(OurganError, match="parts 0: use 1 to 288"):
        in_parts(model, out, 0)
    with pytest.raises(OurganError, match="size '8k'"):
        in_parts(model, out, 2, "8k")
    with pytest.raises(OurganError, match="needs a file that its workers share"):
        OurGAN.from_pretrained(model, device="cpu").synthesize(7, "1k", parts=Parts(2))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    out.write_bytes(b"mine")
    with pytest.raises(OurganError, match="exists already"):
        in_parts(model, out, 2)
    assert out.read_bytes() == b"mine"
