"""The networks of step 1: HP-VAE-GAN with vertical coordinate convolution (Sec. 3.2, Eq. 1 to 3).

Images in here are float32 in [-1, 1]. Convolutions run in `compute_dtype`; the parameters, the
images between the stages and the latent stay in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ourgan.config import GlobalStructureConfig
from ourgan.models.coordconv import VerticalCoordConv2d

SLOPE = 0.2  # of every LeakyReLU


class _ConvStack(nn.Module):
    """Head, `layers` middle convolutions and a plain tail; 15x15 receptive field with 5 layers."""

    def __init__(
        self,
        channels: Sequence[int],
        *,
        coordinate: bool,
        coordinate_padding: str,
        batch_norm: bool = False,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        last = len(channels) - 2
        self.convolutions = nn.ModuleList(
            VerticalCoordConv2d(
                channels[i],
                channels[i + 1],
                coordinate=coordinate,
                coordinate_padding=coordinate_padding,
                spectral_norm=spectral_norm and i < last,
            )
            for i in range(len(channels) - 1)
        )
        # No running statistics: the public code never leaves training mode, so every picture is
        # normalised by the statistics of its own batch, when sampling as in training.
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width, track_running_stats=False) for width in channels[1:-1] if batch_norm
        )

    def forward(self, x: Tensor) -> Tensor:
        *hidden, tail = self.convolutions
        for i, convolution in enumerate(hidden):
            x = convolution(x)
            if self.norms:
                x = self.norms[i](x)
            x = F.leaky_relu_(x, SLOPE)
        result: Tensor = tail(x)
        return result


class Encoder(nn.Module):
    """E: the photo at scale 0 (N, 3, h, w) to mean and log variance of the latent (N, 128, h, w)."""

    def __init__(self, config: GlobalStructureConfig) -> None:
        super().__init__()
        width, latent = config.channels, config.latent_channels

        def convolution(inputs: int, outputs: int, spectral_norm: bool = False) -> VerticalCoordConv2d:
            return VerticalCoordConv2d(
                inputs,
                outputs,
                coordinate=config.coordinate_encoder,
                coordinate_padding=config.coordinate_padding,
                spectral_norm=spectral_norm,
            )

        # `encoder_blocks` = 2 yields three convolutions: a first, n - 1 middle ones and a last.
        ins = [3] + [width] * config.encoder_blocks
        self.features = nn.ModuleList(convolution(c, width, spectral_norm=True) for c in ins)
        self.mean = convolution(width, latent)
        self.log_variance = convolution(width, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for convolution in self.features:
            x = F.leaky_relu_(convolution(x), SLOPE)
        return _wide(self.mean(x)), _wide(self.log_variance(x))


class Decoder(_ConvStack):
    """G_0 of Eq. 1: a latent (N, 128, h, w) to an image (N, 3, h, w), before the tanh."""

    def __init__(self, config: GlobalStructureConfig) -> None:
        super().__init__(
            [config.latent_channels, *[config.channels] * (config.layers + 1), 3],
            coordinate=config.coordinate_generator,
            coordinate_padding=config.coordinate_padding,
            batch_norm=True,
        )


class Refiner(_ConvStack):
    """G_m of Eq. 2 and 3, m >= 1: an enlarged image (N, 3, h, w) to what is to be added to it."""

    def __init__(self, config: GlobalStructureConfig) -> None:
        super().__init__(
            [3, *[config.channels] * (config.layers + 1), 3],
            coordinate=config.coordinate_generator,
            coordinate_padding=config.coordinate_padding,
            batch_norm=True,
        )


class Discriminator(_ConvStack):
    """D_m, a patch critic: an image (N, 3, h, w) to a map of scores (N, 1, h, w)."""

    def __init__(self, config: GlobalStructureConfig) -> None:
        super().__init__(
            [3, *[config.channels] * (config.layers + 1), 1],
            coordinate=config.coordinate_discriminator,
            coordinate_padding=config.coordinate_padding,
            spectral_norm=True,
        )


class GlobalGenerator(nn.Module):
    """E, G_0 and the refiners grown so far, with the noise amplitude of each scale.

    Args:
        config: sizes of networks and pyramid.
        aspect_ratio: height / width of the training photo.
    """

    def __init__(self, config: GlobalStructureConfig, aspect_ratio: float) -> None:
        super().__init__()
        self.config = config
        self.aspect_ratio = aspect_ratio
        self.sizes = config.sizes(aspect_ratio)
        self.compute_dtype = torch.float32
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.refiners = nn.ModuleList()
        self.noise_amplitudes: list[float] = [1.0]  # a_0 is the latent's and stays 1

    def grow(self) -> None:
        """Add the refiner of the next scale: the first fresh, each later one a copy of the last."""
        fresh = not len(self.refiners)
        self.refiners.append(Refiner(self.config) if fresh else copy.deepcopy(self.refiners[-1]))
        self.noise_amplitudes.append(0.0)

    def encode(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent for the photo at scale 0, (N, 3, h, w)."""
        mean, log_variance = self.encoder(self._computed(photo))
        return mean, log_variance

    def decode(self, latent: Tensor) -> Tensor:
        """Eq. 1: x_0 = tanh(G_0(z_0))."""
        return torch.tanh(_wide(self.decoder(self._computed(latent))))

    def refine(
        self, image: Tensor, scale: int, noise: Tensor | None = None, width: int | None = None
    ) -> Tensor:
        """Eq. 2 (no noise) or Eq. 3 at `scale`; `width` overrides that of the pyramid.

        x_m = tanh(up(x_{m-1}) + G_m(up(x_{m-1}) + a_m n)). The public code applies the tanh at every
        scale; the paper's formula omits it.
        """
        height, default = self.sizes[scale]
        enlarged = F.interpolate(
            image,
            (height, width or default),
            mode="bilinear",
            align_corners=self.config.align_corners,
        )
        seen = enlarged if noise is None else enlarged + self.noise_amplitudes[scale] * noise
        return torch.tanh(_wide(self.refiners[scale - 1](self._computed(seen))) + enlarged)

    def scale_widths(self, width: int) -> list[int]:
        """Widths of the pyramid for a scene of `width` pixels: heights never change."""
        ratio = width / self.sizes[-1][1]
        return [max(3, round(w * ratio)) for _, w in self.sizes[:-1]] + [width]

    def draw(
        self,
        normal: Callable[[int, int, int, int], Tensor],
        *,
        width: int | None = None,
        noise_scales: Sequence[float] | None = None,
        inject_at: tuple[int, Tensor] | None = None,
    ) -> Tensor:
        """Draw one scene, (1, 3, H, W) in [-1, 1], from the scales grown so far.

        Args:
            normal: `normal(scale, channels, h, w)` gives standard normal noise (channels, h, w).
            width: of the finished scene in pixels; the photo's own when None.
            noise_scales: factor on the noise of each scale, 1 as trained.
            inject_at: (scale, image) begins at `scale`, 1 or above, with `image` (3, h, w) in [-1, 1] in
                place of what the scales below would have drawn: of any size, it is reduced to theirs.

        Raises ValueError for an image injected at a scale that is not there.
        """
        last = len(self.refiners)
        widths = [w for _, w in self.sizes] if width is None else self.scale_widths(width)
        factors = [1.0] * (last + 1) if noise_scales is None else list(noise_scales)
        if inject_at is None:
            first = 1
            latent = normal(0, self.config.latent_channels, self.sizes[0][0], widths[0])
            image = self.decode(factors[0] * latent.unsqueeze(0))
        else:
            first, injected = inject_at
            if not 1 <= first <= last:
                raise ValueError(f"inject_at scale {first}: this generator refines at 1 to {last}")
            size = (self.sizes[first - 1][0], widths[first - 1])
            image = F.interpolate(injected.unsqueeze(0), size, mode="bilinear", antialias=True)
        for scale in range(first, last + 1):
            noise = None
            if self.noisy(scale):
                noise = factors[scale] * normal(scale, 3, self.sizes[scale][0], widths[scale]).unsqueeze(0)
            image = self.refine(image, scale, noise, widths[scale])
        return image

    def noisy(self, scale: int) -> bool:
        """Whether noise enters at `scale` when sampling: Eq. 3, and Eq. 2 too where configured."""
        return scale > self.config.vae_refinements or (scale > 0 and self.config.vae_noise)

    def _computed(self, x: Tensor) -> Tensor:
        return x.to(self.compute_dtype, memory_format=torch.channels_last)


def _wide(x: Tensor) -> Tensor:
    """What leaves a network, in float32 at least."""
    return x if x.dtype == torch.float64 else x.float()
