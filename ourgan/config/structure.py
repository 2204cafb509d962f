"""Step 1: what its networks are, and apart from it how they learn (Sec. 3.2, Table H.1)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ourgan._core.strict_toml import ConfigError, at_least, inline, one_of
from ourgan.config.sizes import SizesConfig, check_range
from ourgan.config.training_free import PatchesStructureConfig

GENERATORS = ("ourgan", "hp-vae-gan", "singan", "patches")


@dataclasses.dataclass(frozen=True)
class PyramidConfig(SizesConfig):
    """The scales of the generators that learn, and the size of their convolutional blocks.

    Defaults are the paper's; what the paper leaves open is named and explained.
    """

    gan_stages: int = 6  # scales that are trained as a GAN: M - L of Eq. 3
    align_corners: bool = True  # of the enlargement between scales, as the public code
    channels: int = 64
    layers: int = 5  # middle convolutions: 7 with head and tail

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, 64, "gan_stages", "layers")
        check_range(self, 1, 4096, "channels")

    @property
    def scales(self) -> int:
        """The number of scales, the coarsest one included."""
        return 1 + self.gan_stages


@dataclasses.dataclass(frozen=True)
class HPVAEGANConfig(PyramidConfig):
    """The networks of HP-VAE-GAN, with the vertical coordinate where OUR-GAN has it (Table H.1)."""

    vae_refinements: int = 3  # L of Eq. 2; G_0 is not counted
    latent_channels: int = 128  # absent from Table H.1; the public code's
    encoder_blocks: int = 2  # 3 convolutions and two heads
    coordinate_encoder: bool = True
    coordinate_generator: bool = True
    coordinate_discriminator: bool = True  # "all convolution layers in the first step"
    coordinate_padding: str = "zeros"  # literal; "extrapolate" continues the slope beyond the border
    vae_noise: bool = True  # noise at 1 <= m <= L when sampling: the public code; False: Eq. 2

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("coordinate_padding", self.coordinate_padding, ("zeros", "extrapolate"))
        check_range(self, 1, 4096, "latent_channels")
        check_range(self, 0, 64, "vae_refinements", "encoder_blocks")

    @property
    def generator(self) -> str:
        """The name among GENERATORS: without a coordinate anywhere, OUR-GAN is HP-VAE-GAN."""
        coordinate = self.coordinate_encoder or self.coordinate_generator or self.coordinate_discriminator
        return "ourgan" if coordinate else "hp-vae-gan"

    @property
    def scales(self) -> int:
        """The number of scales: G_0, the VAE refinements and the GAN scales."""
        return 1 + self.vae_refinements + self.gan_stages

    @property
    def coordinate(self) -> bool:
        """Whether the networks that draw have the vertical coordinate."""
        return self.coordinate_generator


@dataclasses.dataclass(frozen=True)
class SinGANConfig(PyramidConfig):
    """The networks of SinGAN (Shaham et al. 2019) on the pyramid of step 1, as in its public code."""

    gan_stages: int = 9  # beside the coarsest scale
    channels: int = 32  # of the first scales
    double_every: int = 4  # scales: 32 32 32 32 64 64 64 64 128 128
    max_channels: int = 128
    layers: int = 3  # middle convolutions: 5 with head and tail, a receptive field of 11x11

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, math.inf, "double_every", "max_channels")

    @property
    def generator(self) -> str:
        """The name among GENERATORS."""
        return "singan"

    def channels_at(self, scale: int) -> int:
        """Return the width of the networks of `scale`."""
        return min(self.channels * 2 ** (scale // self.double_every), max(self.channels, self.max_channels))


@dataclasses.dataclass(frozen=True)
class StructureTraining:
    """How the networks of step 1 learn, whichever they are (Alg. F.1)."""

    antialias: bool = True  # False: aliased bilinear straight from the photo, as the public code does
    noise_amplitude: float = 0.05  # x RMSE; the public code's 0.1 / batch size
    iterations: int | tuple[int, ...] = 5000  # of every scale, or one number per scale
    batch_size: int = 2
    learning_rate: float = 5e-4
    decay_share: float = 0.0  # last share of a scale's iterations over which the rate falls to a tenth
    betas: tuple[float, float] = (0.5, 0.999)
    reconstruction_weight: float = 10.0
    adversarial_weight: float = 1.0
    penalty_weight: float = 0.1  # of the gradient penalty; the public code's lambda
    # Of convolutions; parameters, images, losses and penalties are float32. "auto": bfloat16 where the
    # hardware has it.
    dtype: str = "auto"

    def __post_init__(self) -> None:
        one_of("dtype", self.dtype, ("auto", "bfloat16", "float32", "float64"))
        at_least("batch_size", self.batch_size, 1)
        for number in (self.iterations,) if isinstance(self.iterations, int) else self.iterations:
            at_least("iterations", number, 1)

    def scale_iterations(self, scale: int) -> int:
        """Return the number of iterations to train `scale`."""
        return self.iterations if isinstance(self.iterations, int) else self.iterations[scale]


@dataclasses.dataclass(frozen=True)
class HPVAEGANTraining(StructureTraining):
    """How HP-VAE-GAN learns, with or without the coordinate (Table H.1)."""

    learning_rate_scale: float = 0.2  # E and G_0 learn at rate x scale^m while VAE scale m is trained
    gradient_clip: float = 5.0  # of the generator's trainable parameters, by norm
    kl_weight: float = 1.0
    horizontal_flip: bool = False


@dataclasses.dataclass(frozen=True)
class SinGANTraining(StructureTraining):
    """How SinGAN learns; defaults are the public code's."""

    noise_amplitude: float = 0.1  # x RMSE
    iterations: int | tuple[int, ...] = 2000
    batch_size: int = 1
    decay_share: float = 0.2  # last share of a scale's iterations, which learn at a tenth of the rate
    critic_steps: int = 3  # updates of the discriminator in an iteration
    generator_steps: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, math.inf, "critic_steps", "generator_steps")


