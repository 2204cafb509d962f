"""Configuration as data: frozen dataclasses, and profiles read strictly from TOML."""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from pathlib import Path

from ourgan._core.strict_toml import ConfigError, at_least, at_most, from_dict, nearest, one_of

GENERATORS = ("ourgan", "hp-vae-gan", "singan")  # of step 1
BACKBONES = ("esrgan", "swinir")
SIZES = {"1k": 1, "4k": 2, "16k": 3}  # of a picture: how many steps of x4 follow step 1
METHODS = ("auto", "stream", "tile")  # of upscaling
PERCEPTUAL_LAYERS = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")
NOT_IN_SINGAN = (
    "vae_refinements",
    "latent_channels",
    "encoder_blocks",
    "coordinate_encoder",
    "coordinate_generator",
    "coordinate_discriminator",
    "vae_noise",
    "learning_rate_scale",
    "gradient_clip",
    "kl_weight",
    "horizontal_flip",
)
RELEASED = {"esrgan": "realesrgan-x4plus", "swinir": "swinir-m-x4-real"}


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
        one_of("pyramid", self.pyramid, ("official", "rounded"))
        one_of("coordinate_padding", self.coordinate_padding, ("zeros", "extrapolate"))
        one_of("dtype", self.dtype, ("auto", "bfloat16", "float32", "float64"))
        at_least("width", self.width, 16)
        at_least("min_width", self.min_width, 8)
        at_least("width", self.width, self.min_width)
        for key in ("gan_stages", "batch_size", "channels", "layers", "latent_channels"):
            at_least(key, getattr(self, key), 1)
        # Far above any use: a model from elsewhere must not keep this machine busy for ever.
        for key in ("vae_refinements", "gan_stages", "layers", "encoder_blocks"):
            at_most(key, getattr(self, key), 64)
        for key in ("width", "channels", "latent_channels"):
            at_most(key, getattr(self, key), 4096)
        at_least("vae_refinements", self.vae_refinements, 0)
        at_least("encoder_blocks", self.encoder_blocks, 0)
        if isinstance(self.iterations, tuple) and len(self.iterations) != self.scales:
            raise ConfigError(
                f"iterations has {len(self.iterations)} numbers for {self.scales} scales: "
                "give one number, or one per scale"
            )
        for scale in range(self.scales):
            at_least("iterations", self.stage_iterations(scale), 1)

    @property
    def generator(self) -> str:
        """Which of GENERATORS this is: without a coordinate anywhere, ours is HP-VAE-GAN."""
        coordinate = self.coordinate_encoder or self.coordinate_generator or self.coordinate_discriminator
        return "ourgan" if coordinate else "hp-vae-gan"

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
class SinGANConfig(GlobalStructureConfig):
    """SinGAN (Shaham et al. 2019) on the pyramid of step 1; the other defaults are the public code's."""

    vae_refinements: int = 0
    gan_stages: int = 9  # beside the coarsest scale
    channels: int = 32  # of the first scales
    double_every: int = 4  # scales: 32 32 32 32 64 64 64 64 128 128
    max_channels: int = 128
    layers: int = 3  # middle convolutions: 5 with head and tail, a receptive field of 11x11
    latent_channels: int = 3  # the noise has an image's channels, so that G_1 can begin as a copy of G_0
    coordinate_encoder: bool = False
    coordinate_generator: bool = False
    coordinate_discriminator: bool = False
    noise_amplitude: float = 0.1  # x RMSE
    iterations: int | tuple[int, ...] = 2000
    batch_size: int = 1
    decay_share: float = 0.2  # last share of a scale's iterations, which learn at a tenth of the rate
    critic_steps: int = 3  # an iteration
    generator_steps: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("double_every", "max_channels", "critic_steps", "generator_steps"):
            at_least(key, getattr(self, key), 1)
        for key in NOT_IN_SINGAN:
            if getattr(self, key) != getattr(SinGANConfig, key):
                raise ConfigError(f"SinGAN has no {key} to be set: leave it out")

    @property
    def generator(self) -> str:
        """Its name among GENERATORS."""
        return "singan"

    def channels_at(self, scale: int) -> int:
        """Width of the networks of `scale`."""
        return min(self.channels * 2 ** (scale // self.double_every), max(self.channels, self.max_channels))

    def at(self, scale: int) -> SinGANConfig:
        """The same, with the channels of `scale`, for the networks that take a configuration."""
        return dataclasses.replace(self, channels=self.channels_at(scale))


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
        """The name or file of the weights that `weights` stands for."""
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
    training: GlobalStructureConfig = dataclasses.field(
        default_factory=GlobalStructureConfig
    )  # what notebook 03 trains while one reads

    def __post_init__(self) -> None:
        one_of("size", self.size, ("1k", "4k", "16k"))
        one_of("benchmark_size", self.benchmark_size, ("1k", "4k"))
        at_least("benchmark_seeds", self.benchmark_seeds, 2)


@dataclasses.dataclass(frozen=True)
class Profile:
    """Everything that depends on the machine and on one's patience."""

    name: str
    global_structure: GlobalStructureConfig
    singan: SinGANConfig
    super_resolution: SuperResolutionConfig
    esrgan: SuperResolutionTraining
    swinir: SwinIRTraining
    notebooks: NotebookConfig

    def structure(self, generator: str) -> GlobalStructureConfig:
        """How step 1 learns with one of GENERATORS; raises ConfigError for another name."""
        one_of("generator", generator, GENERATORS)
        if generator == "singan":
            return self.singan
        if generator == "hp-vae-gan":
            return dataclasses.replace(
                self.global_structure,
                coordinate_encoder=False,
                coordinate_generator=False,
                coordinate_discriminator=False,
            )
        return self.global_structure

    def training(self, backbone: str) -> SuperResolutionTraining:
        """How the network of `backbone` learns."""
        return self.esrgan if backbone == "esrgan" else self.swinir


PROFILE_DIRECTORY = Path(__file__).parent / "profiles"
PROFILES = ("smoke", "quick", "cpu", "paper-4k", "paper-16k")


def resolve_profile(name: str = "auto") -> str:
    """Turn "auto" into a profile's name: OURGAN_PROFILE, else paper-4k on a GPU, else cpu."""
    if name != "auto":
        return name
    import torch

    return os.environ.get("OURGAN_PROFILE") or ("paper-4k" if torch.cuda.is_available() else "cpu")


def load_profile(name: str = "auto") -> Profile:
    """Read a profile by name, or from a path that ends in .toml; unknown keys are errors."""
    name = resolve_profile(name)
    path = Path(name) if name.endswith(".toml") else PROFILE_DIRECTORY / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no profile '{name}'{nearest(name, PROFILES)}: use one of {', '.join(PROFILES)}, "
            "or the path of a .toml file"
        ) from None
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the profile {path}: {error}") from None
    return from_dict(Profile, {"name": path.stem} | table, str(path))
