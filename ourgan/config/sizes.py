"""The sizes at which every generator of step 1 draws, from the coarsest to the scene's (Sec. 3.2)."""

from __future__ import annotations

import dataclasses
import math

from ourgan._core.strict_toml import at_least, at_most, one_of


@dataclasses.dataclass(frozen=True)
class SizesConfig:
    """Defaults are the paper's; what the paper leaves open is named and explained."""

    width: int = 256  # "GT size" of Table H.1: the width of the last scale, as Table 1 confirms
    min_width: int = 32  # of the first scale, before the rounding of the pyramid
    pyramid: str = "official"  # "official": ceil(width r^k), 33 41 51 ... 256; "rounded": 32 40 51 ...

    def __post_init__(self) -> None:
        one_of("pyramid", self.pyramid, ("official", "rounded"))
        at_least("width", self.width, 16)
        at_least("min_width", self.min_width, 8)
        at_least("width", self.width, self.min_width)
        check_range(self, 1, 4096, "width")

    @property
    def generator(self) -> str:
        """The name among GENERATORS."""
        raise NotImplementedError

    @property
    def scales(self) -> int:
        """The number of scales, the coarsest one included."""
        raise NotImplementedError

    @property
    def coordinate(self) -> bool:
        """Whether the generator knows how high in the scene it draws."""
        return False

    def sizes(self, aspect_ratio: float) -> tuple[tuple[int, int], ...]:
        """Return (height, width) of every scale for a photo of height / width = `aspect_ratio`.

        The width follows the geometric pyramid whose effective factor makes `scales` steps from
        `min_width` to `width` (0.794 for the paper's 10 scales; its 0.75 is nominal). "official" is
        the public code's ceil, taken in float64, so that 32.00000000000002 becomes 33.
        """
        last = self.scales - 1
        factor = math.pow(self.min_width / self.width, 1 / last)
        exact = [self.width * math.pow(factor, last - i) for i in range(self.scales)]
        widths = [math.ceil(w) if self.pyramid == "official" else round(w) for w in exact]
        return tuple((max(1, int(w * aspect_ratio)), w) for w in widths)


def check_range(config: object, least: float, most: float, *keys: str) -> None:
    """Raise ConfigError for a key of `config` that is not within a range.

    Upper limits are far above any use: a model from elsewhere must not keep this machine busy.
    """
    for key in keys:
        at_least(key, getattr(config, key), least)
        at_most(key, getattr(config, key), most)
