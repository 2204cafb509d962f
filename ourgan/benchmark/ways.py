"""The ways of drawing that are compared: what a scene is made of, and where its detail is from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ourgan.io.model_dir import ModelMetadata
from ourgan.upscale.detail import Look, Wish

NONE = "none"  # in a column of the table: there is no such thing
PIXELS = 2  # to be raised when the same projection would give other pixels


@dataclasses.dataclass(frozen=True, order=True)
class Way:
    """The two switches of a picture, see `ourgan.upscale.detail`."""

    scene: str = "drawn"
    detail: str = "network"

    def look(self, photo: Path, own: tuple[int, int], scene: tuple[int, int], steps: Sequence[int]) -> Look:
        """Return what is decided for a picture.

        Args:
            photo: the photo's file.
            own: (height, width) of the photo at the scale of step 1, or of any other size of that shape.
            scene: (height, width) of the scene.
            steps: of the picture.

        Raises:
            OurganError: if the photo is too small for it.
        """
        given = None if self.scene == "drawn" else photo
        return Wish(self.scene, self.detail, given).decide(ModelMetadata(), None, (own, scene), steps)


PAPER = Way()
WAYS = {"paper": PAPER, "middle": Way("projected", "network"), "photo": Way("projected", "photo")}
