"""What every generator of step 1 is: from noise to a scene, whether it learned anything or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ourgan._core.errors import OurganError
from ourgan.config.sizes import SizesConfig

MAX_WIDTH_FACTOR = 16  # of a scene against the photo's own width
MARGIN_SHARE = 8  # of the photo's width: streaks end there, measured on the shipped model
Normal = Callable[[int, int, int, int], Tensor]  # (scale, channels, h, w) to noise (channels, h, w)


class Generator(nn.Module):
    """Step 1: scenes at the sizes of `config`. `aspect_ratio` is the photo's height / width.

    Attributes:
        sizes: (height, width) of every scale, the scene's last.
        noise_amplitudes: those that were learned, of each scale grown so far.
        compute_dtype: of networks; images are float32.
    """

    config: SizesConfig
    compute_dtype = torch.float32

    def __init__(self, config: SizesConfig, aspect_ratio: float) -> None:
        super().__init__()
        self.config = config
        self.aspect_ratio = aspect_ratio
        self.sizes = config.sizes(aspect_ratio)
        self.noise_amplitudes: list[float] = []

    @property
    def last_scale(self) -> int:
        """The scale that a scene is drawn at: an image may be injected at 1 up to this."""
        return len(self.sizes) - 1

    @property
    def margin(self) -> int:
        """How far columns near a border look different from all others, in pixels, as with zero padding."""
        return self.sizes[-1][1] // MARGIN_SHARE

    @property
    def narrowest(self) -> int:
        """The least width of a scene, in pixels."""
        return 16

    def noisy(self, scale: int) -> bool:
        """Return whether noise enters at `scale` when sampling."""
        raise NotImplementedError

    def draw(
        self,
        normal: Normal,
        *,
        width: int | None = None,
        noise_scales: Sequence[float] | None = None,
        inject_at: tuple[int, Float[Tensor, "3 _ _"]] | None = None,
    ) -> Float[Tensor, "1 3 h w"]:
        """Draw one scene, in [-1, 1].

        Args:
            normal: standard normal noise.
            width: in pixels; None: as wide as the photo.
            noise_scales: a factor on the noise of each scale, 1 as trained.
            inject_at: (scale, image): begin at `scale`, 1 or above, with an image in [-1, 1] instead of what
                the scales below would have drawn: of any size, it is reduced to theirs.

        Raises:
            ValueError: for an image injected at a scale that is not there.
        """
        raise NotImplementedError

    def check_scale(self, scale: int) -> None:
        """Raise ValueError for a scale at which no image can be injected."""
        if not 1 <= scale <= self.last_scale:
            raise ValueError(f"inject_at scale {scale}: this generator refines at 1 to {self.last_scale}")

    def scene_size(
        self, width: int | None = None, image: Float[Tensor, "3 h w"] | None = None
    ) -> tuple[int, int]:
        """Return (height, width) of a scene, the photo's if `width` is None, or of an image in its place.

        Raises OurganError for a width that this model does not draw.
        """
        if image is not None:
            return image.shape[1], image.shape[2]
        height, own = self.sizes[-1]
        most = own * MAX_WIDTH_FACTOR
        if width is not None and not self.narrowest <= width <= most:
            raise OurganError(f"width {width}: this model draws {self.narrowest} to {most} pixels in step 1")
        return height, width or own

    def scale_widths(self, width: int) -> list[int]:
        """Return the width of every scale for a scene of `width` pixels: heights never change."""
        ratio = width / self.sizes[-1][1]
        return [max(3, round(w * ratio)) for _, w in self.sizes[:-1]] + [width]
