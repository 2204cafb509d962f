"""Configuration: strict reading, the paper's numbers, the pyramid."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import changed

from ourgan import config
from ourgan._core.strict_toml import ConfigError, from_dict, to_dict
from ourgan.config import GlobalStructureConfig, HPVAEGANConfig, Profile, load_profile
from ourgan.config.profile import PROFILE_DIRECTORY

OFFICIAL = (33, 41, 51, 65, 81, 102, 129, 162, 204, 256)  # of the public code, heights for 4096 x 2160:
OFFICIAL_HEIGHTS = (17, 21, 26, 34, 42, 53, 68, 85, 107, 135)


def refused(table: dict[str, object], kind: type = GlobalStructureConfig) -> str:
    with pytest.raises(ConfigError) as caught:
        from_dict(kind, table, "my.toml")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("my.toml")
    return text


def test_an_unknown_key_names_the_nearest_one() -> None:
    assert "unknown key 'chanels' (did you mean 'channels'?)" in refused({"chanels": 8})
    assert "(did you mean" not in refused({"zzz": 8})
    nested = refused({"name": "x", "global_structure": {"learing_rate": 1e-3}}, Profile)
    assert "[global_structure]: unknown key 'learing_rate' (did you mean 'learning_rate'?)" in nested
    assert "did you mean 'super_resolution'?" in refused({"name": "x", "super_resolutoin": {}}, Profile)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("width", "256"),
        ("width", 256.0),
        ("width", True),  # Python takes it for 1
        ("antialias", 1),
        ("learning_rate", "5e-4"),
        ("pyramid", 1),
        ("iterations", [100.5] * 10),
        ("iterations", "many"),
        ("betas", 0.5),
        ("betas", [0.5]),
        ("betas", [0.5, 0.9, 0.999]),
        ("betas", [0.5, "0.999"]),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(key: str, value: object) -> None:
    text = refused({key: value})
    assert f"'{key}' must be of type" in text
    assert str(value).strip("[]") in text


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"pyramid": "offical"}, "pyramid is 'offical' \\(did you mean 'official'\\?\\): use one of"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"coordinate_padding": "reflect"}, "coordinate_padding is 'reflect'"),
        ({"width": 24}, "width is 24: it must be at least 32"),  # the default min_width
        ({"gan_stages": 0}, "gan_stages is 0: it must be at least 1"),
        ({"vae_refinements": -1}, "vae_refinements is -1"),
        ({"iterations": 0}, "iterations is 0: it must be at least 1"),
        ({"iterations": [5] * 9 + [0]}, "iterations is 0"),
        ({"iterations": [5, 5]}, "iterations has 2 numbers for 10 scales"),
    ],
)
def test_a_value_out_of_range_is_refused(table: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_dict(GlobalStructureConfig, table, "my.toml")


def test_whole_numbers_serve_as_fractions_and_lists_as_tuples() -> None:
    made = from_dict(GlobalStructureConfig, {"gradient_clip": 5, "betas": [0, 0.9]}, "my.toml")
    assert (made.training.gradient_clip, made.training.betas) == (5.0, (0.0, 0.9))
    assert all(type(value) is float for value in (made.training.gradient_clip, *made.training.betas))
    made = from_dict(GlobalStructureConfig, {"iterations": list(range(1, 11))}, "my.toml")
    assert [made.training.scale_iterations(scale) for scale in range(10)] == list(range(1, 11))


def test_a_configuration_survives_plain_data() -> None:
    for changes in ({}, {"iterations": [7] * 10, "betas": (0.0, 0.9), "coordinate_encoder": False}):
        made = from_dict(GlobalStructureConfig, changes, "my.toml")
        assert from_dict(GlobalStructureConfig, to_dict(made), "my.toml") == made


@pytest.mark.parametrize("name", config.PROFILES)
def test_every_shipped_profile_loads(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert len(profile.global_structure.network.sizes(0.75)) == profile.global_structure.network.scales
    assert profile.notebooks.training.network.scales >= 2


def test_every_profile_file_is_listed() -> None:
    shipped = {path.stem for path in PROFILE_DIRECTORY.glob("*.toml")}
    assert shipped == set(config.PROFILES)


@pytest.mark.parametrize("name", ["paper-4k", "paper-16k"])
def test_the_paper_profiles_are_table_h1(name: str) -> None:
    made = load_profile(name).global_structure
    assert made == GlobalStructureConfig()
    table_h1 = {
        "width": 256,
        "iterations": 5000,
        "channels": 64,
        "layers": 5,
        "encoder_blocks": 2,
        "batch_size": 2,
        "betas": [0.5, 0.999],
        "learning_rate": 5e-4,
        "gradient_clip": 5.0,
        "reconstruction_weight": 10.0,
        "kl_weight": 1.0,
        "adversarial_weight": 1.0,
        "vae_refinements": 3,
        "gan_stages": 6,
    }
    assert to_dict(made).items() >= table_h1.items()
    assert load_profile(name).super_resolution.noise_std == 0.1  # Tables H.2 and H.3


def test_auto_asks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_PROFILE", "smoke")
    assert load_profile("auto").name == "smoke"
    assert load_profile("cpu").name == "cpu"
    monkeypatch.delenv("OURGAN_PROFILE")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert config.resolve_profile() == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert config.resolve_profile() == "paper-4k"


def test_a_missing_profile_names_the_nearest_and_all() -> None:
    with pytest.raises(
        ConfigError, match=r"no profile 'paper4k' \(did you mean 'paper-4k'\?\).*smoke, quick, cpu"
    ):
        load_profile("paper4k")


def test_profiles_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[global_structure]\nwidth = 64\n")
    profile = load_profile(str(mine))
    assert profile.name == "mine"
    assert profile.global_structure == changed(GlobalStructureConfig(), width=64)
    assert profile.super_resolution == config.SuperResolutionConfig()  # absent sections keep the defaults
    for content in (b"width = = 3\n", b"\xff\xfe\x00"):
        mine.write_bytes(content)
        with pytest.raises(ConfigError, match="cannot read the profile") as caught:
            load_profile(str(mine))
        assert str(mine) in str(caught.value)
        assert "\n" not in str(caught.value)
    mine.write_text("global_structure = 3\n")
    with pytest.raises(ConfigError, match="'global_structure' must be a section"):
        load_profile(str(mine))


def test_a_profile_may_begin_from_another(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'base = "smoke"\n[esrgan]\npatch = 64\n[notebooks]\nsamples = 3\n[notebooks.training]\nchannels = 5\n'
    )
    profile, base = load_profile(str(mine)), load_profile("smoke")
    assert (profile.name, profile.esrgan) == ("mine", dataclasses.replace(base.esrgan, patch=64))
    training = changed(base.notebooks.training, channels=5)
    assert profile.notebooks == dataclasses.replace(base.notebooks, samples=3, training=training)
    assert (profile.global_structure, profile.swinir) == (base.global_structure, base.swinir)
    for text in ('base = "cpo"', "base = 3", "base = []"):
        mine.write_text(text)
        with pytest.raises(ConfigError, match=r"mine.toml: base is .*: use one of smoke, quick, cpu"):
            load_profile(str(mine))


def test_the_first_look_differs_from_cpu_in_step_1_alone() -> None:
    quick, cpu = load_profile("quick"), load_profile("cpu")
    fewer = {name: getattr(quick, name) for name in ("name", "global_structure", "singan")}
    assert dataclasses.replace(cpu, **fewer) == quick
    for ours, theirs in ((quick.global_structure, cpu.global_structure), (quick.singan, cpu.singan)):
        assert changed(theirs, iterations=ours.training.iterations) == ours != theirs


def test_official_sizes_are_those_of_the_public_code() -> None:
    assert HPVAEGANConfig().sizes(2160 / 4096) == tuple(zip(OFFICIAL_HEIGHTS, OFFICIAL, strict=True))


def test_rounded_sizes_leave_the_float_trap_out() -> None:
    widths = [w for _, w in HPVAEGANConfig(pyramid="rounded").sizes(1)]
    assert widths == [32, 40, 51, 64, 81, 102, 128, 161, 203, 256]


def test_portraits_are_as_wide_as_landscapes() -> None:
    sizes = HPVAEGANConfig().sizes(1.5)
    assert [w for _, w in sizes] == list(OFFICIAL)
    assert sizes[-1] == (384, 256)


@pytest.mark.parametrize(
    ("vae", "gan", "widths"),
    [
        (2, 6, [32, 42, 54, 70, 91, 118, 153, 198, 256]),  # A: G_0 is one of the three
        (3, 6, list(OFFICIAL)),  # B: it is not (the default)
        (2, 7, list(OFFICIAL)),  # C: the public code's own run
    ],
)
def test_each_reading_of_three_and_six_is_a_configuration(vae: int, gan: int, widths: list[int]) -> None:
    made = HPVAEGANConfig(vae_refinements=vae, gan_stages=gan)
    assert made.scales == len(widths)
    assert [w for _, w in made.sizes(1)] == widths


@given(
    width=st.integers(16, 1024),
    min_width=st.integers(8, 1024),
    vae=st.integers(0, 6),
    gan=st.integers(1, 9),
    pyramid=st.sampled_from(["official", "rounded"]),
    aspect=st.floats(0.02, 50),
)
def test_sizes_never_shrink_and_end_at_the_width(
    width: int, min_width: int, vae: int, gan: int, pyramid: str, aspect: float
) -> None:
    made = HPVAEGANConfig(
        width=width, min_width=min(width, min_width), vae_refinements=vae, gan_stages=gan, pyramid=pyramid
    )
    sizes = made.sizes(aspect)
    assert len(sizes) == made.scales == 1 + vae + gan
    assert sizes[-1] == (max(1, int(width * aspect)), width)
    assert made.min_width <= sizes[0][1] <= made.min_width + 1
    for (h, w), (next_h, next_w) in itertools.pairwise(sizes):
        assert 1 <= h <= next_h
        assert w <= next_w
