"""Configuration as data: frozen dataclasses, and profiles read strictly from TOML."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from ourgan.errors import OurganError

T = TypeVar("T")


class ConfigError(OurganError):
    """A configuration that cannot be used; names the key and the nearest valid one."""


@dataclasses.dataclass(frozen=True)
class GlobalStructureConfig:
    """Step 1 (Table H.1). Defaults are the paper's; what it leaves open is named and explained."""

    width: int = 256  # "GT size" of Table H.1: the width of the last scale, as Table 1 confirms
    min_width: int = 32  # of the first scale, before the rounding of the pyramid
    vae_refinements: int = 3  # L of Eq. 2; G_0 is not counted
    gan_stages: int = 6  # M - L of Eq. 3
    pyramid: str = "official"  # "official": ceil(width r^k), 33 41 51 ... 256; "rounded": 32 40 51 ...
    antialias: bool = True  # False: aliased bilinear straight from the photo, as the public code does
    align_corners: bool = True  # of the enlargement between scales, as the public code
    channels: int = 64
    layers: int = 5  # middle convolutions: 7 with head and tail
    latent_channels: int = 128  # absent from Table H.1; the public code's
    encoder_blocks: int = 2  # 3 convolutions and two heads
    coordinate_encoder: bool = True
    coordinate_generator: bool = True
    coordinate_discriminator: bool = True  # "all convolution layers in the first step"
    coordinate_padding: str = "zeros"  # literal; "extrapolate" continues the slope beyond the border
    vae_noise: bool = True  # noise at 1 <= m <= L when sampling: the public code; False: Eq. 2
    noise_amplitude: float = 0.05  # x RMSE; the public code's 0.1 / batch size
    iterations: int | tuple[int, ...] = 5000  # of every scale, or one number per scale
    batch_size: int = 2
    learning_rate: float = 5e-4
    learning_rate_scale: float = 0.2  # E and G_0 learn at rate x scale^m while VAE scale m is trained
    decay_share: float = 0.0  # last share of a scale's iterations over which the rate falls to a tenth
    betas: tuple[float, float] = (0.5, 0.999)
    gradient_clip: float = 5.0  # of the generator's trainable parameters, by norm
    reconstruction_weight: float = 10.0
    kl_weight: float = 1.0
    adversarial_weight: float = 1.0
    penalty_weight: float = 0.1  # of the gradient penalty; the public code's lambda
    horizontal_flip: bool = False
    # Of convolutions; parameters, images, losses and penalties are float32. "auto": bfloat16 where the
    # hardware has it.
    dtype: str = "auto"

    def __post_init__(self) -> None:
        _one_of("pyramid", self.pyramid, ("official", "rounded"))
        _one_of("coordinate_padding", self.coordinate_padding, ("zeros", "extrapolate"))
        _one_of("dtype", self.dtype, ("auto", "bfloat16", "float32", "float64"))
        _at_least("width", self.width, 16)
        _at_least("min_width", self.min_width, 8)
        _at_least("width", self.width, self.min_width)
        for key in ("gan_stages", "batch_size", "channels", "layers", "latent_channels"):
            _at_least(key, getattr(self, key), 1)
        _at_least("vae_refinements", self.vae_refinements, 0)
        _at_least("encoder_blocks", self.encoder_blocks, 0)
        if isinstance(self.iterations, tuple) and len(self.iterations) != self.scales:
            raise ConfigError(
                f"iterations has {len(self.iterations)} numbers for {self.scales} scales: "
                "give one number, or one per scale"
            )
        for scale in range(self.scales):
            _at_least("iterations", self.stage_iterations(scale), 1)

    @property
    def scales(self) -> int:
        """Number of scales: G_0, the VAE refinements and the GAN stages."""
        return 1 + self.vae_refinements + self.gan_stages

    def stage_iterations(self, scale: int) -> int:
        """Iterations to train `scale`."""
        return self.iterations if isinstance(self.iterations, int) else self.iterations[scale]

    def sizes(self, aspect_ratio: float) -> tuple[tuple[int, int], ...]:
        """(height, width) of every scale for a photo of height / width = `aspect_ratio`.

        The width follows the geometric pyramid whose effective factor makes `scales` steps from
        `min_width` to `width` (0.794 for the paper's 10 scales; its 0.75 is nominal). "official" is
        the public code's ceil, taken in float64, so that 32.00000000000002 becomes 33.
        """
        last = self.scales - 1
        factor = math.pow(self.min_width / self.width, 1 / last)
        exact = [self.width * math.pow(factor, last - i) for i in range(self.scales)]
        widths = [math.ceil(w) if self.pyramid == "official" else round(w) for w in exact]
        return tuple((max(1, int(w * aspect_ratio)), w) for w in widths)


