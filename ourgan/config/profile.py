"""Profiles: everything that depends on the machine and on one's patience, as a TOML file."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from pathlib import Path
from typing import Any

from ourgan._core.strict_toml import ConfigError, at_least, from_dict, nearest, one_of
from ourgan.config.structure import GENERATORS, GlobalStructureConfig, SinGANStructureConfig, StructureConfig
from ourgan.config.super_resolution import SuperResolutionConfig, SuperResolutionTraining, SwinIRTraining

PROFILE_DIRECTORY = Path(__file__).parents[1] / "profiles"
PROFILES = ("smoke", "quick", "cpu", "paper-4k", "paper-16k")


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
    # What notebook 03 trains while one reads.
    training: GlobalStructureConfig = dataclasses.field(default_factory=GlobalStructureConfig)

    def __post_init__(self) -> None:
        one_of("size", self.size, ("1k", "4k", "16k"))
        one_of("benchmark_size", self.benchmark_size, ("1k", "4k"))
        at_least("benchmark_seeds", self.benchmark_seeds, 2)


@dataclasses.dataclass(frozen=True)
class Profile:
    """Everything that depends on the machine and on one's patience."""

    name: str
    global_structure: GlobalStructureConfig
    singan: SinGANStructureConfig
    super_resolution: SuperResolutionConfig
    esrgan: SuperResolutionTraining
    swinir: SwinIRTraining
    notebooks: NotebookConfig

    def structure(self, generator: str) -> StructureConfig:
        """Return the networks of step 1, and how they learn, for one of GENERATORS.

        Raises:
            ConfigError: for another name.
        """
        one_of("generator", generator, GENERATORS)
        if generator == "singan":
            return self.singan
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
    path = Path(name) if name.endswith(".toml") else PROFILE_DIRECTORY / f"{name}.toml"
    try:
        table = _read(path)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no profile '{name}'{nearest(name, PROFILES)}: use one of {', '.join(PROFILES)}, "
            "or the path of a .toml file"
        ) from None
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the profile {path}: {error}") from None
    return from_dict(Profile, {"name": path.stem} | table, str(path))


def _read(path: Path) -> dict[str, Any]:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
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
