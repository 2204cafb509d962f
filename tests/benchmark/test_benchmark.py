"""`ourgan benchmark` as a person meets it: one table, nothing done twice, one line for what cannot be."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from ourgan.benchmark import config, jobs
from ourgan.benchmark import samples as samples_module
from ourgan.benchmark.photo_sets import load_set
from ourgan.cli import main
from ourgan.io.pixels import write_image
from ourgan.metrics.registry import COPYING, METRICS

TINY = """
[global_structure]
width = 32
min_width = 24
vae_refinements = 0
gan_stages = 1
channels = 8
layers = 1
latent_channels = 8
batch_size = 1
iterations = 2
[super_resolution]
noise_std = 0.0
dtype = "float32"
[esrgan]
iterations = 2
patch = 32
batch_size = 2
validate_every = 2
discriminator_channels = 4
dtype = "float32"
"""


@pytest.fixture(autouse=True, scope="module")
def alone() -> Iterator[None]:
    """Without the network, and without the models that are shipped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OURGAN_WEIGHTS", "package")
        patch.setattr("logging.basicConfig", lambda **_: None)
        patch.setattr("ourgan.benchmark.run.MODELS", Path("none"))
        # The deeper features need larger pictures than a test has time for; copies are for test_ways.
        small = tuple(m for m in METRICS if m.name != "si-fd-relu4_3" and m not in COPYING)
        patch.setattr("ourgan.benchmark.measurements.CALIBRATION", ())
        patch.setattr("ourgan.benchmark.run.METRICS", small)
        patch.setattr("ourgan.benchmark.table.METRICS", small)
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, photo: Callable[..., Tensor]) -> Path:
    """A set of one photo, a profile, a folder of samples."""
    directory = tmp_path_factory.mktemp("base")
    write_image(directory / "valley.png", photo(width=300))
    sha256 = hashlib.sha256((directory / "valley.png").read_bytes()).hexdigest()
    (directory / "mine.toml").write_text(
        'about = "x"\nobtain = "ask me"\n'
        f'photos = [{{file = "valley.png", sha256 = "{sha256}", author = "A. B."}}]\n'
    )
    (directory / "tiny.toml").write_text(TINY)
    (directory / "sinddm").mkdir()
    for number, width in enumerate((40, 48, 56)):
        write_image(directory / "sinddm" / f"{number}.png", photo(width=width)[:, :24, 4:36])
    return directory


def command(base: Path, out: Path, *more: object) -> list[str]:
    options = ["benchmark", "--set", base / "mine.toml", "--out", out, "--size", "1k", "--seeds", "2"]
    return [str(option) for option in [*options, "--workers", "1", *more]]


def samples(base: Path) -> str:
    return f"sinddm={base / 'sinddm'}"


@pytest.fixture(scope="module")
def done(base: Path) -> Path:
    """A benchmark of two generators, trained here, and a folder."""
    out = base / "done"
    more = ("--profile", base / "tiny.toml", "--samples", samples(base))
    assert main(command(base, out, *more)) == 0
    return out


@pytest.fixture
def report(done: Path) -> dict[str, object]:
    return json.loads((done / "table.json").read_text())


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ourgan:")]
    assert len(lines) == 1, lines
    return lines[0]