@dataclasses.dataclass(frozen=True)
class StructureConfig:
    """Step 1 of a generator that learns: the keys of `network` and `training` stand in one table."""

    network: PyramidConfig
    training: StructureTraining

    @classmethod
    def upgrade(cls, table: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of a file without those that only earlier versions had."""
        return dict(table)

    def __post_init__(self) -> None:
        iterations, scales = self.training.iterations, self.network.scales
        if isinstance(iterations, tuple) and len(iterations) != scales:
            raise ConfigError(
                f"iterations has {len(iterations)} numbers for {scales} scales: "
                "give one number, or one per scale"
            )


@dataclasses.dataclass(frozen=True)
class GlobalStructureConfig(StructureConfig):
    """OUR-GAN and HP-VAE-GAN: the section [global_structure] of a profile."""

    network: HPVAEGANConfig = inline(HPVAEGANConfig)
    training: HPVAEGANTraining = inline(HPVAEGANTraining)


@dataclasses.dataclass(frozen=True)
class SinGANStructureConfig(StructureConfig):
    """SinGAN: the section [singan] of a profile."""

    network: SinGANConfig = inline(SinGANConfig)
    training: SinGANTraining = inline(SinGANTraining)

    @classmethod
    def upgrade(cls, table: dict[str, Any]) -> dict[str, Any]:
        """Drop the keys of HP-VAE-GAN that earlier versions wrote for SinGAN, with their one value."""
        for key, value in _ONCE_IN_SINGAN.items():
            if table.get(key, value) != value:
                raise ConfigError(f"SinGAN has no {key} to be set: leave it out")
        return {key: value for key, value in table.items() if key not in _ONCE_IN_SINGAN}


_ONCE_IN_SINGAN = {
    "vae_refinements": 0,
    "latent_channels": 3,
    "encoder_blocks": 2,
    "coordinate_padding": "zeros",
    "coordinate_encoder": False,
    "coordinate_generator": False,
    "coordinate_discriminator": False,
    "vae_noise": True,
    "learning_rate_scale": 0.2,
    "gradient_clip": 5.0,
    "kl_weight": 1.0,
    "horizontal_flip": False,
}
AnyStructure = StructureConfig | PatchesStructureConfig
"""Step 1 of any generator; `training` is None for one that learns nothing."""
KINDS: dict[str, type[AnyStructure]] = {
    "ourgan": GlobalStructureConfig,
    "hp-vae-gan": GlobalStructureConfig,
    "singan": SinGANStructureConfig,
    "patches": PatchesStructureConfig,
}
