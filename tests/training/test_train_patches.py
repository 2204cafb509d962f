"""`ourgan train --generator patches`: seconds, and a model like any other; what it cannot obey it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import refusal
from safetensors.torch import load_file, save_file

from ourgan import OurGAN, read_image
from ourgan.benchmark.samples import open_model
from ourgan.cli import main
from ourgan.config import PROFILES, load_profile
from ourgan.explorer.state.edits import Edit
from ourgan.explorer.state.scene import Scene
from ourgan.explorer.state.session import Session
from ourgan.io.model_dir import ModelError
from ourgan.io.pixels import to_uint8
from ourgan.models.training_free import Patches
from ourgan.projection.search import resized

PHOTO = Path(__file__).parents[2] / "data" / "photos" / "picos-de-europa.jpg"
PROFILE = """
[patches]
width = 64
min_width = 24
refinements = 2
first_passes = 2
passes = 1
[super_resolution]
noise_std = 0.0
overlap = 8
"""


pytestmark = pytest.mark.usefixtures("packaged_weights")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "tiny.toml"
    path.write_text(PROFILE)
    return path


@pytest.fixture(scope="module")
def made(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "model"
    assert train(out, profile, "--generator", "patches", "--credit", "Ana, CC0") == 0
    return out


def train(out: Path, profile: Path, *options: str) -> int:
    return main(["train", str(PHOTO), "--out", str(out), "--profile", str(profile), *options])


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_has_it_at_the_sizes_of_ours(name: str) -> None:
    profile = load_profile(name)
    ours, its = (profile.structure(generator).network for generator in ("ourgan", "patches"))
    assert ours.sizes(0.75) == its.sizes(0.75)


def test_the_model_holds_the_photo_and_draws(made: Path, tmp_path: Path) -> None:
    table = json.loads((made / "config.json").read_text())
    assert (table["format"], table["generator"], table["steps"]) == (3, "patches", {})
    assert not (made / "training").exists()
    card = (made / "README.md").read_text()
    assert "A patch-based model" in card and "Ana, CC0. The model holds the photo" in card
    assert "--generator patches --steps 1\n" in card and "vertical coordinate on" in card
    assert read_image(made / "samples.jpg").shape[0] == 3
    model = OurGAN.from_pretrained(made, device="cpu")
    assert isinstance(model.generator, Patches)
    photo = resized(to_uint8(read_image(PHOTO)), (48, 64))
    assert (model.generator.photo.numpy() == photo).all()
    again = to_uint8(model.sample(noise_scales=[0, 0, 0]))
    assert abs(again.astype(int) - photo).mean() < 0.5
    assert model.sample(1, width=100, margin=9).shape == (3, 48, 100)
    whole = model.synthesize(1, "1k", progress=False)
    part = model.crop(1, "1k", (10, 20, 30, 40))
    seen = torch.from_numpy(whole[20:60, 10:40]).permute(2, 0, 1) / 255
    assert (part - seen).abs().max() <= 1.01 / 255
    model.save_pretrained(tmp_path / "again")
    for name in ("config.json", "global.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (made / name).read_bytes()


@pytest.mark.slow
def test_a_picture_with_detail_from_the_photo(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "scene.png"
    assert main(["synthesize", str(made), "--size", "1k", "--detail", "photo", "--out", str(out)]) == 0
    assert read_image(out).shape == (3, 192, 256)


def test_what_is_there_is_found_to_be_done(
    made: Path, profile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (made / "global.safetensors").read_bytes()
    for name in ("README.md", "samples.jpg"):  # killed while samples were drawn
        (made / name).unlink()
    assert train(made, profile, "--resume") == 0  # without --steps, step 1 alone
    assert (made / "README.md").exists() and (made / "samples.jpg").exists()
    capsys.readouterr()
    assert "holds a model already" in refusal(capsys, train(made, profile, "--generator", "patches"))
    line = refusal(capsys, train(made, profile, "--generator", "ourgan", "--resume"))
    assert "is a model of patches, not of ourgan" in line
    assert (made / "global.safetensors").read_bytes() == before


def test_options_that_nothing_obeys_are_refused(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, value in (("--tensorboard", str(tmp_path / "log")), ("--seed", "3")):
        line = refusal(capsys, train(tmp_path / "m", profile, "--generator", "patches", option, value))
        assert option in line and "leave it out" in line
    assert not (tmp_path / "m").exists()


def test_it_is_published_only_by_who_says_that_its_photo_is(made: Path) -> None:
    model = OurGAN.from_pretrained(made, device="cpu")
    with pytest.raises(ModelError, match="holds its photo, which would be published: say photo=True"):
        model.push_to_hub("ana/model")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda photo: {"photo": photo.float()}, "photo is torch.float32, config.json needs torch.uint8"),
        (
            lambda photo: {"photo": photo.repeat(2, 1, 1)},
            r"photo is \(96, 64, 3\), config.json needs \(48, 64, 3\)",
        ),
        (lambda photo: {"other": photo}, "the tensor photo is missing"),
    ],
)
def test_a_damaged_photo_is_one_line(made: Path, tmp_path: Path, damage: object, words: str) -> None:
    broken = Path(shutil.copytree(made, tmp_path / "broken"))
    photo = load_file(broken / "global.safetensors")["photo"]
    save_file(damage(photo), broken / "global.safetensors")
    with pytest.raises(ModelError, match=words):
        OurGAN.from_pretrained(broken)


def test_the_explorer_and_the_benchmark_take_it(made: Path) -> None:
    model = OurGAN.from_pretrained(made, device="cpu")
    session = Session(model)
    assert session.coordinate
    session.edit(Edit("mirror", (0, 0, 64, 48), scale=1))
    session.set_noise_scale(2, 0.0)
    assert session.picture().shape == (3, 48, 64)
    assert not torch.equal(session.picture(), session.picture(Scene()))
    assert open_model(made).generator == "patches"