@dataclasses.dataclass(frozen=True)
class SuperResolutionConfig:
    """Steps 2 and 3 (Sec. 3.3)."""

    weights: str = "realesrgan-x4plus"  # of weights.toml, used where no fine-tuned ones are
    noise_std: float = 0.1  # of z_0^2 and z_0^3 on [0, 1] (Table H.2, H.3), added before splitting
    overlap: int = 48  # alpha of Eq. 4, in LR pixels; 10 leaves seams with released weights (notebook 02)
    dtype: str = "auto"  # bfloat16 where the hardware has it, else float32
    tile_memory_mb: int = 1200  # what the activations of one subregion may take; chooses h and w

    def __post_init__(self) -> None:
        _one_of("dtype", self.dtype, ("auto", "bfloat16", "float32"))
        _at_least("overlap", self.overlap, 0)
        _at_least("tile_memory_mb", self.tile_memory_mb, 64)


@dataclasses.dataclass(frozen=True)
class NotebookConfig:
    """How much the notebooks measure and draw."""

    size: str = "4k"  # of the picture that notebook 05 makes
    scene_width: int = 256  # of step 1 there, in pixels
    samples: int = 8  # drawn per figure
    erf_crop: int = 128  # LR pixels
    erf_positions: int = 4  # output pixels per photo
    erf_photos: int = 2
    seam_crop: int = 192  # LR pixels
    training: GlobalStructureConfig = dataclasses.field(
        default_factory=GlobalStructureConfig
    )  # what notebook 03 trains while one reads

    def __post_init__(self) -> None:
        _one_of("size", self.size, ("1k", "4k", "16k"))


@dataclasses.dataclass(frozen=True)
class Profile:
    """Everything that depends on the machine and on one's patience."""

    name: str
    global_structure: GlobalStructureConfig
    super_resolution: SuperResolutionConfig
    notebooks: NotebookConfig


PROFILES = ("smoke", "cpu", "paper-4k", "paper-16k")


def resolve_profile(name: str = "auto") -> str:
    """Turn "auto" into a profile's name: OURGAN_PROFILE, else paper-4k on a GPU, else cpu."""
    if name != "auto":
        return name
    import torch

    return os.environ.get("OURGAN_PROFILE") or ("paper-4k" if torch.cuda.is_available() else "cpu")


def load_profile(name: str = "auto") -> Profile:
    """Read a profile by name, or from a path that ends in .toml; unknown keys are errors."""
    name = resolve_profile(name)
    path = Path(name) if name.endswith(".toml") else _profile_directory() / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no profile '{name}'{_nearest(name, PROFILES)}: use one of {', '.join(PROFILES)}, "
            "or the path of a .toml file"
        ) from None
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the profile {path}: {error}") from None
    return from_table(Profile, {"name": path.stem} | table, str(path))


def from_table(kind: type[T], table: dict[str, Any], where: str) -> T:
    """Build a (nested) frozen dataclass from plain data, strictly: keys, types and ranges."""
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(f"{where}: unknown key '{key}'{_nearest(key, fields)}")
        values[key] = _converted(hints[key], value, where, key)
    for field in fields.values():
        # A section that a profile leaves out keeps its defaults, which are the paper's.
        if field.name not in values and dataclasses.is_dataclass(hints[field.name]):
            values[field.name] = hints[field.name]()
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None


def to_table(config: Any) -> dict[str, Any]:
    """The plain data of a configuration, as JSON and TOML hold it."""
    table: dict[str, Any] = dataclasses.asdict(config)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}


def _converted(kind: Any, value: Any, where: str, key: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: '{key}' must be a section, not {value!r}")
        return from_table(kind, value, f"{where}, [{key}]")  # type: ignore[arg-type]
    if isinstance(value, list):
        value = tuple(float(v) if float in typing.get_args(kind) and type(v) is int else v for v in value)
    if kind is float and type(value) is int:
        value = float(value)
    if not _fits(kind, value):
        name = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
        raise ConfigError(f"{where}: '{key}' must be of type {name}, not {value!r}")
    return value


def _fits(kind: Any, value: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_fits(option, value) for option in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        items = typing.get_args(kind)
        if not isinstance(value, tuple) or (items[-1] is not Ellipsis and len(value) != len(items)):
            return False
        return all(_fits(items[0], v) for v in value)
    return type(value) is kind  # not isinstance: True is no int here


def _profile_directory() -> Path:
    package = Path(__file__).parent
    inside = package / "profiles"  # in an installed wheel; in a checkout they stand beside the package
    return inside if inside.is_dir() else package.parent / "profiles"


def _nearest(word: str, known: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{key} is '{value}'{_nearest(value, known)}: use one of {', '.join(known)}")


def _at_least(key: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{key} is {value}: it must be at least {least}")
