"""The networks of step 1: HP-VAE-GAN with vertical coordinate convolution (Sec. 3.2, Eq. 1 to 3)."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ourgan.config import HPVAEGANConfig
from ourgan.models.coordconv import VerticalCoordConv2d
from ourgan.models.pyramid import SLOPE, ConvBlock, GlobalGenerator, at_least_float32


class Encoder(nn.Module):
    """E: the photo at scale 0 to mean and log variance of the latent."""

    def __init__(self, config: HPVAEGANConfig) -> None:
        super().__init__()
        channels, latent_channels = config.channels, config.latent_channels

        def convolution(inputs: int, outputs: int, spectral_norm: bool = False) -> VerticalCoordConv2d:
            return VerticalCoordConv2d(
                inputs,
                outputs,
                coordinate=config.coordinate_encoder,
                coordinate_padding=config.coordinate_padding,
                spectral_norm=spectral_norm,
            )

        # `encoder_blocks` = 2 yields three convolutions: a first, n - 1 middle ones and a last.
        ins = [3] + [channels] * config.encoder_blocks
        self.features = nn.ModuleList(convolution(c, channels, spectral_norm=True) for c in ins)
        self.mean = convolution(channels, latent_channels)
        self.log_variance = convolution(channels, latent_channels)

    def forward(
        self, x: Float[Tensor, "n 3 h w"]
    ) -> tuple[Float[Tensor, "n latent h w"], Float[Tensor, "n latent h w"]]:
        """Return mean and log variance of the latent, float32 at least, for images in [-1, 1]."""
        for convolution in self.features:
            x = F.leaky_relu_(convolution(x), SLOPE)
        return at_least_float32(self.mean(x)), at_least_float32(self.log_variance(x))


def decoder(config: HPVAEGANConfig) -> ConvBlock:
    """Build G_0 of Eq. 1: a latent (N, 128, h, w) to an image (N, 3, h, w), before the tanh."""
    return _generator_block(config, config.latent_channels)


def refiner(config: HPVAEGANConfig) -> ConvBlock:
    """Build G_m of Eq. 2 and 3, m >= 1: an enlarged image (N, 3, h, w) to what is to be added to it."""
    return _generator_block(config, 3)


def discriminator(config: HPVAEGANConfig) -> ConvBlock:
    """Build D_m, which judges patches: an image (N, 3, h, w) to a map of scores (N, 1, h, w)."""
    return ConvBlock(
        3,
        1,
        config.channels,
        config.layers,
        coordinate=config.coordinate_discriminator,
        coordinate_padding=config.coordinate_padding,
        spectral_norm=True,
    )


def _generator_block(config: HPVAEGANConfig, inputs: int) -> ConvBlock:
    return ConvBlock(
        inputs,
        3,
        config.channels,
        config.layers,
        coordinate=config.coordinate_generator,
        coordinate_padding=config.coordinate_padding,
        batch_norm=True,
    )


class HPVAEGAN(GlobalGenerator):
    """E, G_0 and the refiners grown so far. Args: as `GlobalGenerator`."""

    config: HPVAEGANConfig
    encoder: Encoder

    def __init__(self, config: HPVAEGANConfig, aspect_ratio: float) -> None:
        networks = {"encoder": Encoder(config), "decoder": decoder(config)}
        super().__init__(config, aspect_ratio, config.latent_channels, **networks)

    def encode(
        self, photo: Float[Tensor, "n 3 h w"]
    ) -> tuple[Float[Tensor, "n latent h w"], Float[Tensor, "n latent h w"]]:
        """Return mean and log variance of the latent for the photo at scale 0, in [-1, 1]."""
        mean, log_variance = self.encoder(self.cast(photo))
        return mean, log_variance

    def new_block(self) -> nn.Module:
        """Return the refiner of the next scale: the first fresh, each later one a copy of the last."""
        return copy.deepcopy(self.refiners[-1]) if self.refiners else refiner(self.config)

    def noisy(self, scale: int) -> bool:
        """Return whether noise enters at `scale` when sampling: Eq. 3, and Eq. 2 too where configured."""
        return scale > self.config.vae_refinements or (scale > 0 and self.config.vae_noise)

    def combine(
        self, enlarged: Float[Tensor, "n 3 h w"], output: Float[Tensor, "n 3 h w"]
    ) -> Float[Tensor, "n 3 h w"]:
        """Return x_m = tanh(up(x_{m-1}) + G_m(up(x_{m-1}) + a_m n)), Eq. 2 and 3, in [-1, 1].

        The public code applies the tanh at every scale; the paper's formula omits it.
        """
        return torch.tanh(output + enlarged)
