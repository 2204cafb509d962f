"""The networks of SinGAN (Shaham et al. 2019), a generator that ours is compared with (Sec. 4).

One convolutional block a scale. The coarsest draws an image from spatial noise, every other adds detail
to the enlarged image of the scale below:

    x_0 = tanh(G_0(z_0)),      x_n = up(x_{n-1}) + tanh(G_n(up(x_{n-1}) + a_n z_n))

It stands on the pyramid, the blocks and the critic of `global_generator`, so that a comparison is one of
methods and not of codes. Where that departs from the public code, and why:

* Zeros are padded inside every convolution, as everywhere here; there, once around noise and image, and
  not at all in the critic. Maps keep their size, and the explicit gradients of the critic hold. The price:
  near a border all networks know where they are, which steadies the layout more than there.
* The critic has spectral norm and no batch norm: it is ours.
* Images are enlarged bilinearly, as in Eq. 2, not bicubically. What goes up is clipped to [-1, 1] as there,
  but not truncated to 8 bits, which darkened every scale by half a level on average.
* The noise of the coarsest scale has three channels of its own; there, one that is repeated three times.
* Weights begin as torch begins them, not as N(0, 0.02).
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from ourgan.config import SinGANConfig
from ourgan.models.hp_vae_gan import GlobalGenerator, Refiner


class SinGAN(GlobalGenerator):
    """The blocks grown so far, G_0 as `decoder`, and z*: what `draw` needs is that of `GlobalGenerator`.

    Args:
        config: sizes of networks and pyramid.
        aspect_ratio: height / width of the training photo.
    """

    config: SinGANConfig
    reconstruction_noise: Tensor  # z*, (1, 3, h_0, w_0): the noise from which the photo is reconstructed

    def __init__(self, config: SinGANConfig, aspect_ratio: float) -> None:
        super().__init__(config, aspect_ratio)
        del self.encoder  # the photo is not encoded: z* stands for it
        noise = torch.randn(1, config.latent_channels, *self.sizes[0])
        self.register_buffer("reconstruction_noise", noise)

    def grow(self) -> None:
        """Add the block of the next scale: a copy of the one below where that is as wide, else fresh."""
        scale = len(self.refiners) + 1
        if self.config.channels_at(scale) == self.config.channels_at(scale - 1):
            block = copy.deepcopy(self.refiners[-1] if self.refiners else self.decoder)
        else:
            block = Refiner(self.config.at(scale))
        self.refiners.append(block)
        self.noise_amplitudes.append(0.0)

    def refine(
        self, image: Tensor, scale: int, noise: Tensor | None = None, width: int | None = None
    ) -> Tensor:
        """x_n at `scale` from x_{n-1}, both (N, 3, h, w); z_n is 0 without noise."""
        enlarged = self.enlarge(image, scale, width)
        seen = enlarged if noise is None else enlarged + self.noise_amplitudes[scale] * noise
        made: Tensor = self.refiners[scale - 1](self._computed(seen)).to(enlarged.dtype)
        return enlarged + torch.tanh(made)

    def enlarge(self, image: Tensor, scale: int, width: int | None = None) -> Tensor:
        """up(x_{n-1}): an image of the scale below, clipped to [-1, 1], at the size of `scale`."""
        height, default = self.sizes[scale]
        size = (height, width or default)
        align = self.config.align_corners
        return F.interpolate(image.clamp(-1, 1), size, mode="bilinear", align_corners=align)
