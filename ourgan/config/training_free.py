"""Generators of step 1 that learn nothing: they hold the photo, and these are their settings."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ourgan._core.strict_toml import inline, one_of
from ourgan.config.sizes import SizesConfig, check_range

STARTS = ("shuffled", "noisy")


@dataclasses.dataclass(frozen=True)
class PatchesConfig(SizesConfig):
    """Patches of the photo, found and voted from the coarsest size up (GPNN, Granot et al. 2022).

    GPNN itself is `start = "noisy"`, `vertical`, `reuse`, `alone` and `finer_noise` 0.
    """

    refinements: int = 9  # sizes above the first: the sizes of OUR-GAN
    # What is redrawn at the first size: the photo cut into squares, each moved by noise; or with noise added.
    start: str = "shuffled"
    piece: int = 12  # side of a square, in pixels of the first size
    sideways: float = 1.0  # deviation of its way, in widths of the photo; at its borders it is reflected
    upwards: float = 0.05  # the same, in heights
    noise: float = 0.75  # deviation of a noisy start, for pixels from 0 to 1
    finer_noise: float = 0.1  # that of the noise at each size above
    vertical: float = 60.0  # lambda of the height's term in the distance of two patches; 0 leaves it out
    reuse: float = 1.0  # price of a patch that is used more than the mean, see `projection.search.Distance`
    alone: float = 0.0  # price of a patch that does not continue its neighbour, see there
    mirror: bool = False  # whether the mirrored photo has patches, too
    first_passes: int = 8  # searches and votes at the first size
    passes: int = 4  # at each other size

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("start", self.start, STARTS)
        check_range(self, 1, 64, "refinements", "first_passes", "passes")
        check_range(self, 1, 4096, "piece")
        check_range(self, 0, 1e4, "sideways", "upwards", "noise", "finer_noise", "vertical", "reuse", "alone")

    @property
    def generator(self) -> str:
        """The name among GENERATORS."""
        return "patches"

    @property
    def scales(self) -> int:
        """The number of scales, the coarsest one included."""
        return 1 + self.refinements

    @property
    def coordinate(self) -> bool:
        """Whether patches are sought near their own height."""
        return self.vertical > 0


@dataclasses.dataclass(frozen=True)
class PatchesStructureConfig:
    """Patches of the photo: the section [patches] of a profile."""

    network: PatchesConfig = inline(PatchesConfig)
    training: ClassVar[None] = None
