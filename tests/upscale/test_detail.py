"""Detail from the photo: the two switches, on a tiny model of a shipped photo."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import structure
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan._core.files import sha256
from ourgan.cli import main
from ourgan.config import SuperResolutionConfig
from ourgan.io import canvas, tiff
from ourgan.io.model_dir import ModelMetadata
from ourgan.io.model_photo import ModelPhoto, keep_photo
from ourgan.io.pixel_cache import kept_images
from ourgan.io.pixels import to_uint8
from ourgan.models.rrdbnet import RRDBNet
from ourgan.pipeline import OurGAN
from ourgan.training.scales import ScaleTrainer
from ourgan.upscale import enlarged_photo, photo_patches
from ourgan.upscale.detail import Wish
from ourgan.upscale.parts import Parts
from ourgan.upscale.upscaler import Upscaler
from ourgan.weights import Weights

PHOTO = Path(__file__).parents[2] / "data" / "photos" / "picos-de-europa.jpg"
TINY = structure(
    width=32, min_width=24, vae_refinements=0, gan_stages=1, channels=8, layers=1, latent_channels=8,
    batch_size=1, iterations=2, dtype="float32",
)  # fmt: skip
OURS: dict[str, Any] = {"scene": "projected", "detail": "photo"}


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(_: SuperResolutionConfig) -> tuple[RRDBNet, Weights]:
        torch.manual_seed(5)
        network = RRDBNet(channels=8, blocks=1, growth=4).eval()
        return network, Weights("tiny", {}, "a test", "0" * 64, "CC0-1.0")

    monkeypatch.setattr("ourgan.upscale.upscaler.starting_network", tiny)
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that is wide enough for 4K pictures of the tiny model; 16K ones show it enlarged."""
    path = tmp_path_factory.mktemp("photo") / "mine.png"
    with Image.open(PHOTO) as picture:
        picture.resize((500, 375)).save(path)
    return path


@pytest.fixture(scope="module")
def model(small: Path, photo: Callable[..., Tensor], tmp_path_factory: pytest.TempPathFactory) -> OurGAN:
    """A model in a directory with its photo."""
    trainer = ScaleTrainer(photo(width=64), TINY, seed=3)
    while not trainer.finished:
        trainer.step()
    settings = SuperResolutionConfig(noise_std=0.0, overlap=8, dtype="float32")
    metadata = ModelMetadata(photo="mine.png", photo_sha256=sha256(small))
    directory = tmp_path_factory.mktemp("model") / "m"
    OurGAN(trainer.generator, Upscaler(settings), metadata).save_pretrained(directory)
    keep_photo(ModelPhoto(small, sha256(small)), directory)
    return OurGAN.from_pretrained(directory, device="cpu")


def drawn(model: OurGAN, size: str = "1k", **options: Any) -> np.ndarray:
    made = model.synthesize(5, size, progress=False, **options)
    assert isinstance(made, np.ndarray)
    return made


