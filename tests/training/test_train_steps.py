"""`ourgan train --steps 2,3` and `ourgan pretrain`, with the real networks, in seconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import spandrel
import torch
from commands import refusal
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import STRUCTURE

from ourgan import OurGAN, weights
from ourgan._core import files
from ourgan.cli import main
from ourgan.models.rrdbnet import RRDBNet
from ourgan.training.scales import ScaleTrainer
from ourgan.training.super_resolution import SuperResolutionTrainer
from ourgan.upscale.tiles import TilePlan

PHOTOS = Path(__file__).parents[2] / "data" / "photos"
TINY = (
    STRUCTURE
    + """
batch_size = 1
iterations = 3
[super_resolution]
noise_std = 0.01
overlap = 12
[esrgan]
iterations = 2
patch = 32
batch_size = 2
validate_every = 2
discriminator_channels = 4
dtype = "float32"
[swinir]
iterations = 2
patch = 32
batch_size = 2
validate_every = 2
discriminator_channels = 4
dtype = "float32"
"""
)
SMALL = 320  # pixels: less than step 2 makes, so steps 2 and 3 learn from the same


pytestmark = pytest.mark.usefixtures("packaged_weights")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the profile, a small photo, and a model of it that has step 1."""
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("home")
    (home / "tiny.toml").write_text(TINY)
    with Image.open(PHOTOS / "picos-de-europa.jpg") as photo:
        photo.reduce(8).resize((SMALL, SMALL * 3 // 4)).save(home / "photo.png")
    assert train(home, home / "model", "--steps", "1") == 0
    return home


def train(home: Path, model: Path, *options: str) -> int:
    photo, profile = str(home / "photo.png"), str(home / "tiny.toml")
    return main(["train", photo, "--out", str(model), "--profile", profile, *options])


def copied(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home / "model", tmp_path / "model"))


@pytest.mark.slow
def test_steps_are_added_used_and_described(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copied(home, tmp_path)
    assert train(home, model, "--steps", "2") == 0
    facts = json.loads((model / "config.json").read_text())["steps"]["2"]
    assert (facts["width"], facts["iterations"], facts["noise_std"]) == (SMALL, 2, 0.01)
    assert facts["start"].startswith("realesrgan-x4plus (package")
    card = (model / "README.md").read_text()
    assert "stand-in for VGG19" in card and "80 -> 320 px" in card and "ST-LPIPS" in card
    assert "| step 3 | released weights `realesrgan-x4plus`, not fine-tuned |" in card
    assert card.startswith("---\nlibrary_name: ourgan\n") and "--steps 1,2 --backbone esrgan" in card
    # Official names, float16: any tool opens it.
    state = load_file(model / "sr2.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert spandrel.ModelLoader().load_from_state_dict(state).scale == 4

    loaded = OurGAN.from_pretrained(model, device="cpu")
    (fine_tuned, source), (released, _) = loaded.upscaler.network(2), loaded.upscaler.network(3)
    assert source.source == "fine-tuned: sr2.safetensors"
    if facts["best_iteration"]:
        assert not torch.equal(fine_tuned.conv_last.weight, released.conv_last.weight)
    used = loaded.upscaler.describe(loaded.upscaler.plan(torch.rand(3, 18, 24), [2, 3]))["weights"]
    assert [weights["name"] for weights in used.values()] == ["sr2", "realesrgan-x4plus"]
    loaded.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/sr2.safetensors").read_bytes() == (model / "sr2.safetensors").read_bytes()

    capsys.readouterr()
    assert "has a step 2 already" in refusal(capsys, train(home, model, "--steps", "2"))
    assert "which all its steps share" in refusal(
        capsys, train(home, model, "--steps", "3", "--backbone", "swinir")
    )
    before = (model / "sr2.safetensors").stat().st_mtime_ns
    assert train(home, model, "--steps", "1,2,3", "--resume") == 0
    assert (model / "sr2.safetensors").stat().st_mtime_ns == before
    # The photo is as small for step 3 as it was for step 2.
    assert (model / "sr3.safetensors").read_bytes() == (model / "sr2.safetensors").read_bytes()
    assert json.loads((model / "config.json").read_text())["steps"].keys() == {"2", "3"}


@pytest.mark.slow
def test_interrupted_in_step_2_and_resumed_it_ends_the_same(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = copied(home, tmp_path / "a"), copied(home, tmp_path / "b")
    assert train(home, whole, "--steps", "2") == 0
    step = SuperResolutionTrainer.step

    def interrupted(made: SuperResolutionTrainer) -> Any:
        if made.iteration == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return step(made)

    monkeypatch.setattr(SuperResolutionTrainer, "step", interrupted)
    assert train(home, cut, "--steps", "2") == 130
    assert not (cut / "sr2.safetensors").exists()
    OurGAN.from_pretrained(cut, device="cpu")  # still the model that it was
    assert train(home, cut, "--steps", "2", "--resume") == 0
    assert (cut / "sr2.safetensors").read_bytes() == (whole / "sr2.safetensors").read_bytes()


@pytest.mark.slow
def test_pretrained_swinir_is_where_fine_tuning_starts(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, out = tmp_path / "images", tmp_path / "swinir.safetensors"
    images.mkdir()
    shutil.copy(home / "photo.png", images)
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xff and nothing more")
    command = ["pretrain", str(images), "--out", str(out), "--profile", str(home / "tiny.toml")]
    assert main([*command, "--backbone", "swinir"]) == 0
    capsys.readouterr()
    assert "exists" in refusal(capsys, main([*command, "--backbone", "swinir"]))
    lines = [json.loads(line) for line in (tmp_path / "swinir-training/log.jsonl").read_text().splitlines()]
    assert "discriminator" in lines[-2]  # the second of two iterations: L1 alone came first

    model = copied(home, tmp_path)
    assert train(home, model, "--steps", "2", "--backbone", "swinir", "--weights", str(out)) == 0
    settings = json.loads((model / "config.json").read_text())["super_resolution"]
    assert (settings["backbone"], settings["weights"]) == ("swinir", "auto")  # no path of this machine
    assert str(tmp_path) not in (model / "config.json").read_text()
    loaded = OurGAN.from_pretrained(model, device="cpu")
    [plan] = loaded.upscaler.plan(torch.rand(3, 96, 96), [2], method="tile")
    layout = plan.layout
    assert isinstance(layout, TilePlan)
    assert (layout.overlap, layout.size_multiple) == (16, 8)  # 12, on to the next window
    assert loaded.upscaler.upscale(torch.rand(3, 18, 24), 0, [2], method="tile").shape == (3, 72, 96)


@pytest.mark.slow
def test_weights_that_do_not_fit_are_named(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copied(home, tmp_path)
    other = {name: value.contiguous() for name, value in RRDBNet(channels=8, blocks=1).state_dict().items()}
    save_file(other, tmp_path / "narrow.safetensors")
    save_file(load_file_of_x2(), tmp_path / "x2.safetensors")
    cases = [
        (["--backbone", "swinir"], "swinir-m-x4-real: no package carries it"),
        (
            ["--backbone", "swinir", "--weights", str(tmp_path / "narrow.safetensors")],
            "x4), SwinIR (6+6+6+6+6+6 blocks",
        ),
        (
            ["--weights", str(tmp_path / "narrow.safetensors")],
            "holds RRDBNet (1 blocks, 8 channels, x4), RRDBNet (23 blocks, 64 channels, x4) is needed",
        ),
        (
            ["--weights", str(tmp_path / "x2.safetensors")],
            "x2), RRDBNet (23 blocks, 64 channels, x4) is needed",
        ),
        (["--weights", "swinir-m-x4-real"], "backbone esrgan needs RRDBNet"),
        (["--weights", "realesrgan"], "no released weights are called 'realesrgan'"),
        (["--weights", str(tmp_path / "absent.safetensors")], "no such file"),
    ]
    before = sorted(path.name for path in model.iterdir())
    for options, words in cases:
        assert words in refusal(capsys, train(home, model, "--steps", "2", *options)), options
    assert sorted(path.name for path in model.iterdir()) == before


def load_file_of_x2() -> dict[str, torch.Tensor]:
    """Real-ESRGAN's x2 networks take 12 channels: four neighbours at a time."""
    state = RRDBNet().state_dict()
    state["conv_first.weight"] = torch.zeros(64, 12, 3, 3)
    return {name: value.contiguous() for name, value in state.items()}


def test_wrong_use_is_one_line(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, profile = copied(home, tmp_path), str(home / "tiny.toml")
    sunset = str(PHOTOS / "sunset.jpg")
    command = ["train", sunset, "--out", str(model), "--profile", profile, "--steps", "2"]
    assert "not the photo of" in refusal(capsys, main(command))
    nothing = str(tmp_path / "nothing")
    assert "train step 1 first" in refusal(capsys, train(home, Path(nothing), "--steps", "2"))
    assert not Path(nothing).exists()
    (tmp_path / "empty").mkdir()
    for images, words in ((tmp_path / "absent", "no such folder"), (tmp_path / "empty", "holds no image")):
        out = str(tmp_path / "o.safetensors")
        assert words in refusal(capsys, main(["pretrain", str(images), "--out", out, "--profile", profile]))
    with pytest.raises(SystemExit) as caught:
        train(home, model, "--steps", "2,5")
    assert caught.value.code == 2
    assert "not a list of steps" in capsys.readouterr().err


def test_what_step_2_would_refuse_is_refused_before_step_1(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Image.open(home / "photo.png") as photo:
        photo.resize((64, 48)).save(tmp_path / "small.png")
    command = ["train", str(tmp_path / "small.png"), "--out", str(tmp_path / "m")]
    line = refusal(capsys, main([*command, "--profile", str(home / "tiny.toml")]))
    assert "64x48 at this step, too small for patches of 32" in line
    line = refusal(capsys, train(home, tmp_path / "m", "--backbone", "swinir"))
    assert "swinir-m-x4-real: no package carries it" in line
    assert not (tmp_path / "m").exists()


def test_a_models_configuration_cannot_name_a_file_or_another_step(home: Path, tmp_path: Path) -> None:
    model = copied(home, tmp_path)
    table = json.loads((model / "config.json").read_text())
    for change, words in (
        ({"super_resolution": table["super_resolution"] | {"weights": "/etc/passwd"}}, "unknown weights"),
        ({"steps": {"../x": {}}}, "config.json"),
        ({"steps": {"2": {"width": "wide"}}}, "width"),
    ):
        (model / "config.json").write_text(json.dumps(table | change))
        with pytest.raises(Exception, match=words):
            OurGAN.from_pretrained(model)


@pytest.mark.slow
def test_weights_of_a_step_that_are_damaged_are_refused(home: Path, tmp_path: Path) -> None:
    model = copied(home, tmp_path)
    assert train(home, model, "--steps", "2") == 0
    state = load_file(model / "sr2.safetensors")
    state["conv_body.weight"][0] = float("nan")
    save_file(state, model / "sr2.safetensors")
    with pytest.raises(weights.WeightsError, match=r"conv_body\.weight holds values that are not finite"):
        OurGAN.from_pretrained(model, device="cpu").upscaler.network(2)
    (model / "sr2.safetensors").unlink()
    with pytest.raises(Exception, match=r"sr2\.safetensors: missing; copy the whole model"):
        OurGAN.from_pretrained(model)


@pytest.mark.parametrize("gone", [True, False])
def test_the_photo_is_known_by_the_file_that_was_read(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    photo, begin = tmp_path / "photo.png", ScaleTrainer.begin
    shutil.copyfile(home / "photo.png", photo)
    expected = files.sha256(photo)

    def meddle(trainer: ScaleTrainer, run: Path) -> list[dict[str, object]]:
        if gone:
            photo.unlink()
        else:
            photo.write_bytes(b"another photo")
        return begin(trainer, run)

    monkeypatch.setattr(ScaleTrainer, "begin", meddle)
    command = ["train", str(photo), "--out", str(tmp_path / "m"), "--profile", str(home / "tiny.toml")]
    assert main([*command, "--steps", "1"]) == 0
    assert json.loads((tmp_path / "m" / "config.json").read_text())["facts"]["photo_sha256"] == expected