def test_the_table(done: Path, report: dict[str, list[dict[str, object]]]) -> None:
    rows = report["rows"]
    found = {(row["photo"], row["generator"], row["metric"]): row for row in rows}
    assert {row["generator"] for row in rows} == {"ourgan", "hp-vae-gan", "sinddm"}
    assert {row["photo"] for row in rows} == {"valley", "all"}
    for generator in ("ourgan", "hp-vae-gan", "sinddm"):
        diversity = found["valley", generator, "diversity"]
        assert diversity["mean"] > 0 and diversity["pictures"] == 2
        assert diversity["verdict"] == "no number in the paper"
        row = found["valley", generator, "row-colour-error"]
        assert row["mean"] > 0 and row["std_pictures"] >= 0 and row["weights"] == "released"
        absent = found["all", generator, "sifid-5"]
        assert absent["mean"] is None and absent["verdict"].startswith("absent: SIFID is absent")
        lpips = found["all", generator, "lpips"]
        assert lpips["mean"] > 0 and lpips["verdict"].startswith("not comparable: other photos; size 1k")
        for row, printed in (
            (absent, {"ourgan": 1.36, "hp-vae-gan": 1.47}.get(generator, 2.58)),
            (lpips, {"ourgan": 0.43, "hp-vae-gan": 0.53}.get(generator, 0.46)),
        ):
            assert (row["paper"], row["table"]) == (printed, "Table 4, ST4K")
        assert lpips["ratio"] == pytest.approx(lpips["mean"] / lpips["paper"])
    assert found["valley", "ourgan", "diversity"]["profile"] == "tiny"
    assert found["valley", "sinddm", "diversity"]["profile"] == ""
    assert not [row for row in rows if "sifid" in row["metric"] and row["mean"] is not None]
    assert report["python"] and report["settings"]["size"] == "1k"
    with (done / "table.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["mean"] for row in table] == ["" if row["mean"] is None else str(row["mean"]) for row in rows]


def test_orders_say_what_they_are_of(report: dict[str, list[dict[str, object]]]) -> None:
    orders = {(each["metric"], each["second"]): each for each in report["orders"]}
    for metric, stands_for in (("lpips", ""), ("st-lpips", "lpips")):
        found = orders[metric, "hp-vae-gan esrgan"]
        assert (found["first"], found["stands_for"], found["paper"]) == ("ourgan esrgan", stands_for, -0.1)
        # Two pictures have one distance, whose spread nobody knows.
        assert found["error"] is None and found["verdict"].endswith(", on one photo, spread unknown")
    assert ("si-fd-relu2_2", "hp-vae-gan esrgan") in orders
    assert not [each for each in report["orders"] if each["metric"].startswith("sifid")]


def test_a_second_run_makes_nothing_and_says_the_same(
    base: Path, done: Path, report: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ourgan.cluster.jobs.execute", lambda job: pytest.fail(f"{job} was run again"))
    more = ("--profile", base / "tiny.toml", "--samples", samples(base))
    assert main(command(base, done, *more)) == 0
    again = json.loads((done / "table.json").read_text())
    assert (again["rows"], again["orders"]) == (report["rows"], report["orders"])


def models(done: Path) -> list[str]:
    return [str(path.parent) for path in sorted((done / "models").glob("*/config.json"))]


def contents(out: Path) -> dict[str, bytes]:
    paths = [*(out / "pictures").iterdir(), *(out / "cells").iterdir()]
    return {path.name: path.read_bytes() for path in paths}


def test_interrupted_work_is_never_redone(
    base: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, real = [], jobs.draw

    def interrupted(**arguments: object) -> None:
        if len(drawn) == 3:
            raise KeyboardInterrupt
        drawn.append(arguments["out"])
        real(**arguments)  # type: ignore[arg-type]

    def counted(**arguments: object) -> None:
        drawn.append(arguments["out"])
        real(**arguments)  # type: ignore[arg-type]

    arguments = command(base, tmp_path / "out", "--models", *models(done), "--samples", samples(base))
    monkeypatch.setattr(jobs, "draw", interrupted)
    assert main(arguments) == 130
    monkeypatch.setattr(jobs, "draw", counted)
    assert main(arguments) == 0
    assert len(drawn) == len(set(drawn)) == 6
    assert contents(tmp_path / "out") == contents(done)


@contextlib.contextmanager
def workers(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The options for two processes here, or for two workers of a Dask cluster on loopback."""
    if kind == "processes":
        yield ["--workers", "2"]
        return
    from distributed import LocalCluster

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as running:
        yield ["--cluster", running.scheduler_address]


@pytest.mark.parametrize("kind", ["processes", "cluster"])
def test_others_measure_the_same_bytes(
    kind: str, base: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done / "pictures", out / "pictures")
    for name in ("models", "cells"):
        (out / name).mkdir()
    settings = json.loads((done / "settings.json").read_text())
    (out / "settings.json").write_text(json.dumps(settings | {"profile": None}))
    with workers(kind, monkeypatch) as options:
        assert main(command(base, out, "--samples", samples(base), *options)) == 0
    assert len(list((out / "cells").iterdir())) >= 8
    assert contents(out).items() <= contents(done).items()


def test_more_seeds_and_a_name_of_ones_own(base: Path, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    before = contents(out)
    ours = next(path for path in models(done) if path.endswith("-ourgan"))
    more = ("--models", f"mine={ours}", "--generators", "ourgan", "--seeds", "3")
    assert main(command(base, out, *more)) == 0
    rows = json.loads((out / "table.json").read_text())["rows"]
    means = {
        row["generator"]: row["mean"] for row in rows if (row["photo"], row["metric"]) == ("all", "diversity")
    }
    assert means["mine"] == means["ourgan"] and len(means) == 2  # the same pictures, drawn once
    after = contents(out)
    assert before.items() <= after.items()
    drawn = [name for name in after.keys() - before.keys() if name.endswith(".png")]
    assert len(drawn) == 1


def test_steps_are_fine_tuned_once_for_all_generators(base: Path, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = ("--profile", base / "tiny.toml", "--fine-tune", "--samples", samples(base))
    assert main(command(base, out, "--models", *models(done), *more)) == 0
    assert [path.name for path in (out / "models").iterdir() if path.is_dir()] == ["valley-sr-esrgan"]
    rows = [row for row in json.loads((out / "table.json").read_text())["rows"] if row["mean"] is not None]
    assert {(row["generator"], row["weights"]) for row in rows} == {
        (generator, "fine-tuned") for generator in ("ourgan", "hp-vae-gan", "sinddm")
    }
    assert not contents(out).keys() & contents(done).keys()  # other weights, other pictures


def test_a_backbone_without_weights_is_absent_beside_one_that_has_them(
    base: Path, done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(base, done, "--generators", "ourgan", "--backbones", "esrgan,swinir")) == 0
    rows = json.loads((done / "table.json").read_text())["rows"]
    swinir = [row for row in rows if row["backbone"] == "swinir" and row["metric"] == "diversity"]
    assert swinir and all(row["verdict"].startswith("absent: ") and row["mean"] is None for row in swinir)
    line = refused(capsys, command(base, done, "--backbones", "swinir"))
    assert "no backbone has weights" in line


def test_folders_that_are_refused(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "samples", tmp_path / "out"
    arguments = command(base, out, "--samples", f"sinddm={folder}")
    assert "is no directory" in refused(capsys, arguments)
    folder.mkdir()
    assert "holds no picture" in refused(capsys, arguments)
    Image.new("RGB", (64, 48)).save(folder / "10.png")
    assert "holds one picture, 10.png" in refused(capsys, arguments)
    Image.new("RGB", (64, 40)).save(folder / "9.png")
    line = refused(capsys, arguments)
    assert "10.png: 64x48 pixels, 9.png has 64x40" in line  # 9 comes before 10
    (folder / "9.png").write_bytes((folder / "10.png").read_bytes()[:60])
    assert "9.png" in refused(capsys, arguments)
    for name in ("9.png", "10.png"):
        Image.fromarray(np.zeros((480, 640, 3), np.uint8)).save(folder / name)
    assert "no scenes of step 1" in refused(capsys, arguments)
    assert not out.exists()


def test_wrong_use(base: Path, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"

    def says(text: str, *more: object) -> None:
        line = refused(capsys, command(base, out, *more))
        assert text in line and not out.exists(), line

    says("did you mean 'singan'", "--generators", "sngan")
    says("--samples sinddm=DIR", "--generators", "sinddm")
    says("did you mean 'esrgan'", "--backbones", "esrgn")
    says("did you mean 'photo'", "--ways", "paper,photos")
    says("no way of drawing", "--ways", ",")
    says("2 or more", "--seeds", "1")
    says("use one of 1k, 4k", "--size", "16k")
    says("there is no set", "--set", "none.toml")
    says("smoke profile", "--profile", "smoke")
    says("--profile cpu", "--fine-tune")
    says("no profile", "--profile", "cup")
    says("NAME=DIR", "--samples", base / "sinddm")
    says("did you mean 'sinddm'", "--samples", f"sindm={base / 'sinddm'}")
    says("given twice", "--samples", samples(base), samples(base))
    says("both a model and a folder", "--samples", f"ourgan={base / 'sinddm'}")
    says("config.json", "--models", tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    line = refused(capsys, command(base, tmp_path / "full"))
    assert "holds something else" in line
    assert "another size" in refused(capsys, command(base, done, "--size", "4k"))
    changed = tmp_path / "tiny.toml"
    changed.write_text(TINY.replace("iterations = 2", "iterations = 3"))
    assert "another profile" in refused(capsys, command(base, done, "--profile", changed))


def test_without_a_model_the_line_says_how_to_get_one(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--profile cpu" in refused(capsys, command(base, tmp_path / "out"))


def test_smoke_models_never_enter(
    base: Path, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smoke = tmp_path / "smoke"
    shutil.copytree(models(done)[0], smoke)
    config = json.loads((smoke / "config.json").read_text())
    config["facts"]["profile"] = "smoke"
    (smoke / "config.json").write_text(json.dumps(config))
    line = refused(capsys, command(base, tmp_path / "out", "--models", smoke))
    assert "smoke" in line and "no results" in line


def test_a_damaged_cell_is_named(
    base: Path, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    cell = next((out / "cells").iterdir())
    cell.write_text("{")
    more = ("--profile", base / "tiny.toml", "--samples", samples(base))
    line = refused(capsys, command(base, out, *more))
    assert cell.name in line and "remove it" in line
    cell.unlink()
    assert main(command(base, out, *more)) == 0
    assert contents(out) == contents(done)


def test_defaults_of_the_command_are_those_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[config.Plan] = []
    monkeypatch.setattr(
        "ourgan.benchmark.run.benchmark",
        lambda given: (seen.append(given), {"rows": [], "orders": []})[1],
    )
    assert main(["benchmark"]) == 0
    assert seen == [config.Plan(out=Path("runs/benchmark"))]


def test_shipped_models_are_found_for_what_they_are() -> None:
    found = {
        model.directory.name: model for model in samples_module.open_models([str(samples_module.MODELS)])
    }
    assert found["picos-de-europa"].generator == "ourgan"
    assert found["picos-de-europa-plain"].generator == "hp-vae-gan"
    assert found["picos-de-europa"].key != found["picos-de-europa-plain"].key
    for photo in load_set("shipped").scenery:
        pair = (found[photo.name], found[f"{photo.name}-plain"])
        assert [model.generator for model in pair] == ["ourgan", "hp-vae-gan"]
        assert all(model.metadata.photo_sha256 == photo.sha256 for model in pair)
