"""The ways of drawing are rows beside the paper's, and what calibrates the copy measure stands by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import structure
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.benchmark import benchmark
from ourgan.benchmark.config import Plan
from ourgan.benchmark.photo_sets import load_set
from ourgan.benchmark.samples import choose_upscaling, hash_inputs, open_model
from ourgan.config import SuperResolutionConfig
from ourgan.io.model_dir import ModelMetadata
from ourgan.io.pixels import write_image
from ourgan.metrics.registry import METRICS
from ourgan.models.rrdbnet import RRDBNet
from ourgan.pipeline import OurGAN
from ourgan.projection.copying import CALIBRATION
from ourgan.training.scales import ScaleTrainer
from ourgan.upscale.upscaler import Upscaler
from ourgan.weights import Weights

TINY = structure(
    width=32, min_width=24, vae_refinements=0, gan_stages=1, channels=8, layers=1, latent_channels=8,
    batch_size=1, iterations=2, dtype="float32",
)  # fmt: skip
ALL = ("paper", "middle", "photo")
WHICH = ("generator", "backbone", "scene", "detail")
Report = dict[str, Any]


@pytest.fixture(autouse=True, scope="module")
def tiny_and_alone() -> Iterator[None]:
    """A tiny network, no shipped models, few metrics, and a search at a quarter of the pixels."""

    def tiny(_: SuperResolutionConfig) -> tuple[RRDBNet, Weights]:
        torch.manual_seed(5)
        network = RRDBNet(channels=8, blocks=1, growth=4).eval()
        return network, Weights("tiny", {}, "a test", "0" * 64, "CC0-1.0")

    few = tuple(m for m in METRICS if m.name in ("diversity", "copying-coherent", "copying-use-99"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ourgan.upscale.upscaler.starting_network", tiny)
        patch.setattr("ourgan.benchmark.samples.starting_network", tiny)
        patch.setattr("ourgan.benchmark.run.MODELS", Path("none"))
        for module in ("run", "table"):
            patch.setattr(f"ourgan.benchmark.{module}.METRICS", few)
        patch.setattr("ourgan.projection.copying.WIDTH", 128)
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, photo: Callable[..., Tensor]) -> Path:
    """A set of one photo, a model of it, a folder of scenes, and one of strips."""
    directory = tmp_path_factory.mktemp("base")
    write_image(directory / "mine.png", photo(width=500))
    sha256 = hashlib.sha256((directory / "mine.png").read_bytes()).hexdigest()
    (directory / "mine.toml").write_text(
        f'about = "x"\nobtain = "ask me"\nphotos = [{{file = "mine.png", sha256 = "{sha256}"}}]\n'
    )
    trainer = ScaleTrainer(photo(width=64), TINY, seed=3)
    while not trainer.finished:
        trainer.step()
    settings = SuperResolutionConfig(noise_std=0.0, overlap=8, dtype="float32")
    metadata = ModelMetadata(photo="mine.png", photo_sha256=sha256)
    OurGAN(trainer.generator, Upscaler(settings), metadata).save_pretrained(directory / "model")
    for name, rows in (("sinddm", 24), ("strips", 12)):
        (directory / name).mkdir()
        for number in range(2):
            write_image(directory / name / f"{number}.png", photo(width=40)[:, :rows, number : number + 32])
    return directory


def run(base: Path, out: Path, ways: tuple[str, ...], **more: Any) -> Report:
    given = {"generators": ("ourgan",), "models": (str(base / "model"),)} | more
    return benchmark(Plan(out, str(base / "mine.toml"), seeds=2, size="1k", ways=ways, workers=1, **given))


def folder(base: Path, name: str) -> tuple[str]:
    return (f"{name}={base / name}",)


@pytest.fixture(scope="module")
def earlier(base: Path) -> set[str]:
    """The paper's way alone, measured first."""
    run(base, base / "out", ("paper",), samples=folder(base, "sinddm"))
    return {path.name for path in (base / "out" / "pictures").iterdir()}


@pytest.fixture(scope="module")
def report(base: Path, earlier: set[str]) -> Report:
    return run(base, base / "out", ALL, samples=folder(base, "sinddm"))


