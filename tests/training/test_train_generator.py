"""`ourgan train --generator`: SinGAN and HP-VAE-GAN by the same command, and what loads afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import refusal
from tiny import STRUCTURE, changed

from ourgan import OurGAN
from ourgan._core.strict_toml import ConfigError, from_dict, to_dict
from ourgan.cli import main
from ourgan.config import PROFILES, load_profile
from ourgan.config.structure import SinGANStructureConfig
from ourgan.models.generators import HPVAEGAN, SinGAN

DATA = Path(__file__).parents[2] / "data"
PHOTO = DATA / "photos" / "picos-de-europa.jpg"
SMALL = changed(SinGANStructureConfig(), width=24, min_width=16, gan_stages=2, iterations=(3, 2, 1))
COORDINATES = ("coordinate_encoder", "coordinate_generator", "coordinate_discriminator")
PROFILE = (
    STRUCTURE
    + """
batch_size = 1
iterations = 3
[singan]
width = 24
min_width = 16
gan_stages = 2
channels = 8
double_every = 2
layers = 1
iterations = 3
[super_resolution]
noise_std = 0.0
overlap = 8
[esrgan]
iterations = 1
patch = 32
batch_size = 2
discriminator_channels = 4
"""
)


pytestmark = pytest.mark.usefixtures("packaged_weights")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "tiny.toml"
    path.write_text(PROFILE)
    return path


@pytest.fixture(scope="module")
def trained(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "model"
    assert train(out, profile, "--generator", "singan", "--steps", "1") == 0
    return out


def train(out: Path, profile: Path, *options: str) -> int:
    return main(["train", str(PHOTO), "--out", str(out), "--profile", str(profile), *options])


# -- configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_has_it_on_the_same_pyramid(name: str) -> None:
    profile = load_profile(name)
    assert profile.structure("singan").network.sizes(0.75) == profile.structure("ourgan").network.sizes(0.75)
    plain = profile.structure("hp-vae-gan")
    assert plain.network.generator == "hp-vae-gan" and not plain.network.coordinate_discriminator
    assert changed(plain, **dict.fromkeys(COORDINATES, True)) == profile.structure("ourgan")


@pytest.mark.parametrize("table", [{"kl_weight": 2.0}, {"coordinate_generator": True}, {"critic_steps": 0}])
def test_what_singan_has_not_cannot_be_set(table: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"my.toml: .*{next(iter(table))}"):
        from_dict(SinGANStructureConfig, table, "my.toml")
    assert from_dict(SinGANStructureConfig, to_dict(SMALL), "my.toml") == SMALL


def test_keys_that_singan_once_had_are_read_at_the_value_they_had() -> None:
    table = json.loads((DATA / "models" / "picos-de-europa-singan" / "config.json").read_text())
    old = table["global_structure"]
    assert old.keys() > to_dict(SMALL).keys()
    assert from_dict(SinGANStructureConfig, old, "config.json").network.channels == old["channels"]


# -- the command ----------------------------------------------------------------------------------


def test_trained_by_the_command_it_draws(trained: Path, tmp_path: Path) -> None:
    table = json.loads((trained / "config.json").read_text())
    assert (table["format"], table["generator"]) == (2, "singan")
    assert "A SinGAN model" in (trained / "README.md").read_text()
    assert "--generator singan --steps 1\n" in (trained / "README.md").read_text()
    assert {"scale-00.png", "scale-01.png", "scale-02.png"} == {
        path.name for path in (trained / "training").glob("*.png")
    }
    model = OurGAN.from_pretrained(trained, device="cpu")
    assert isinstance(model.generator, SinGAN)
    first, second = model.sample(1), model.sample(2)
    assert first.shape == (3, 18, 24) and first.isfinite().all()
    assert (first - second).abs().mean() > 1 / 255
    assert torch.equal(first, model.sample(1))
    panorama = model.sample(1, width=96)
    assert panorama.shape == (3, 18, 96) and panorama.isfinite().all()
    whole = model.synthesize(1, "1k", width=16, progress=False)
    assert whole.shape == (72, 64, 3)
    part = model.crop(1, "1k", (10, 20, 30, 40), width=16)
    seen = torch.from_numpy(whole[20:60, 10:40]).permute(2, 0, 1) / 255
    assert (part - seen).abs().max() <= 1.01 / 255
    model.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/global.safetensors").read_bytes() == (
        trained / "global.safetensors"
    ).read_bytes()


def test_steps_are_added_to_the_generator_that_is_there(
    trained: Path, profile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "global.safetensors").read_bytes()
    for options in (["--generator", "ourgan", "--steps", "2,3"], ["--generator", "hp-vae-gan", "--resume"]):
        line = refusal(capsys, train(trained, profile, *options))
        assert f"is a model of singan, not of {options[1]}: leave --generator out" in line
    for options in ([], ["--generator", "singan"]):  # what is there is found to be done, whatever is named
        assert train(trained, profile, *options, "--steps", "1", "--resume") == 0
        capsys.readouterr()
    assert (trained / "global.safetensors").read_bytes() == before


def test_hp_vae_gan_is_ours_without_the_coordinate(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "model", profile, "--generator", "hp-vae-gan", "--steps", "1") == 0
    table = json.loads((tmp_path / "model/config.json").read_text())
    assert (table["format"], table["generator"]) == (1, "hp-vae-gan")
    assert [table["global_structure"][key] for key in COORDINATES] == [False] * 3
    assert "--generator hp-vae-gan --steps 1\n" in (tmp_path / "model/README.md").read_text()
    assert OurGAN.from_pretrained(tmp_path / "model", device="cpu").generator.config.generator == "hp-vae-gan"


def test_a_wrong_generator_is_one_line(
    trained: Path, profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    line = refusal(capsys, train(out, profile, "--generator", "singang"))
    assert "generator is 'singang' (did you mean 'singan'?): use one of ourgan, hp-vae-gan, singan" in line
    assert not out.exists()
    broken = Path(shutil.copytree(trained, tmp_path / "broken"))
    table = json.loads((broken / "config.json").read_text())
    for name, words in (("stylegan", "generator is 'stylegan'"), ("ourgan", "unknown key 'double_every'")):
        (broken / "config.json").write_text(json.dumps(table | {"generator": name}))
        command = ["synthesize", str(broken), "--out", str(tmp_path / "scene.tif")]
        assert words in refusal(capsys, main(command))


def test_a_checkpoint_of_another_generator_is_not_continued(
    profile: Path, tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = tmp_path / "model"
    shutil.copytree(trained / "training", begun / "training")
    line = refusal(capsys, train(begun, profile, "--steps", "1", "--resume"))
    assert "of another training" in line


@pytest.mark.parametrize(("name", "generator"), [("", "ourgan"), ("-plain", "hp-vae-gan")])
def test_directories_from_before_load(name: str, generator: str) -> None:
    directory = DATA / "models" / f"picos-de-europa{name}"
    assert "generator" not in json.loads((directory / "config.json").read_text())
    model = OurGAN.from_pretrained(directory, device="cpu")
    assert type(model.generator) is HPVAEGAN and model.generator.config.generator == generator
