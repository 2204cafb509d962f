"""Profiles, which are TOML files, and in them steps 2 to 4: how pictures are drawn and networks learn.

Sec. 3.3, Tables H.2 and H.3.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from ourgan._core.errors import check_choice
from ourgan._core.strict_toml import ConfigError, at_least, from_dict, one_of, read_named, read_table
from ourgan.config.structure import GENERATORS, AnyStructure, GlobalStructureConfig, SinGANStructureConfig
from ourgan.config.training_free import PatchesStructureConfig

PROFILE_DIRECTORY = Path(__file__).parents[1] / "profiles"
PROFILES = ("smoke", "quick", "cpu", "paper-4k", "paper-16k")
BACKBONES = ("esrgan", "swinir")
SIZES = {"1k": 1, "4k": 2, "16k": 3}  # of a picture: how many steps of x4 follow step 1
METHODS = ("auto", "stream", "tile")  # of upscaling
SCENES = ("auto", "drawn", "projected")  # by step 1; that, redrawn from the photo's patches
DETAILS = ("auto", "network", "photo")  # by steps 2 to 4; the photo's own pixels
PERCEPTUAL_LAYERS = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")
RELEASED = {"esrgan": "realesrgan-x4plus", "swinir": "swinir-m-x4-real"}


def steps_of(size: str) -> range:
    """Return the paper's numbers of the steps that make a picture of `size`; OurganError for another size."""
    check_choice("size", size, SIZES)
    return range(2, SIZES[size] + 2)


@dataclasses.dataclass(frozen=True)
class SuperResolutionConfig:
    """Steps 2 to 4 when a picture is drawn (Sec. 3.3)."""

    backbone: str = "esrgan"  # or "swinir"
    # Where a step has no fine-tuned weights, and where fine-tuning starts: a name of registry.toml or a file.
    # "auto" is realesrgan-x4plus for ESRGAN, which also works without the Hub, swinir-m-x4-real for SwinIR.
    weights: str = "auto"
    noise_std: float = 0.1  # of z_0^2 and z_0^3 on [0, 1] (Table H.2, H.3), added before splitting
    overlap: int = 48  # alpha of Eq. 4, in LR pixels; 10 leaves seams with released weights (notebook 02)
    dtype: str = "auto"  # bfloat16 where the hardware has it, else float32
    tile_memory_mb: int = 1200  # what the activations of one subregion may take; chooses h and w

    def __post_init__(self) -> None:
        one_of("backbone", self.backbone, BACKBONES)
        one_of("dtype", self.dtype, ("auto", "bfloat16", "float32"))
        at_least("noise_std", self.noise_std, 0)
        at_least("overlap", self.overlap, 0)
        at_least("tile_memory_mb", self.tile_memory_mb, 64)

    @property
    def released(self) -> str:
        """The name or file of the weights that `weights` means for this backbone."""
        return RELEASED[self.backbone] if self.weights == "auto" else self.weights


@dataclasses.dataclass(frozen=True)
class SuperResolutionTraining:
    """How a super-resolution network learns (Alg. F.2 to F.5); the defaults are Table H.2, for ESRGAN."""

    iterations: int = 100_000
    patch: int = 128  # "GT size", in HR pixels; VGG-128 needs a multiple of 32, SwinIR of 32
    batch_size: int = 16
    learning_rate: float = 1e-4  # of generator and discriminator
    betas: tuple[float, float] = (0.9, 0.999)
    milestones: tuple[int, ...] = (30_000, 60_000, 90_000)  # where the rate is multiplied by `decay`
    decay: float = 0.5
    reconstruction_weight: float = 0.01  # eta, of L1
    perceptual_weight: float = 1.0
    adversarial_weight: float = 0.005  # lambda
    perceptual_layers: tuple[str, ...] = ("conv5_4",)  # of VGG19, before their activations
    discriminator_channels: int = 64  # of VGG-128 and the U-Net as released
    # What Tables H.2 and H.3 leave out; the public training codes of the two networks have it.
    l1_iterations: int = 0  # of L1 alone, before the others join: for `pretrain`, whose network is new
    ema: float = 0.999  # of the generator's weights; grows from 0 as (1 + t) / (10 + t)
    dihedral: bool = False  # T of the algorithms: all eight flips and turns; else mirrored left to right only
    # What the paper does not do: a part of the photo is kept out of training and says when to stop.
    validation_share: float = 0.125  # of the photo's width, at its right
    validate_every: int = 1000
    patience: int = 0  # validations without improvement before training ends; 0: all iterations
    checkpointing: bool = False  # gradients from recomputed activations: less memory, a third more time
    dtype: str = "auto"  # of convolutions and attention, under autocast; parameters are float32

    def __post_init__(self) -> None:
        one_of("dtype", self.dtype, ("auto", "bfloat16", "float32"))
        for key in ("iterations", "batch_size", "validate_every", "discriminator_channels"):
            at_least(key, getattr(self, key), 1)
        if self.patch % 32 or self.patch < 32:
            raise ConfigError(f"patch is {self.patch}: it must be a multiple of 32, at least 32")
        if self.batch_size == 1 and self.patch == 32:
            raise ConfigError("batch_size 1 with patch 32 leaves batch normalisation one value: raise either")
        for layer in self.perceptual_layers:
            one_of("perceptual_layers", layer, PERCEPTUAL_LAYERS)
        if not self.perceptual_layers:
            raise ConfigError("perceptual_layers is empty: give at least one layer")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is {self.ema}: it must be at least 0 and below 1")
        if not 0 < self.validation_share <= 0.5:
            raise ConfigError(f"validation_share is {self.validation_share}: give 0 to 0.5, without 0")
        if self.l1_iterations > self.iterations:
            raise ConfigError("l1_iterations are part of iterations and cannot be more")

    def rate(self, iteration: int) -> float:
        """Learning rate of `iteration`, counted from 0."""
        return self.learning_rate * self.decay ** sum(iteration >= milestone for milestone in self.milestones)


