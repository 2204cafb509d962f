"""`ourgan evaluate`: the benchmark's numbers, a reason for each that is absent, bad input in a line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.benchmark.evaluate import evaluate
from ourgan.benchmark.measurements import Result, measure_pairs, measure_picture
from ourgan.cli import main
from ourgan.io.pixels import resize, write_image
from ourgan.io.read import read_image
from ourgan.metrics.lpips import lpips_network, mean_pairwise
from ourgan.metrics.registry import COPYING, METRICS
from ourgan.metrics.sifid import Extractor, load_inception, si_fd
from ourgan.projection.copying import CALIBRATION

Photo = Callable[..., Tensor]

STAND_INS = ("SI-FD (VGG16 of ST-LPIPS) relu2_2", "SI-FD (VGG16 of ST-LPIPS) relu4_3")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    load_inception.cache_clear()
    lpips_network.cache_clear()


@pytest.fixture
def pictures(photo: Photo, tmp_path: Path) -> list[Path]:
    """The photo, its mirror as PNG and, as JPEG, the mirror with less colour."""
    image = photo(width=200)
    paths = [tmp_path / name for name in ("photo.jpg", "mirror.png", "grey.jpg")]
    grey = image.flip(2).lerp(image.flip(2).mean(0, keepdim=True), 0.5)
    for path, what in zip(paths, (image, image.flip(2), grey), strict=True):
        write_image(path, what)
    return paths


def test_numbers_stand_under_their_own_names_and_the_rest_is_absent(pictures: list[Path]) -> None:
    real, *samples = pictures
    found = evaluate(real, samples)
    assert found["real_format"] == "JPEG" and [row["format"] for row in found["samples"]] == ["PNG", "JPEG"]
    assert set(found["absent"]) == {"SIFID"} and "InceptionV3 cannot be had" in found["absent"]["SIFID"]
    for name in ("SIFID layer 5", "SIFID layer 13"):
        assert found[name] is None
    assert found["LPIPS over pairs"] == pytest.approx(mean_pairwise(samples, "lpips"), abs=1e-6)
    photo, mirror = read_image(real), read_image(samples[0])
    for name, depth in zip(STAND_INS, ("relu2_2", "relu4_3"), strict=True):
        first, second = (row[name] for row in found["samples"])
        assert first == pytest.approx(si_fd(photo, mirror, depth), abs=1e-6)
        assert 0 < first < second and found[name] == pytest.approx((first + second) / 2, abs=1e-6)
    assert found["ST-LPIPS over pairs"] == pytest.approx(mean_pairwise(samples), abs=1e-6)
    assert found["distance_to_photo"] < found["row_colour_error"] + 5 and found["diversity"] > 1
    json.dumps(found, allow_nan=False)


def test_the_copy_measure_and_what_calibrates_it(pictures: list[Path], photo: Photo, tmp_path: Path) -> None:
    write_image(tmp_path / "other.png", photo("stream", width=200)[:, :150])
    found = evaluate(pictures[0], [pictures[1], tmp_path / "other.png"])
    itself, mirrored, shuffled = (found["calibration"][name] for name in CALIBRATION)
    keys = {metric.key for metric in COPYING}
    assert itself.keys() == shuffled.keys() == keys <= found.keys()
    assert itself["copying_coherent"] == 1 and mirrored["copying_coherent"] > 0.99
    assert shuffled["copying_coherent"] < 0.4 and shuffled["copying_use_99"] > 2
    mirror, other = found["samples"]
    assert mirror["copying_coherent"] > 0.9 > 0.6 > other["copying_coherent"]
    assert other["copying_largest"] < 0.05 and other["copying_diversity"] > mirror["copying_diversity"]
    mean = (mirror["copying_coherent"] + other["copying_coherent"]) / 2
    assert found["copying_coherent"] == pytest.approx(mean, abs=1e-6)


def test_without_the_trunk_lpips_is_absent_with_a_reason(pictures: list[Path], no_trunk: None) -> None:
    found = evaluate(pictures[0], pictures[1:])
    assert found["LPIPS over pairs"] is None and "VGG16 cannot be had" in found["absent"]["LPIPS"]
    assert found["ST-LPIPS over pairs"] > 0  # under its own name, not in its place


def test_one_small_sample_has_its_layout_alone(pictures: list[Path], photo: Photo, tmp_path: Path) -> None:
    write_image(tmp_path / "small.png", photo(width=96))
    found = evaluate(pictures[0], [tmp_path / "small.png"])
    assert found["diversity"] is None and "two or more" in found["absent"]["ST-LPIPS"]
    assert found[STAND_INS[0]] is not None and found[STAND_INS[1]] is None
    assert "small.png: " in found["absent"][STAND_INS[1]] and "give at least" in found["absent"][STAND_INS[1]]
    assert found["row_colour_error"] < 5


def test_sizes_that_differ_have_no_pairs(pictures: list[Path], photo: Photo, tmp_path: Path) -> None:
    write_image(tmp_path / "wide.png", photo(width=180))
    found = evaluate(pictures[0], [*pictures[1:], tmp_path / "wide.png"])
    assert "wide.png: 180x135 pixels, the first sample has 200x150" in found["absent"]["ST-LPIPS"]
    assert found["diversity"] > 0 and found[STAND_INS[0]] > 0  # layouts are resized, the rest at its own size


def test_bad_input_is_one_line_and_no_report(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)
    monkeypatch.setattr(
        "ourgan.benchmark.evaluate._measure_sample",
        lambda *_: pytest.fail("measured too early"),
    )
    with pytest.raises(OurganError, match="give at least one picture"):
        evaluate(pictures[0], [])
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(pictures[2].read_bytes()[:2000])
    command = ["evaluate", *map(str, (*pictures, broken)), "--json", str(tmp_path / "report.json")]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "broken.jpg: truncated or damaged" in line
    assert not (tmp_path / "report.json").exists()


def test_a_photo_compared_with_itself_is_no_distance_away(pictures: list[Path]) -> None:
    found = evaluate(pictures[0], [pictures[0], pictures[0]])
    assert found["row_colour_error"] == 0 and found["diversity"] == 0
    assert found["ST-LPIPS over pairs"] == 0 and found[STAND_INS[0]] < 1e-5 > found[STAND_INS[1]]


def test_the_benchmark_computes_the_same_numbers(
    photo: Photo, tmp_path: Path, random_inception: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The photo is larger than the samples, and of another shape."""
    # Singular covariances will do here, and small images take less time.
    monkeypatch.setattr(Extractor, "check_size", lambda *_: None)
    assert not [metric.name for metric in METRICS if metric.absent()]
    write_image(tmp_path / "photo.png", photo(width=300)[:, :200])
    samples = [tmp_path / "reduced.png", tmp_path / "other.png"]
    write_image(samples[0], resize(read_image(tmp_path / "photo.png"), (120, 160)))
    write_image(samples[1], photo("stream", width=180)[:, :120, :160])
    report = evaluate(tmp_path / "photo.png", samples)
    assert report["absent"] == {}
    for number, path in enumerate(samples):
        results = {
            metric: Result(str(tmp_path), {"metric": metric.name, "of": path.name})
            for metric in METRICS
            if metric.of_picture
        }
        fields = [dataclasses.asdict(result) for result in results.values()]
        measure_picture(str(tmp_path / "photo.png"), str(path), fields)
        for metric, result in results.items():
            (value,) = result.read()
            assert report["samples"][number][metric.key] == round(value, 6), metric.name
    for metric in METRICS:
        if metric.of_pairs:
            result = Result(str(tmp_path), {"metric": metric.name})
            measure_pairs([str(path) for path in samples], [dataclasses.asdict(result)])
            assert report[metric.key] == round(sum(result.read()) / 2, 6), metric.name
    # A photo's own reduction has its textures, whatever the photo's size.
    assert report["samples"][0][STAND_INS[0]] < 1e-4 < report["samples"][1][STAND_INS[0]]
