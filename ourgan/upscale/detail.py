"""Two switches of a picture: what its scene is made of, and where its detail is from.

A scene is `drawn` by step 1, or `projected`: redrawn from the patches of the model's photo. Its detail is
made by the `network` of steps 2 to 4, or is the `photo`'s own pixels at the picture's size. The paper's is
drawn and network.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from cachetools import LRUCache
from jaxtyping import Float
from torch import Tensor

from ourgan._core.errors import OurganError, check_choice
from ourgan.config import DETAILS, SCENES
from ourgan.io.model_dir import ModelMetadata
from ourgan.io.model_photo import find_photo
from ourgan.io.pixels import from_uint8
from ourgan.projection.carry import Pieces
from ourgan.projection.kernels import is_compiled
from ourgan.projection.search import Pixels
from ourgan.upscale.crop import Box, WindowSource
from ourgan.upscale.enlarged_photo import EnlargedPhoto
from ourgan.upscale.parts import NetworkRows, Parts
from ourgan.upscale.photo_patches import PhotoPatches, PhotoRows, Size, window
from ourgan.upscale.upscaler import Upscaler

log = logging.getLogger(__name__)

REMEMBERED = 4  # scenes whose pieces are kept for windows, some 10 MB each
Value = TypeVar("Value")


@dataclass(frozen=True)
class Look:
    """What was decided for a picture: its two switches, the photo if they need it, and that enlarged."""

    scene: str = "drawn"
    detail: str = "network"
    patches: PhotoPatches | None = None
    enlarged: EnlargedPhoto | None = None
    why: str = ""  # the photo was not taken, where "auto" would have it

    def describe(self) -> dict[str, Any]:
        """Return what of it decides the pixels, in JSON values; nothing for the paper's way."""
        if self.patches is None:
            return {}
        return {"scene": self.scene, "detail": self.detail, **self.patches.describe()}

    def begin(self, scene: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
        """Return what is enlarged: the scene, or for networks its projection. `rows` projects by itself."""
        if self.patches is None or self.detail == "photo":
            return scene
        return from_uint8(self.patches.project(scene).picture)

    def rows(
        self,
        upscaler: Upscaler,
        scene: Float[Tensor, "3 h w"],
        seed: int,
        steps: Sequence[int],
        parts: Parts | None = None,
        **options: Any,
    ) -> NetworkRows | PhotoRows:
        """Return what makes the rows of a picture.

        Args:
            upscaler: steps 2 to 4.
            scene: from `begin`.
            seed: of the noise.
            steps: the paper's numbers, 2 and on.
            parts: workers for the networks.
            options: of `Upscaler.plan`.
        """
        if self.patches is not None and self.detail == "photo":
            return PhotoRows(self.patches, scene, 4 ** len(steps), self.enlarged)
        return NetworkRows(upscaler, scene, seed, upscaler.plan(scene, steps, **options), parts)


@dataclass(frozen=True)
class Wish:
    """What the user asked for: the two switches, each of which may be "auto", a photo's file, novelty."""

    scene: str
    detail: str
    photo: str | os.PathLike[str] | None = None
    novelty: float | None = None

    def __post_init__(self) -> None:
        check_choice("scene", self.scene, SCENES)
        check_choice("detail", self.detail, DETAILS)
        if self.novelty is not None and not 0 <= self.novelty <= 1:
            raise OurganError(f"novelty {self.novelty}: use a number from 0 to 1")
        if self.scene == "drawn" and (self._given or self.detail == "photo"):
            what = "detail photo" if self.detail == "photo" else "a photo" if self.photo else "novelty"
            raise OurganError(f"{what} does not go with scene drawn: take scene projected, or leave it out")

    @property
    def _given(self) -> bool:
        """Whether something was given that only projected scenes obey."""
        return self.photo is not None or self.novelty is not None

    def decide(
        self,
        metadata: ModelMetadata,
        directory: Path | None,
        sizes: tuple[Size, Size],
        steps: Sequence[int],
        upscaler: Upscaler | None = None,
        **network_only: Any,
    ) -> Look:
        """Decide: `auto` takes the photo where that can be done, and says in the log what was taken and why.

        Args:
            metadata: of the model.
            directory: of the model.
            sizes: (height, width) of the model's own scenes, which is the photo's there, and of this scene.
            steps: of the picture.
            upscaler: enlarges the photo where a picture shows it beyond its own size; without one it is
                refused.
            network_only: options that only networks obey; None or "auto" where nothing is asked for.

        Raises:
            OurganError: in one line, for no photo or another one, a photo smaller than the scene, options
                that cannot be obeyed, and an enlarged photo that cannot be made or kept.
        """

        def patches() -> PhotoPatches:
            (height, width), scene = sizes
            size = (scene[0], max(1, round(width * scene[0] / height)))
            return PhotoPatches.read(find_photo(metadata, directory, self.photo), size, scene, self.novelty)

        scene, detail, given = self.scene, self.detail, self._given
        if scene == "drawn" or (scene == "auto" and detail == "network" and not given):
            return Look()
        if detail == "network":
            return Look("projected", detail, patches())
        try:
            for name in (name for name, value in network_only.items() if value not in (None, "auto")):
                line = f"{name.replace('_', '-')} is for networks, and detail photo has none"
                raise OurganError(f"{line}: leave it out, or take detail network")
            if detail == "auto" and not is_compiled():
                raise OurganError("numba, which makes that fast, is not installed")
            own = patches()
            enlarged = own.enlarged(upscaler, steps)
        except OurganError as error:
            if detail == "photo" or given:
                raise
            look = Look() if scene == "auto" else Look("projected", "network", patches())
            look = replace(look, why=str(error))
            log.info("scene %s, detail from the network: %s", look.scene, error)
            return look
        if detail == "auto":
            log.info("scene projected, detail from the photo, %s", own.photo.path)
        return Look("projected", "photo", own, enlarged)


class Windows:
    """Windows of large pictures of the last few scenes, of one model; for any threads."""

    def __init__(self) -> None:
        self._network = WindowSource()
        self._pieces: LRUCache[Hashable, Pieces] = LRUCache(REMEMBERED)
        self._scaled: LRUCache[Hashable, Pixels] = LRUCache(1)
        self._lock = threading.Lock()

    def crop(
        self,
        look: Look,
        upscaler: Upscaler,
        key: tuple[Hashable, ...],
        draw: Callable[[], Float[Tensor, "3 h w"]],
        seed: int,
        steps: Sequence[int],
        box: Box,
        tolerance: float,
    ) -> Float[Tensor, "3 h w"]:
        """Return the pixels `box` of a scene's picture, in [0, 1]; of detail photo they are exact.

        Args:
            look: of the picture.
            upscaler: the same at every call.
            key: of the scene.
            draw: draws it, if it is not among the last few.
            seed: of the noise.
            steps: the paper's numbers, 2 and on.
            box: (x, y, w, h), pixels of the picture.
            tolerance: of networks, see `WindowSource.crop`.

        Raises:
            CropError: for a window that is not within the picture.
        """
        patches = look.patches
        if patches is None or look.detail == "network":
            key = (*key, look.scene, patches and (patches.photo.sha256, patches.schedule))
            return self._network.crop(upscaler, key, lambda: look.begin(draw()), seed, steps, box, tolerance)
        scale, sha256 = 4 ** len(steps), patches.photo.sha256
        with self._lock:
            pieces = _remembered(
                self._pieces, (*key, sha256, patches.schedule), lambda: patches.pieces(draw())
            )
            photo = look.enlarged or _remembered(
                self._scaled, (sha256, patches.size, scale), lambda: patches.scaled(scale)
            )
        return window(pieces, photo, scale, box)


def _remembered(kept: LRUCache[Hashable, Value], key: Hashable, make: Callable[[], Value]) -> Value:
    if key not in kept:
        kept[key] = make()
    return kept[key]