@dataclasses.dataclass(frozen=True)
class SwinIRTraining(SuperResolutionTraining):
    """The same for SwinIR; the defaults are Table H.3."""

    iterations: int = 130_000
    patch: int = 96
    batch_size: int = 20
    reconstruction_weight: float = 1.0
    adversarial_weight: float = 0.1
    perceptual_layers: tuple[str, ...] = PERCEPTUAL_LAYERS


@dataclasses.dataclass(frozen=True)
class NotebookConfig:
    """How much the notebooks measure and draw."""

    size: str = "4k"  # of the picture that notebook 05 makes
    scene_width: int = 256  # of step 1 there, in pixels
    memory_budgets: tuple[float, ...] = (1.5, 2.0, 3.0)  # GiB, tried there
    samples: int = 8  # drawn per figure
    erf_crop: int = 128  # LR pixels
    erf_positions: int = 4  # output pixels per photo
    erf_photos: int = 2
    seam_crop: int = 192  # LR pixels
    judged_crop: int = 384  # HR pixels: side of the crops that fine-tuning is judged by
    benchmark_seeds: int = 50  # pictures of each generator in the table of notebook 06
    benchmark_size: str = "4k"
    redrawn: int = 3  # scenes of each photo in the tables of notebook 08
    # What notebook 03 trains while one reads.
    training: GlobalStructureConfig = dataclasses.field(default_factory=GlobalStructureConfig)

    def __post_init__(self) -> None:
        one_of("size", self.size, ("1k", "4k", "16k"))
        one_of("benchmark_size", self.benchmark_size, ("1k", "4k"))
        at_least("benchmark_seeds", self.benchmark_seeds, 2)
        at_least("redrawn", self.redrawn, 2)


@dataclasses.dataclass(frozen=True)
class Profile:
    """Everything that depends on the machine and on one's patience."""

    name: str
    global_structure: GlobalStructureConfig
    singan: SinGANStructureConfig
    patches: PatchesStructureConfig
    super_resolution: SuperResolutionConfig
    esrgan: SuperResolutionTraining
    swinir: SwinIRTraining
    notebooks: NotebookConfig

    def structure(self, generator: str) -> AnyStructure:
        """Return what step 1 is, and how it learns if it does, for one of GENERATORS.

        Raises:
            ConfigError: for another name.
        """
        one_of("generator", generator, GENERATORS)
        if generator == "singan":
            return self.singan
        if generator == "patches":
            return self.patches
        if generator == "ourgan":
            return self.global_structure
        plain = dataclasses.replace(
            self.global_structure.network,
            coordinate_encoder=False,
            coordinate_generator=False,
            coordinate_discriminator=False,
        )
        return dataclasses.replace(self.global_structure, network=plain)

    def training(self, backbone: str) -> SuperResolutionTraining:
        """Return how the network of `backbone` learns."""
        return self.esrgan if backbone == "esrgan" else self.swinir


def resolve_profile(name: str = "auto") -> str:
    """Turn "auto" into a profile's name: OURGAN_PROFILE, else paper-4k on a GPU, else cpu."""
    if name != "auto":
        return name
    import torch

    return os.environ.get("OURGAN_PROFILE") or ("paper-4k" if torch.cuda.is_available() else "cpu")


def load_profile(name: str = "auto") -> Profile:
    """Read a profile.

    `base = "cpu"` at the top of a file takes every key that is not in it from that profile of PROFILES.
    Sections and keys that are in neither keep their defaults, which are the paper's.

    Args:
        name: one of PROFILES, "auto" for the one that fits this machine, or a path that ends in .toml.

    Raises:
        ConfigError: in one line, for a file that cannot be read, and for an unknown key (with the nearest
            valid one), a wrong type or a value out of range.
    """
    name = resolve_profile(name)
    path, table = read_named("profile", name, PROFILE_DIRECTORY, PROFILES, _read)
    return from_dict(Profile, {"name": path.stem} | table, str(path))


def _read(path: Path) -> dict[str, Any]:
    table = read_table(path)
    if (base := table.pop("base", None)) is None:
        return table
    if base not in PROFILES or base == path.stem:
        raise ConfigError(f"{path}: base is {base!r}: use one of {', '.join(PROFILES)}")
    return _merged(_read(PROFILE_DIRECTORY / f"{base}.toml"), table)


def _merged(base: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the keys of `table` in place of its own, section by section."""
    both = {
        key: _merged(base[key], value)
        for key, value in table.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return base | table | both
