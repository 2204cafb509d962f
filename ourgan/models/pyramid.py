"""A pyramid of scales, each with a convolutional block: what the generators that learn share (Sec. 3.2).

Images in here are float32 in [-1, 1]. Convolutions run in `compute_dtype`; the parameters, the
images between the scales and the latent stay in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ourgan.config.structure import PyramidConfig
from ourgan.models.coordconv import VerticalCoordConv2d
from ourgan.models.generator import Generator, Normal

SLOPE = 0.2  # of every LeakyReLU


class ConvBlock(nn.Module):
    """A head, `layers` middle convolutions and a plain tail; 15x15 receptive field with 5 layers."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: int,
        layers: int,
        *,
        coordinate: bool = False,
        coordinate_padding: str = "zeros",
        batch_norm: bool = False,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        widths = [inputs, *[channels] * (layers + 1), outputs]
        last = len(widths) - 2
        self.convolutions = nn.ModuleList(
            VerticalCoordConv2d(
                widths[i],
                widths[i + 1],
                coordinate=coordinate,
                coordinate_padding=coordinate_padding,
                spectral_norm=spectral_norm and i < last,
            )
            for i in range(len(widths) - 1)
        )
        # No running statistics: the public code never leaves training mode, so every picture is
        # normalised by the statistics of its own batch, when sampling as in training.
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width, track_running_stats=False) for width in widths[1:-1] if batch_norm
        )

    def forward(self, x: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n outputs h w"]:
        """Convolve features; the height and width stay as they are."""
        *hidden, tail = self.convolutions
        for i, convolution in enumerate(hidden):
            x = convolution(x)
            if self.norms:
                x = self.norms[i](x)
            x = F.leaky_relu_(x, SLOPE)
        result: Tensor = tail(x)
        return result


class GlobalGenerator(Generator):
    """A generator that learns: a block for every scale grown so far, and the noise amplitude of each scale.

    HP-VAE-GAN and SinGAN are the two there are; they say what a scale adds to the enlarged image of the scale
    below, and how the block of a new scale begins. The networks are in the order of the state dict; `decoder`
    is G_0, the block of the coarsest scale.
    """

    config: PyramidConfig
    decoder: nn.Module

    def __init__(
        self, config: PyramidConfig, aspect_ratio: float, latent_channels: int, **networks: nn.Module
    ) -> None:
        super().__init__(config, aspect_ratio)
        self.latent_channels = latent_channels
        self.compute_dtype = torch.float32
        for name, network in networks.items():
            self.add_module(name, network)
        self.refiners = nn.ModuleList()
        self.noise_amplitudes = [1.0]  # a_0 is the latent's and stays 1

    def new_block(self) -> nn.Module:
        """Return the block of the next scale, as it is before it learns."""
        raise NotImplementedError

    def new_discriminator(self) -> ConvBlock:
        """Return a discriminator for the newest scale, as it is before it learns."""
        raise NotImplementedError

    @property
    def last_scale(self) -> int:
        """The last scale grown so far."""
        return len(self.refiners)

    def combine(
        self, enlarged: Float[Tensor, "n 3 h w"], output: Float[Tensor, "n 3 h w"]
    ) -> Float[Tensor, "n 3 h w"]:
        """Return the image of a scale from the enlarged one of the scale below and its block's output."""
        raise NotImplementedError

    def grow(self) -> None:
        """Add the block of the next scale."""
        self.refiners.append(self.new_block())
        self.noise_amplitudes.append(0.0)

    def decode(self, latent: Float[Tensor, "n latent h w"]) -> Float[Tensor, "n 3 h w"]:
        """Return the image of the coarsest scale, in [-1, 1]: x_0 = tanh(G_0(z_0)), Eq. 1."""
        return torch.tanh(at_least_float32(self.decoder(self.cast(latent))))

    def enlarge(
        self, image: Float[Tensor, "n 3 _ _"], scale: int, width: int | None = None
    ) -> Float[Tensor, "n 3 h w"]:
        """Return up(x_{m-1}): an image of the scale below at the size of `scale`, bilinearly.

        `width` overrides that of the pyramid.
        """
        height, default = self.sizes[scale]
        size = (height, width or default)
        return F.interpolate(image, size, mode="bilinear", align_corners=self.config.align_corners)

    def refine(
        self,
        image: Float[Tensor, "n 3 _ _"],
        scale: int,
        noise: Float[Tensor, "n 3 h w"] | None = None,
        width: int | None = None,
    ) -> Float[Tensor, "n 3 h w"]:
        """Return the image of `scale`, 1 or above, from the image of the scale below, both in [-1, 1].

        It is enlarged, whatever its size. `noise` is standard normal, multiplied by the amplitude a_m; None
        for none (Eq. 2). `width` overrides that of the pyramid.
        """
        enlarged = self.enlarge(image, scale, width)
        seen = enlarged if noise is None else enlarged + self.noise_amplitudes[scale] * noise
        return self.combine(enlarged, at_least_float32(self.refiners[scale - 1](self.cast(seen))))

    def draw(
        self,
        normal: Normal,
        *,
        width: int | None = None,
        noise_scales: Sequence[float] | None = None,
        inject_at: tuple[int, Float[Tensor, "3 _ _"]] | None = None,
    ) -> Float[Tensor, "1 3 h w"]:
        """Draw one scene from the scales grown so far, see `Generator.draw`."""
        last = self.last_scale
        widths = [w for _, w in self.sizes] if width is None else self.scale_widths(width)
        factors = [1.0] * (last + 1) if noise_scales is None else list(noise_scales)
        if inject_at is None:
            first = 1
            latent = normal(0, self.latent_channels, self.sizes[0][0], widths[0])
            image = self.decode(factors[0] * latent.unsqueeze(0))
        else:
            first, injected = inject_at
            self.check_scale(first)
            size = (self.sizes[first - 1][0], widths[first - 1])
            image = F.interpolate(injected.unsqueeze(0), size, mode="bilinear", antialias=True)
        for scale in range(first, last + 1):
            noise = None
            if self.noisy(scale):
                noise = factors[scale] * normal(scale, 3, self.sizes[scale][0], widths[scale]).unsqueeze(0)
            image = self.refine(image, scale, noise, widths[scale])
        return image

    def cast(self, x: Tensor) -> Tensor:
        """Return `x` in the type and memory format of the convolutions."""
        return x.to(self.compute_dtype, memory_format=torch.channels_last)


def at_least_float32(x: Tensor) -> Tensor:
    """Return what leaves a network in float32 at least."""
    return x if x.dtype == torch.float64 else x.float()
