"""The smallest step 1 that trains in a second, and step 1 from the keys that files have."""

from __future__ import annotations

from typing import TypeVar

from ourgan._core.strict_toml import from_dict, to_dict
from ourgan.config.structure import GlobalStructureConfig, StructureConfig

Config = TypeVar("Config", bound=StructureConfig)

# The beginning of the profiles that several tests write.
STRUCTURE = """
[global_structure]
width = 24
min_width = 16
vae_refinements = 0
gan_stages = 1
channels = 8
layers = 1
latent_channels = 8
"""


def structure(**keys: object) -> GlobalStructureConfig:
    """Step 1 by the keys of a profile's section."""
    return from_dict(GlobalStructureConfig, keys, "test")


def changed(config: Config, **keys: object) -> Config:
    """The same with other values for some keys."""
    return from_dict(type(config), to_dict(config) | keys, "test")