def test_each_way_is_a_row_of_its_own(report: Report) -> None:
    found = {tuple(row[key] for key in WHICH) for row in report["rows"]}
    ways = (
        ("esrgan", "drawn", "network"),
        ("esrgan", "projected", "network"),
        ("none", "projected", "photo"),
    )
    generators = {(generator, *way) for generator in ("ourgan", "sinddm") for way in ways}
    assert found == generators | {(name, "none", "none", "none") for name in CALIBRATION}
    means = [row["mean"] for row in report["rows"] if row["metric"] == "diversity" and row["photo"] == "mine"]
    assert len(means) == len(set(means)) == 6


def test_only_the_papers_way_has_the_papers_number_and_order(report: Report) -> None:
    assert {row["detail"] for row in report["rows"] if row["verdict"].startswith("no number")} == {
        "network", "photo", "none",
    }  # fmt: skip
    assert not report["orders"]  # of metrics that the paper has not


def test_pictures_of_the_papers_way_keep_their_names(base: Path, earlier: set[str], report: Report) -> None:
    model, photo = open_model(base / "model"), load_set(str(base / "mine.toml")).scenery[0]
    upscaling = choose_upscaling("1k", [], photo, "esrgan")
    inputs = {
        "scene": model.key, "seed": 1, "size": "1k", "width": None,
        "super_resolution": upscaling.settings, "weights": upscaling.weights,
    }  # fmt: skip
    assert f"{hash_inputs(inputs)}.png" in earlier
    now = {path.name for path in (base / "out" / "pictures").iterdir()}
    assert earlier < now and len(earlier) == 4 and len(now) == 12


def test_they_are_the_pictures_that_the_model_makes(base: Path, report: Report) -> None:
    model = OurGAN.from_pretrained(base / "model", device="cpu").using(dtype="auto")
    drawn = {np.asarray(Image.open(path)).tobytes() for path in (base / "out" / "pictures").iterdir()}
    for scene, detail in (("drawn", "network"), ("projected", "network"), ("projected", "photo")):
        options = {} if scene == "drawn" else {"photo": base / "mine.png"}
        made = model.synthesize(1, "1k", scene=scene, detail=detail, progress=False, **options)
        assert isinstance(made, np.ndarray) and made.tobytes() in drawn, (scene, detail)


def test_a_copy_scores_as_one(report: Report) -> None:
    found = {
        (row["generator"], row["detail"]): row["mean"]
        for row in report["rows"]
        if (row["photo"], row["metric"]) == ("all", "copying-coherent") and row["scene"] != "drawn"
    }
    itself, mirrored, shuffled = (found[name, "none"] for name in CALIBRATION)
    assert itself > 0.99 and mirrored > 0.99 and shuffled < 0.4
    assert shuffled < found["ourgan", "photo"] < itself


def test_nothing_is_made_again(base: Path, report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ourgan.cluster.jobs.execute", lambda job: pytest.fail(f"{job} was run again"))
    again = run(base, base / "out", ALL, samples=folder(base, "sinddm"))
    assert again["rows"] == report["rows"]


def test_another_projection_is_another_picture(
    base: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ourgan.benchmark.jobs.PIXELS", 99)
    made: list[str] = []
    monkeypatch.setattr(
        "ourgan.benchmark.jobs.draw",
        lambda out, **_: (made.append(out), write_image(out, torch.rand(3, 96, 128))),
    )
    run(base, base / "out", ("paper", "photo"))
    assert len(made) == 2


def test_what_cannot_be_is_absent_or_refused_by_name(base: Path, tmp_path: Path) -> None:
    made = run(base, tmp_path / "out", ("paper", "middle"), samples=folder(base, "strips"))
    (row,) = (
        row
        for row in made["rows"]
        if (row["photo"], row["generator"], row["scene"], row["metric"])
        == ("mine", "strips", "projected", "diversity")
    )
    assert row["mean"] is None and "32x12 pixels is too small to be redrawn" in row["verdict"]
    more: dict[str, Any] = {"samples": folder(base, "strips"), "models": (), "generators": ()}
    with pytest.raises(OurganError, match="way middle: a scene of 32x12 pixels is too small"):
        run(base, tmp_path / "other", ("paper", "middle"), **more)
    with pytest.raises(OurganError, match=r"way is 'midle' \(did you mean 'middle'"):
        run(base, tmp_path / "none", ("midle",))
    assert not (tmp_path / "none").exists()
