"""Configuration as data: Tables H.1 to H.3 as frozen dataclasses, and profiles read strictly from TOML.

May import `ourgan._core` alone; torch is not imported to read a profile.
"""

from ourgan.config.profile import (
    BACKBONES,
    DETAILS,
    METHODS,
    PROFILES,
    SCENES,
    SIZES,
    Profile,
    SuperResolutionConfig,
    SuperResolutionTraining,
    SwinIRTraining,
    load_profile,
    resolve_profile,
    steps_of,
)
from ourgan.config.structure import GENERATORS, GlobalStructureConfig, HPVAEGANConfig, HPVAEGANTraining

__all__ = [
    "BACKBONES",
    "DETAILS",
    "GENERATORS",
    "METHODS",
    "PROFILES",
    "SCENES",
    "SIZES",
    "GlobalStructureConfig",
    "HPVAEGANConfig",
    "HPVAEGANTraining",
    "Profile",
    "SuperResolutionConfig",
    "SuperResolutionTraining",
    "SwinIRTraining",
    "load_profile",
    "resolve_profile",
    "steps_of",
]
