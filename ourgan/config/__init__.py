"""Configuration as data: Tables H.1 to H.3 as frozen dataclasses, and profiles read strictly from TOML.

May import `ourgan._core` alone; torch is not imported to read a profile.
"""

from ourgan.config.profile import (
    PROFILE_DIRECTORY,
    PROFILES,
    NotebookConfig,
    Profile,
    load_profile,
    resolve_profile,
)
from ourgan.config.structure import (
    GENERATORS,
    KINDS,
    GlobalStructureConfig,
    HPVAEGANConfig,
    HPVAEGANTraining,
    PyramidConfig,
    SinGANConfig,
    SinGANStructureConfig,
    SinGANTraining,
    StructureConfig,
    StructureTraining,
)
from ourgan.config.super_resolution import (
    BACKBONES,
    METHODS,
    PERCEPTUAL_LAYERS,
    RELEASED,
    SIZES,
    SuperResolutionConfig,
    SuperResolutionTraining,
    SwinIRTraining,
)

__all__ = [
    "BACKBONES",
    "GENERATORS",
    "KINDS",
    "METHODS",
    "PERCEPTUAL_LAYERS",
    "PROFILES",
    "PROFILE_DIRECTORY",
    "RELEASED",
    "SIZES",
    "GlobalStructureConfig",
    "HPVAEGANConfig",
    "HPVAEGANTraining",
    "NotebookConfig",
    "Profile",
    "PyramidConfig",
    "SinGANConfig",
    "SinGANStructureConfig",
    "SinGANTraining",
    "StructureConfig",
    "StructureTraining",
    "SuperResolutionConfig",
    "SuperResolutionTraining",
    "SwinIRTraining",
    "load_profile",
    "resolve_profile",
]
