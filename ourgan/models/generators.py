"""The networks of step 1: HP-VAE-GAN with vertical coordinate convolution (Sec. 3.2, Eq. 1 to 3), and SinGAN.

SinGAN (Shaham et al. 2019) is a generator that ours is compared with (Sec. 4). It stands on the same pyramid,
blocks and discriminator, so that a comparison is one of methods and not of codes. Where that departs from its
public code, and why:

* Zeros are padded inside every convolution, as everywhere here; there, once around noise and image, and
  not at all in the discriminator. Maps keep their size, and the explicit gradients of the discriminator
  hold. The price: near a border all networks know where they are, which steadies the layout more than there.
* The discriminator has spectral norm and no batch norm: it is ours.
* Images are enlarged bilinearly, as in Eq. 2, not bicubically. What goes up is clipped to [-1, 1] as there,
  but not truncated to 8 bits, which darkened every scale by half a level on average.
* The noise of the coarsest scale has three channels of its own; there, one that is repeated three times.
* Weights begin as torch begins them, not as N(0, 0.02).
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ourgan.config.sizes import SizesConfig
from ourgan.config.structure import HPVAEGANConfig, SinGANConfig
from ourgan.config.training_free import PatchesConfig
from ourgan.models.coordconv import VerticalCoordConv2d
from ourgan.models.generator import Generator
from ourgan.models.pyramid import SLOPE, ConvBlock, GlobalGenerator, at_least_float32
from ourgan.models.training_free import Patches


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


class HPVAEGAN(GlobalGenerator):
    """E, G_0 and the refiners grown so far."""

    config: HPVAEGANConfig
    encoder: Encoder

    def __init__(self, config: HPVAEGANConfig, aspect_ratio: float) -> None:
        # G_0 of Eq. 1, from a latent; G_m of Eq. 2 and 3 are the `refiners` that grow upon it.
        networks = {"encoder": Encoder(config), "decoder": _block(config, config.latent_channels)}
        super().__init__(config, aspect_ratio, config.latent_channels, **networks)

    def encode(
        self, photo: Float[Tensor, "n 3 h w"]
    ) -> tuple[Float[Tensor, "n latent h w"], Float[Tensor, "n latent h w"]]:
        """Return mean and log variance of the latent for the photo at scale 0, in [-1, 1]."""
        mean, log_variance = self.encoder(self.cast(photo))
        return mean, log_variance

    def new_block(self) -> nn.Module:
        """Return the refiner of the next scale: the first fresh, each later one a copy of the last."""
        return copy.deepcopy(self.refiners[-1]) if self.refiners else _block(self.config, 3)

    def new_discriminator(self) -> ConvBlock:
        """Return D_m, which judges patches: an image (N, 3, h, w) to a map of scores (N, 1, h, w)."""
        return ConvBlock(
            3,
            1,
            self.config.channels,
            self.config.layers,
            coordinate=self.config.coordinate_discriminator,
            coordinate_padding=self.config.coordinate_padding,
            spectral_norm=True,
        )

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


def _block(config: HPVAEGANConfig, inputs: int) -> ConvBlock:
    """Return G_0 of Eq. 1, from a latent, or G_m of Eq. 2 and 3, from an enlarged image."""
    return ConvBlock(
        inputs,
        3,
        config.channels,
        config.layers,
        coordinate=config.coordinate_generator,
        coordinate_padding=config.coordinate_padding,
        batch_norm=True,
    )


class SinGAN(GlobalGenerator):
    """The blocks grown so far, G_0 as `decoder`, and z*.

    x_0 = tanh(G_0(z_0)),      x_n = up(x_{n-1}) + tanh(G_n(up(x_{n-1}) + a_n z_n))
    """

    config: SinGANConfig
    reconstruction_noise: Tensor  # z*, (1, 3, h_0, w_0): the noise from which the photo is reconstructed

    def __init__(self, config: SinGANConfig, aspect_ratio: float) -> None:
        # The noise has an image's three channels at every scale, so that G_1 can begin as a copy of G_0.
        super().__init__(config, aspect_ratio, 3, decoder=_singan_block(config, 0))
        self.register_buffer("reconstruction_noise", torch.randn(1, 3, *self.sizes[0]))

    def new_block(self) -> nn.Module:
        """Return the block of the next scale: a copy of the one below where that is as wide, else fresh."""
        scale = len(self.refiners) + 1
        if self.config.channels_at(scale) == self.config.channels_at(scale - 1):
            return copy.deepcopy(self.refiners[-1] if self.refiners else self.decoder)
        return _singan_block(self.config, scale)

    def new_discriminator(self) -> ConvBlock:
        """Return D_n of the newest scale n: an image (N, 3, h, w) to a map of scores (N, 1, h, w)."""
        channels = self.config.channels_at(len(self.refiners))
        return ConvBlock(3, 1, channels, self.config.layers, spectral_norm=True)

    def noisy(self, scale: int) -> bool:  # noqa: ARG002
        """Return True: noise enters at every scale."""
        return True

    def enlarge(
        self, image: Float[Tensor, "n 3 _ _"], scale: int, width: int | None = None
    ) -> Float[Tensor, "n 3 h w"]:
        """Return up(x_{n-1}): an image of the scale below, clipped to [-1, 1], at the size of `scale`."""
        return super().enlarge(image.clamp(-1, 1), scale, width)

    def combine(
        self, enlarged: Float[Tensor, "n 3 h w"], output: Float[Tensor, "n 3 h w"]
    ) -> Float[Tensor, "n 3 h w"]:
        """Return x_n = up(x_{n-1}) + tanh(G_n(up(x_{n-1}) + a_n z_n)), in [-2, 2]."""
        return enlarged + torch.tanh(output)


def _singan_block(config: SinGANConfig, scale: int) -> ConvBlock:
    return ConvBlock(3, 3, config.channels_at(scale), config.layers, batch_norm=True)


_CLASSES = {HPVAEGANConfig: HPVAEGAN, SinGANConfig: SinGAN, PatchesConfig: Patches}


def new_generator(config: SizesConfig, aspect_ratio: float) -> Generator:
    """Return the generator that a configuration is of, before it learned or was given its photo."""
    generator: Generator = _CLASSES[type(config)](config, aspect_ratio)
    return generator
