"""The `ourgan` command as a person meets it: one line on stderr, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import refusal
from PIL import Image
from safetensors.torch import save_file
from tiny import STRUCTURE

from ourgan import weights
from ourgan._core import files
from ourgan.cli import main
from ourgan.config import DETAILS, METHODS, SCENES, SIZES

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "picos-de-europa.jpg"

TINY = (
    STRUCTURE
    + """
batch_size = 1
iterations = 3
[super_resolution]
noise_std = 0.0
overlap = 8
"""
)


pytestmark = pytest.mark.usefixtures("packaged_weights")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def trained(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "model"
    command = ["train", str(PHOTO), "--out", str(out), "--profile", str(profile), "--steps", "1"]
    assert main([*command, "--credit", "A. B."]) == 0
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must be refused; returns its one line."""
    return refusal(capsys, main([str(argument) for argument in arguments]))


@pytest.mark.slow
def test_train_synthesize_evaluate(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {p.name for p in trained.iterdir()} == {
        "README.md", "config.json", "global.safetensors", "log.jsonl", "photo.jpg", "samples.jpg", "training",
    }  # fmt: skip
    assert "A. B." in (trained / "README.md").read_text()
    out = tmp_path / "scene.png"
    assert main(["synthesize", str(trained), "--seed", "7", "--size", "1k", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.size == (96, 72)
    small, report = tmp_path / "photo.png", tmp_path / "report.json"
    with Image.open(PHOTO) as picture:
        picture.resize((128, 96)).save(small)
    assert main(["evaluate", str(small), str(out), str(small), "--json", str(report)]) == 0
    table = json.loads(report.read_text())
    assert table["samples"][1]["row_colour_error"] == 0 and table["samples"][0]["row_colour_error"] > 0
    assert "SIFID" in table["absent"]
    capsys.readouterr()
    assert "holds a model already" in refused(capsys, "train", PHOTO, "--out", trained)
    assert "exists already" in refused(capsys, "synthesize", trained, "--size", "1k", "--out", out)


@pytest.mark.slow
def test_ones_own_weights_draw_in_place_of_the_models(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = weights.load("realesrgan-x4plus").state_dict
    state["conv_last.bias"] = state["conv_last.bias"] + 0.1  # brighter
    own = tmp_path / "own.pth"
    torch.save({"params_ema": {f"module.{name}": value for name, value in state.items()}}, own)
    command = ["synthesize", str(trained), "--seed", "7", "--size", "1k", "--width", "16"]
    pictures = []
    for options in ((), ("--weights", str(own)), ("--weights", "realesrgan-x4plus")):
        out = tmp_path / f"{len(pictures)}.png"
        assert main([*command, *options, "--detail", "network", "--out", str(out)]) == 0
        record = json.loads(out.with_suffix(".json").read_text())
        with Image.open(out) as picture:
            pictures.append(np.asarray(picture).astype(int))
        sha256 = record["weights"]["step 2"]["sha256"]
        assert (sha256 == files.sha256(own)) == ("own.pth" in "".join(options))
    assert (pictures[1] - pictures[0]).mean() > 15 and (pictures[2] == pictures[0]).all()
    capsys.readouterr()
    again = [*command, "--out", str(tmp_path / "again.png")]
    other = tmp_path / "other.safetensors"
    save_file({"a.b": torch.zeros(1)}, other)
    for options, said in (
        (
            ["--weights", str(own), "--detail", "photo"],
            "--weights is for networks, and detail photo has none",
        ),
        (["--weights", "realesrgan"], "no released weights are called 'realesrgan'"),
        (["--weights", str(tmp_path / "absent.pth")], "absent.pth: no such file of weights"),
        (["--weights", str(other)], "holds no network that is known; give an RRDBNet or a SwinIR"),
        (["--revision", "v1"], f"--revision is for models on the Hub, and {trained} is a directory"),
    ):
        assert said in refused(capsys, *again, *options)
    assert not (tmp_path / "again.png").exists()


@pytest.mark.slow
def test_a_picture_in_parts_is_the_picture(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["synthesize", str(trained), "--seed", "7", "--size", "1k", "--detail", "network"]
    whole, parts = tmp_path / "whole.png", tmp_path / "parts.png"
    assert main([*command, "--out", str(whole), "--method", "stream"]) == 0
    assert main([*command, "--out", str(parts), "--parts", "3", "--workers", "1"]) == 0
    with Image.open(whole) as one, Image.open(parts) as other:
        assert one.size == (96, 72) and one.tobytes() == other.tobytes()
    again = [*command, "--out", tmp_path / "again.png"]
    for options, said in (
        (["--workers", "2"], "add --parts"),
        (["--parts", "2", "--resume"], "--resume does not go with --parts"),
        (["--parts", "2", "--memory-budget", "1GiB"], "--memory-budget does not go"),
        (["--parts", "2", "--method", "tile"], "--method tile does not go"),
        (["--parts", "0"], "use 1 to 72"),
    ):
        capsys.readouterr()
        assert said in refused(capsys, *again, *options)
    assert not (tmp_path / "again.png").exists()


def test_the_resumed_command_ends_like_the_uninterrupted_one(
    trained: Path, profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ourgan.training.scales import ScaleTrainer

    steps, real = iter(range(100)), ScaleTrainer.step

    def stop_at_fourth(self: ScaleTrainer) -> object:
        if next(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self)

    monkeypatch.setattr(ScaleTrainer, "step", stop_at_fourth)
    command = ["train", str(PHOTO), "--out", str(tmp_path / "m"), "--profile", str(profile), "--steps", "1"]
    assert main(command) == 130
    assert main([*command, "--resume"]) == 0
    assert (tmp_path / "m/global.safetensors").read_bytes() == (trained / "global.safetensors").read_bytes()


def test_photos_that_cannot_be_used(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def picture(name: str, size: tuple[int, int], mode: str = "RGB") -> Path:
        pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], len(mode)), np.uint8)
        Image.fromarray(pixels, mode if len(mode) != 4 else None).save(tmp_path / name)
        return tmp_path / name

    text = tmp_path / "text.jpg"
    text.write_text("not a photo")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(PHOTO.read_bytes()[:200_000])
    cases = {
        tmp_path / "none.jpg": "no such file",
        tmp_path: "directory",
        text: "text.jpg",
        cut: "truncated",
        picture("small.png", (16, 16)): "larger photo",
        picture("flat.png", (3000, 60)): "elongated",
        picture("alpha.png", (64, 48), "RGBA"): "alpha",
    }
    for path, says in cases.items():
        line = refused(capsys, "train", path, "--out", tmp_path / "model", "--profile", profile)
        assert says in line.lower() and path.name in line, line
        assert not (tmp_path / "model").exists()


def test_wrong_use(trained: Path, profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    misspelt = tmp_path / "misspelt.toml"
    misspelt.write_text("[global_structure]\nbatchsize = 1\n")
    out = tmp_path / "model"
    line = refused(capsys, "train", PHOTO, "--out", out, "--profile", misspelt)
    assert "did you mean 'batch_size'" in line
    assert "'cpu'" in refused(capsys, "train", PHOTO, "--out", out, "--profile", "cpuu")
    assert "step 1" in refused(capsys, "train", PHOTO, "--out", out, "--profile", profile, "--steps", "2")
    scene = tmp_path / "scene.tif"
    assert "no such model" in refused(capsys, "synthesize", tmp_path / "nowhere", "--out", scene)
    assert "config.json" in refused(capsys, "synthesize", tmp_path, "--out", scene)
    assert ".gif" in refused(capsys, "synthesize", trained, "--out", tmp_path / "scene.gif")
    assert "no directory" in refused(capsys, "synthesize", trained, "--out", tmp_path / "a" / "b.tif")
    assert "width 3" in refused(capsys, "synthesize", trained, "--out", scene, "--width", "3")
    assert "no picture.jpg" in refused(capsys, "evaluate", PHOTO, tmp_path / "no picture.jpg")
    assert "99" in refused(capsys, "reproduce", "--profile", "smoke", "--only", "99", "--out", out)
    for arguments in (
        ["synthesize", str(trained), "--out", str(scene), "--size", "8k"],
        ["synthesize", str(trained), "--out", str(scene), "--memory-budget", "much"],
    ):
        with pytest.raises(SystemExit) as caught:  # argparse's own refusals
            main(arguments)
        assert caught.value.code == 2
    assert not out.exists() and list(tmp_path.iterdir()) == [misspelt]


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs a read-only place")
def test_unwritable_output(trained: Path, profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # /proc refuses new files to everybody, root too.
    line = refused(capsys, "train", PHOTO, "--out", "/proc/model", "--profile", profile)
    assert "cannot be written" in line
    assert "/proc" in refused(capsys, "synthesize", trained, "--size", "1k", "--out", "/proc/scene.tif")


@pytest.mark.slow
def test_ctrl_c_while_synthesizing(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "ourgan", "synthesize", str(trained), "--out", str(tmp_path / "s.tif")]
    command += ["--detail", "network"]
    environment = os.environ | {"OURGAN_WEIGHTS": "package", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "step 3" in line:
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130 and "interrupted" in rest and "Traceback" not in rest
    assert "--resume" in rest
    assert [path.name for path in tmp_path.iterdir()] == [".s.tif.unfinished"]
    line = refused(capsys, "synthesize", trained, "--out", tmp_path / "s.tif")
    assert "begun and not finished; pass --resume" in line
    line = refused(capsys, "synthesize", trained, "--seed", 3, "--out", tmp_path / "s.tif", "--resume")
    assert "begun with seed 0, this is 3" in line


def test_importing_is_light() -> None:
    heavy = "{'torch', 'numpy', 'matplotlib', 'huggingface_hub'}"
    for statement in ("import ourgan", "from ourgan.cli import main"):
        code = f"import sys; {statement}; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
        assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE).stderr == b""
    assert torch.is_tensor(__import__("ourgan").read_image(PHOTO))


def test_help_takes_less_than_half_a_second() -> None:
    def processor_seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = processor_seconds()  # of a processor: others may be busy while this is tested
    shown = subprocess.run([sys.executable, "-m", "ourgan", "--help"], capture_output=True, text=True)
    assert processor_seconds() - before < 0.5
    for command in ("reproduce", "train", "pretrain", "synthesize", "evaluate", "benchmark", "cache"):
        assert command in shown.stdout


def test_choices_are_those_of_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    options = {"--size": SIZES, "--method": METHODS, "--scene": SCENES, "--detail": DETAILS}
    for option, choices in options.items():
        with pytest.raises(SystemExit):
            main(["synthesize", "model", "--out", "x.tif", option, "none"])
        assert f"choose from {', '.join(choices)}" in capsys.readouterr().err.replace("'", "")
