"""An option of `ourgan train` changes something or is refused by name, whatever lies there already."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import refusal
from PIL import Image
from tiny import STRUCTURE

from ourgan._core import files
from ourgan.cli import _parser, main

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
iterations = 1
patch = 32
batch_size = 2
validate_every = 1
discriminator_channels = 4
dtype = "float32"
"""
)
OTHER = TINY.replace("iterations = 3", "iterations = 4").replace("iterations = 1\n", "iterations = 2\n")


pytestmark = pytest.mark.usefixtures("packaged_weights")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two profiles, a photo, and a model of it that has step 1."""
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("asked")
    (home / "tiny.toml").write_text(TINY)
    (home / "other.toml").write_text(OTHER)
    with Image.open(PHOTOS / "picos-de-europa.jpg") as photo:
        photo.reduce(8).resize((320, 240)).save(home / "photo.png")
    assert train(home, home / "model", "--steps", "1", "--profile", home / "tiny.toml", "--seed", 2) == 0
    return home


def train(home: Path, out: Path, *options: object) -> int:
    return main(["train", str(home / "photo.png"), "--out", str(out), *map(str, options)])


def contents(model: Path) -> dict[str, str]:
    return {path.name: files.sha256(path) for path in model.iterdir() if path.is_file()}


def refused(home: Path, model: Path, capsys: pytest.CaptureFixture[str], *options: object) -> str:
    """The one line with which a call is refused; nothing of the model has changed then."""
    before = contents(model)
    line = refusal(capsys, train(home, model, *options))
    assert contents(model) == before
    return line


# What each option says when it alone is changed on a model whose step 1 is finished.
OF_STEP_1: dict[str, tuple[list[Any], str]] = {
    "profile": (["other.toml"], "step 1 is done already, with profile tiny, not "),
    "seed": ([3], "step 1 is done already, with seed 2, not 3: leave --seed out"),
    "generator": (["singan"], "is a model of ourgan, not of singan: leave --generator out"),
    "backbone": (["swinir"], "--backbone is for steps 2 to 4, and only step 1 is asked for"),
    "weights": (["./does-not-exist.pth"], "--weights is for steps 2 to 4, and only step 1 is asked for"),
    "tensorboard": (["logs"], "--tensorboard is for step 1, which does not learn here: leave it out"),
}
# Those that change something there, or say what is asked for.
OBEYED = {"photo", "out", "steps", "resume", "credit"}


def test_every_option_is_tried() -> None:
    (commands,) = (action for action in _parser()._actions if action.choices)
    assert isinstance(commands.choices, dict)
    options = {action.dest for action in commands.choices["train"]._actions} - {"help"}
    assert options == OF_STEP_1.keys() | OBEYED


@pytest.mark.parametrize("option", OF_STEP_1)
def test_what_a_finished_step_1_cannot_obey_is_refused_by_name(
    option: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values, words = OF_STEP_1[option]
    values = [home / value if str(value).endswith(".toml") else value for value in values]
    line = refused(home, home / "model", capsys, "--steps", 1, "--resume", f"--{option}", *values)
    assert words in line


def test_the_same_again_says_that_it_is_done(
    home: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    before = contents(home / "model")
    same = ("--steps", 1, "--profile", home / "tiny.toml", "--seed", 2, "--generator", "ourgan")
    assert train(home, home / "model", *same, "--resume") == 0
    assert "step 1: done already" in caplog.text and contents(home / "model") == before
    assert "holds a model already" in refused(home, home / "model", capsys, *same)


def test_a_profile_that_was_edited_is_another(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = home / "edited" / "tiny.toml"
    edited.parent.mkdir()
    edited.write_text(OTHER)
    line = refused(home, home / "model", capsys, "--steps", 1, "--resume", "--profile", edited)
    assert f"with profile tiny, not {edited} as it is now" in line


def test_a_new_model_refuses_what_no_step_obeys(home: Path, tmp_path: Path, capsys: Any) -> None:
    for option in (["--weights", "./does-not-exist.pth"], ["--backbone", "swinir"]):
        out = tmp_path / "new"
        assert train(home, out, "--steps", 1, "--profile", home / "tiny.toml", *option) == 2
        assert f"{option[0]} is for steps 2 to 4" in capsys.readouterr().err and not out.exists()


def test_credit_alone_may_be_changed_later(home: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(home / "model", tmp_path / "model"))
    before = contents(model)
    assert train(home, model, "--steps", 1, "--resume", "--credit", "Ada L., CC BY 4.0") == 0
    changed = {name for name, checksum in contents(model).items() if before.get(name) != checksum}
    assert {"config.json", "README.md"} <= changed <= {"config.json", "README.md", "samples.jpg"}
    assert json.loads((model / "config.json").read_text())["facts"]["credit"] == "Ada L., CC BY 4.0"
    assert "Ada L., CC BY 4.0" in (model / "README.md").read_text()


@pytest.mark.slow
def test_a_finished_step_2_says_how_it_was_trained(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(home / "model", tmp_path / "model"))
    how = ("--steps", 2, "--profile", home / "tiny.toml", "--seed", 7)
    assert train(home, model, *how) == 0
    assert train(home, model, *how, "--resume", "--weights", "realesrgan-x4plus") == 0
    capsys.readouterr()
    step = json.loads((model / "config.json").read_text())["steps"]["2"]
    assert (step["profile"], step["seed"], len(step["settings"])) == ("tiny", 7, 64)
    other = tmp_path / "other.safetensors"
    shutil.copyfile(model / "sr2.safetensors", other)
    for option, words in (
        (["--profile", home / "tiny.toml", "--seed", 8], "step 2 is done already, with seed 7, not 8"),
        (["--profile", home / "other.toml"], "step 2 is done already, with profile tiny, not"),
        (["--profile", home / "tiny.toml", "--weights", other], "weights that began as"),
    ):
        assert words in refused(home, model, capsys, "--steps", 2, "--resume", *option)
    # A model of an earlier version does not say it.
    table = json.loads((model / "config.json").read_text())
    for key in ("profile", "seed", "settings"):
        del table["steps"]["2"][key]
    (model / "config.json").write_text(json.dumps(table))
    line = refused(home, model, capsys, *how, "--resume")
    assert "with a seed that is not recorded, not 7" in line