def test_the_three_ways_that_make_sense(model: OurGAN) -> None:
    plain, middle, ours = drawn(model), drawn(model, scene="projected"), drawn(model, **OURS)
    assert plain.shape == middle.shape == ours.shape == (96, 128, 3)
    assert not np.array_equal(plain, middle) and not np.array_equal(middle, ours)
    assert np.array_equal(plain, drawn(model, scene="drawn", detail="network"))
    assert np.array_equal(plain, drawn(model, scene="auto", detail="network"))
    for scene, detail in (("auto", "photo"), ("auto", "auto"), ("projected", "auto")):
        assert np.array_equal(ours, drawn(model, scene=scene, detail=detail))
    # The photo's pixels, but for what evens steps out: no colour is far from all of the photo's.
    with Image.open(model.directory / "photo.png") as photo:  # type: ignore[operator]
        colours = np.unique(np.asarray(photo.resize((128, 96))).reshape(-1, 3) // 16, axis=0)
    known = {tuple(colour) for colour in colours}
    assert np.mean([tuple(pixel) in known for pixel in ours.reshape(-1, 3) // 16]) > 0.7


def test_beyond_the_photos_size_windows_and_pictures_share_its_tiles(
    model: OurGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    monkeypatch.setattr(enlarged_photo, "CORE", 128)
    box = (500, 300, 70, 60)
    x, y, width, height = box
    window = to_uint8(model.crop(5, "16k", box, **OURS))
    (kept,) = kept_images()
    made = np.fromfile(kept.directory / "tiles.raw", np.uint32)
    assert 0 < np.count_nonzero(made) < len(made), "only what the window shows is made"
    steps: list[tuple[int, int]] = []
    whole = drawn(model, "16k", scene="auto", detail="auto", watch=lambda *done: steps.append(done))
    assert whole.shape == (1536, 2048, 3) and steps[0] == (0, 1536) and steps[-1] == (1536, 1536)
    assert np.array_equal(window, whole[y : y + height, x : x + width])
    assert "tiles of the photo are enlarged" in caplog.text
    # From another cache, with the whole first: the same bits.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert np.array_equal(drawn(model, "16k", **OURS), whole)
    caplog.clear()
    assert np.array_equal(to_uint8(model.crop(5, "16k", box, **OURS)), window)
    assert "tiles of the photo" not in caplog.text, "they are there"
    model.synthesize(5, "16k", tmp_path / "s.tif", progress=False, **OURS)
    record = json.loads((tmp_path / "s.json").read_text())["photo_enlarged"]
    assert record["weights"] == ["0" * 64] and record["dtype"] == ["float32"]
    with pytest.raises(OurganError, match=r"500x375 pixels, too few for detail without networks.*2048x1536"):
        Wish("auto", "photo").decide(model.metadata, model.directory, ((24, 32), (24, 32)), range(2, 5))
    # Without a cache there is the network; who asked for the photo is told.
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OurganError, match="cannot be written"):
        drawn(model, "16k", **OURS)
    assert model.look(Wish("auto", "auto"), (24, 32), range(2, 5)).detail == "network"
    assert "detail from the network: " in caplog.text and "cannot be written" in caplog.text


@pytest.mark.parametrize("size", ["1k", "4k"])
def test_a_window_is_the_picture(model: OurGAN, size: str) -> None:
    whole = drawn(model, size, **OURS)
    for box in ((0, 0, 31, 17), (40, 50, 60, 46), (100, 70, 28, 26)):
        x, y, width, height = box
        window = to_uint8(model.crop(5, size, box, **OURS))
        assert np.array_equal(window, whole[y : y + height, x : x + width])
    with pytest.raises(OurganError, match="not within the picture"):
        model.crop(5, size, (whole.shape[1] - 3, 0, 8, 8), **OURS)
    plain = to_uint8(model.crop(5, "1k", (0, 0, 128, 96), scene="projected"))
    assert np.abs(plain.astype(int) - drawn(model, scene="projected")).max() <= 1
    assert not np.array_equal(plain, to_uint8(model.crop(5, "1k", (0, 0, 128, 96))))


def test_threads_wide_scenes_and_scenes_given(model: OurGAN, monkeypatch: pytest.MonkeyPatch) -> None:
    image = model.sample(6)
    first = [drawn(model, **OURS), drawn(model, width=70, **OURS), drawn(model, image=image, **OURS)]
    assert first[1].shape == (96, 280, 3)
    assert np.array_equal(first[2], model.synthesize(6, "1k", progress=False, **OURS))
    monkeypatch.setattr(photo_patches, "_threads", lambda: 2)
    again = [drawn(model, **OURS), drawn(model, width=70, **OURS), drawn(model, image=image, **OURS)]
    assert all(map(np.array_equal, first, again))


def test_novelty_is_of_projected_scenes_in_pictures_and_windows(model: OurGAN, tmp_path: Path) -> None:
    usual, new = drawn(model, **OURS), drawn(model, novelty=1.0, **OURS)
    assert np.array_equal(usual, drawn(model, novelty=0.5, **OURS)) and not np.array_equal(usual, new)
    for novelty, picture in ((0.5, usual), (1.0, new), (0.5, usual)):
        window = to_uint8(model.crop(5, "1k", (3, 4, 60, 50), novelty=novelty, **OURS))
        assert np.array_equal(window, picture[4:54, 3:63])
    middle = [to_uint8(model.crop(5, "1k", (0, 0, 64, 64), detail="network", scene="auto", novelty=n))
              for n in (0.0, 1.0)]  # fmt: skip
    assert not np.array_equal(*middle)
    model.synthesize(5, "1k", tmp_path / "s.tif", progress=False, novelty=1.0, **OURS)
    assert json.loads((tmp_path / "s.json").read_text())["projection"]["novelty"] == 1.0


KILLED = """
import sys, os, signal, torch
from ourgan.io import canvas, tiff
from ourgan import OurGAN
torch.set_num_threads(1)  # the scene's last bits depend on it
canvas.TILE = tiff.TILE = 64
append = canvas.Canvas.append
def last(self, rows):
    append(self, rows)
    if self.rows >= 128:
        os.kill(os.getpid(), signal.SIGKILL)
canvas.Canvas.append = last
model = OurGAN.from_pretrained(sys.argv[1], device="cpu")
model.synthesize(5, "4k", sys.argv[2], scene="auto", detail="auto")
"""


def test_killed_and_resumed_it_is_the_same_picture(
    model: OurGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (canvas, tiff):
        monkeypatch.setattr(module, "TILE", 64)
    out = tmp_path / "s.tif"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(model.directory), str(out)], capture_output=True
    )
    assert killed.returncode == -9, killed.stderr
    again: dict[str, Any] = {"resume": True, "progress": False}
    with pytest.raises(OurganError, match="was begun with"):
        model.synthesize(5, "4k", out, **again)
    with pytest.raises(OurganError, match="was begun with"):
        model.synthesize(5, "4k", out, scene="projected", **again)
    model.synthesize(5, "4k", out, **OURS, **again)
    record = json.loads((tmp_path / "s.json").read_text())
    assert record["rows_from_an_earlier_run"] == 128
    with Image.open(out) as picture:
        assert np.array_equal(np.asarray(picture), drawn(model, "4k", **OURS))


def test_the_record_names_scene_detail_and_photo(model: OurGAN, small: Path, tmp_path: Path) -> None:
    records = {}
    for name, options in (("ours", OURS), ("middle", {"scene": "projected"}), ("plain", {})):
        model.synthesize(5, "1k", tmp_path / f"{name}.png", progress=False, **options)
        records[name] = json.loads((tmp_path / f"{name}.json").read_text())
    assert [(r["scene"], r["detail"]) for r in records.values()] == [
        ("projected", "photo"), ("projected", "network"), ("drawn", "network"),
    ]  # fmt: skip
    photo = {"file": "photo.png", "sha256": sha256(small), "pixels": [500, 375]}
    assert records["ours"]["photo"] == records["middle"]["photo"] == photo
    assert records["ours"]["photo_shown_at"] == [128, 96] and "weights" not in records["ours"]
    assert records["ours"]["projection"]["novelty"] == 0.5 and "projection" not in records["plain"]
    assert "photo" not in records["plain"] and "weights" in records["middle"]


def test_refusals_are_one_line_and_begin_nothing(model: OurGAN, small: Path, tmp_path: Path) -> None:
    bare = dataclasses.replace(model, directory=tmp_path / "bare")
    cut = tmp_path / "cut.png"
    cut.write_bytes(small.read_bytes()[:9000])
    damaged = dataclasses.replace(bare, metadata=ModelMetadata(photo_sha256=sha256(cut)))
    before = sorted(tmp_path.iterdir())
    cases: list[tuple[OurGAN, dict[str, Any], str]] = [
        (model, {"scene": "drawn", "detail": "photo"}, "detail photo does not go with scene drawn"),
        (model, {"photo": small}, "a photo does not go with scene drawn"),
        (model, {"novelty": 0.7}, "novelty does not go with scene drawn"),
        (model, OURS | {"novelty": 1.1}, "novelty 1.1: use a number from 0 to 1"),
        (model, OURS | {"novelty": float("nan")}, "novelty nan"),
        (model, {"detail": "pixels"}, "detail 'pixels': use one of auto, network, photo"),
        (model, {"scene": "painted"}, "scene 'painted': use one of"),
        (model, OURS | {"photo": PHOTO}, "not the photo of this model, which learned from mine.png"),
        (model, OURS | {"photo": tmp_path / "none.jpg"}, "none.jpg: cannot be read"),
        (model, OURS | {"photo": tmp_path}, "directory"),
        (damaged, OURS | {"photo": cut}, "cut.png"),
        (bare, OURS, "mine.png, is not at hand: give it with --photo, or put it at .*bare/photo.jpg"),
        (bare, {"scene": "projected"}, "is not at hand"),
        (model, OURS | {"method": "tile"}, "method is for networks"),
        (model, OURS | {"overlap": 4}, "overlap is for networks"),
        (model, OURS | {"memory_budget": 2**31}, "memory-budget is for networks"),
        (model, OURS | {"parts": Parts(2)}, "parts is for networks"),
        (model, OURS | {"image": torch.rand(3, 18, 24)}, "24x18 pixels is too small to be redrawn"),
        (model, OURS | {"image": torch.rand(3, 24, 9000)}, "too large to be redrawn, 8191 at most"),
    ]  # fmt: skip
    for own, options, words in cases:
        with pytest.raises(OurganError, match=words) as caught:
            own.synthesize(5, **{"size": "1k", "out": tmp_path / "s.tif", "progress": False} | options)
        assert "\n" not in str(caught.value)
        assert sorted(tmp_path.iterdir()) == before


def test_auto_takes_the_network_and_says_why(
    model: OurGAN, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    auto = {"scene": "auto", "detail": "auto"}
    plain = drawn(model)
    for own, options, why in (
        (dataclasses.replace(model, directory=None), {}, "is not at hand"),
        (model, {"overlap": 8}, "overlap is for networks"),
        (model, {"method": "stream"}, "method is for networks"),
        (model, {"image": torch.rand(3, 18, 24)}, "too small"),
    ):
        caplog.clear()
        if "image" not in options:
            assert np.abs(drawn(own, **auto, **options).astype(int) - plain).max() <= 1
        else:
            drawn(own, **auto, **options)
        said = [line for line in caplog.messages if "detail from the network" in line]
        assert len(said) == 1 and said[0].startswith("scene drawn") and why in said[0]
    caplog.clear()
    middle = drawn(model, scene="projected", detail="auto", overlap=8)
    assert np.array_equal(middle, drawn(model, scene="projected"))
    assert any(line.startswith("scene projected, detail from the network") for line in caplog.messages)
    with monkeypatch.context() as patch:
        patch.setenv("OURGAN_KERNELS", "numpy")
        caplog.clear()
        assert np.array_equal(drawn(model, **auto), plain)
        assert "numba" in caplog.text
    caplog.clear()
    drawn(model, **auto)
    assert any("scene projected, detail from the photo" in line for line in caplog.messages)


def test_the_photo_is_found_by_its_checksum(model: OurGAN, small: Path, tmp_path: Path) -> None:
    expected = drawn(model, **OURS)
    nowhere = dataclasses.replace(model, directory=None)
    assert np.array_equal(expected, drawn(nowhere, photo=small, **OURS))
    # Another file of that name in the model is passed over; that of a shipped model lies in data/photos.
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(PHOTO, other / "photo.jpg")
    with pytest.raises(OurganError, match="not at hand"):
        drawn(dataclasses.replace(model, directory=other), **OURS)
    shutil.copyfile(small, other / "photo.png")
    assert np.array_equal(expected, drawn(dataclasses.replace(model, directory=other), **OURS))
    shipped = ModelMetadata(photo="gone.jpg", photo_sha256=sha256(PHOTO))
    assert drawn(dataclasses.replace(nowhere, metadata=shipped), **OURS).shape == expected.shape
    model.save_pretrained(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("photo.*"))


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_a_grey_photo_makes_grey_pictures(model: OurGAN, tmp_path: Path, mode: str) -> None:
    with Image.open(PHOTO) as picture:
        grey = np.asarray(picture.convert("L").resize((256, 192)))
    Image.fromarray(grey if mode == "L" else grey.astype(np.uint16) * 257).save(tmp_path / "grey.png")
    own = dataclasses.replace(model, metadata=ModelMetadata(photo_sha256=sha256(tmp_path / "grey.png")))
    made = drawn(own, photo=tmp_path / "grey.png", **OURS)
    assert (made == made[..., :1]).all() and made.std() > 5


def test_a_model_keeps_its_photo(small: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep_photo(ModelPhoto(small, sha256(small)), tmp_path)
    keep_photo(ModelPhoto(small, sha256(small)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
    assert (tmp_path / "photo.png").read_bytes() == small.read_bytes()
    odd = tmp_path / "a b.JPEG"
    shutil.copyfile(PHOTO, odd)
    keep_photo(ModelPhoto(odd, "0" * 64), tmp_path)  # another file than the one that was read
    assert "another file by now" in caplog.text
    keep_photo(ModelPhoto(odd, sha256(odd)), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a b.JPEG", "photo.jpg", "photo.png"]


def test_a_cache_of_kernels_that_cannot_be_written_is_harmless(tmp_path: Path) -> None:
    code = (
        "import os, numpy as np\n"
        "from numba.core import caching\n"
        "def full(*_): raise OSError(28, 'No space left on device')\n"
        "caching.IndexDataCacheFile.save = full\n"
        "from ourgan.projection.compiled_search import within\n"
        "print(within(np.uint64(1 << 31), 4))\n"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "0", done.stderr
    environment["NUMBA_CACHE_DIR"] = "/proc/nowhere"
    code = code.replace("caching.IndexDataCacheFile.save = full\n", "")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "0", done.stderr


def test_the_command_takes_the_photo_where_it_can(
    model: OurGAN,
    small: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    command = ["synthesize", str(model.directory), "--seed", "5", "--size", "1k"]

    def made(name: str, *options: str) -> np.ndarray:
        out = tmp_path / f"{name}.png"
        assert main([*command, "--out", str(out), *options]) == 0
        with Image.open(out) as picture:
            return np.asarray(picture.convert("RGB"))

    ours, plain = drawn(model, **OURS), drawn(model)
    assert np.array_equal(made("auto"), ours)
    assert np.array_equal(made("paper", "--scene", "drawn", "--detail", "network"), plain)
    assert np.array_equal(made("network", "--detail", "network"), plain)
    assert np.array_equal(
        made("middle", "--scene", "projected", "--detail", "network"), drawn(model, scene="projected")
    )
    bare = OurGAN.from_pretrained(shutil.copytree(model.directory, tmp_path / "bare"), device="cpu")  # type: ignore[arg-type]
    (tmp_path / "bare" / "photo.png").unlink()
    assert np.array_equal(drawn(bare), plain)
    command[1] = str(tmp_path / "bare")
    caplog.clear()
    assert np.array_equal(made("nothing"), plain)
    assert "detail from the network: the model's photo, mine.png, is not at hand" in caplog.text
    assert np.array_equal(made("given", "--photo", str(small)), ours)
    for options, words in (
        (["--detail", "photo"], "is not at hand: give it with --photo"),
        (["--photo", str(PHOTO)], "not the photo of this model"),
        (["--photo", str(small), "--memory-budget", "2GiB"], "memory-budget is for networks"),
        (["--detail", "photo", "--parts", "2"], "parts is for networks"),
        (["--scene", "drawn", "--detail", "photo"], "does not go with scene drawn"),
    ):
        capsys.readouterr()
        assert main([*command, "--out", str(tmp_path / "refused.png"), *options]) == 2
        assert words in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.glob("*refused*"))
