"""The networks of SinGAN (Shaham et al. 2019), a generator that ours is compared with (Sec. 4).

One convolutional block a scale. The coarsest draws an image from spatial noise, every other adds detail
to the enlarged image of the scale below:

    x_0 = tanh(G_0(z_0)),      x_n = up(x_{n-1}) + tanh(G_n(up(x_{n-1}) + a_n z_n))

It stands on the pyramid, the blocks and the discriminator of `hp_vae_gan`, so that a comparison is one of
methods and not of codes. Where that departs from the public code, and why:

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
from jaxtyping import Float
from torch import Tensor, nn

from ourgan.config.structure import SinGANConfig
from ourgan.models.pyramid import ConvBlock, GlobalGenerator

CHANNELS = 3  # of the noise at every scale: an image's, so that G_1 can begin as a copy of G_0


def block(config: SinGANConfig, scale: int) -> ConvBlock:
    """Build G_n: noise or a noisy image (N, 3, h, w) to an image (N, 3, h, w), before the tanh."""
    return ConvBlock(3, 3, config.channels_at(scale), config.layers, batch_norm=True)


def discriminator(config: SinGANConfig, scale: int) -> ConvBlock:
    """Build D_n, which judges patches: an image (N, 3, h, w) to a map of scores (N, 1, h, w)."""
    return ConvBlock(3, 1, config.channels_at(scale), config.layers, spectral_norm=True)


class SinGAN(GlobalGenerator):
    """The blocks grown so far, G_0 as `decoder`, and z*. Args: as `GlobalGenerator`."""

    config: SinGANConfig
    reconstruction_noise: Tensor  # z*, (1, 3, h_0, w_0): the noise from which the photo is reconstructed

    def __init__(self, config: SinGANConfig, aspect_ratio: float) -> None:
        super().__init__(config, aspect_ratio, CHANNELS, decoder=block(config, 0))
        self.register_buffer("reconstruction_noise", torch.randn(1, CHANNELS, *self.sizes[0]))

    def new_block(self) -> nn.Module:
        """Return the block of the next scale: a copy of the one below where that is as wide, else fresh."""
        scale = len(self.refiners) + 1
        if self.config.channels_at(scale) == self.config.channels_at(scale - 1):
            return copy.deepcopy(self.refiners[-1] if self.refiners else self.decoder)
        return block(self.config, scale)

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
