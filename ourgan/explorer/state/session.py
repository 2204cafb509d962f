"""What one explorer knows: its models, the scene shown and how, how it came to be, and the favourites."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.explorer.state.background import ByteCache
from ourgan.explorer.state.edits import Edit
from ourgan.explorer.state.favourites import Favourites
from ourgan.explorer.state.scene import (
    MAX_SEED,
    Scene,
    SceneError,
    check_scene,
    draw_unedited,
    harmonise,
    interpolate,
)
from ourgan.explorer.state.switches import Switches, project
from ourgan.pipeline import OurGAN

MAX_UNDO = 50
WIDTHS = (0.5, 4.0)  # of a scene, as multiples of the photo's
PAGE = 12  # samples on a page of the gallery: of any width, 12 fill whole rows of 2, 3, 4 or 6


class Session:
    """The scene that is being looked at, its history, and the pictures drawn so far.

    Args:
        model: the model shown first.
        other: its twin that has the vertical coordinate where the first has not, or the other way round.
        out: directory that everything is saved in.

    Attributes:
        switches: how scenes are shown and rendered; the paper's way until they are set.

    Raises:
        SceneError: for two models that do not differ in the coordinate, or not of one size.
    """

    def __init__(self, model: OurGAN, other: OurGAN | None = None, out: Path | None = None) -> None:
        self.models = {_has_coordinate(each): each for each in (other, model) if each is not None}
        if other is not None and (len(self.models) < 2 or other.generator.sizes != model.generator.sizes):
            raise SceneError("the other model must be of the same size and differ in the vertical coordinate")
        self.coordinate = _has_coordinate(model)
        self.out = out or Path("runs") / "explorer"
        self.scene, self.switches = Scene(), Switches()
        self.cache = ByteCache()
        self.favourites = Favourites(model.directory)
        self._before: list[Scene] = []
        self._slid = False

    @property
    def model(self) -> OurGAN:
        """The model that draws, as `coordinate` says."""
        return self.models[self.coordinate]

    @property
    def own_width(self) -> int:
        """The photo's width in pixels of step 1."""
        return self.model.generator.sizes[-1][1]

    @property
    def width(self) -> int:
        """The width of the scene shown, in pixels of step 1."""
        return self.scene.width or self.own_width

    @property
    def height(self) -> int:
        """The height of every scene, in pixels of step 1."""
        return self.model.generator.sizes[-1][0]

    def directory(self) -> Path:
        """Return the directory that everything is saved in, made if need be; OurganError if it cannot be."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OurganError(f"{self.out}: cannot be made ({error.strerror or error})") from error
        return self.out

    def picture(self, scene: Scene | None = None) -> Float[Tensor, "3 h w"]:
        """Return the picture of a scene, of the one shown when None, in [0, 1], as it is shown now."""
        return self.show_as(self.switches, self.model, scene or self.scene)

    def show_as(self, switches: Switches, model: OurGAN, scene: Scene) -> Float[Tensor, "3 h w"]:
        """Return a scene's picture in [0, 1] as drawn or redrawn, in any thread; seconds, unless cached."""
        if switches.scene == "drawn":
            return self.draw(model, scene)
        key = (_has_coordinate(model), scene, switches.scene)
        return self.cache.find_or_make(key, lambda: project(model, self.draw(model, scene), switches.photo))

    def is_redrawn(self, model: OurGAN, scene: Scene) -> bool:
        """Return whether a scene's projection is in the cache."""
        return self.cache.find((_has_coordinate(model), scene, "projected")) is not None

    def draw(self, model: OurGAN, scene: Scene) -> Float[Tensor, "3 h w"]:
        """Return a scene in [0, 1] as step 1 draws it, in any thread; seconds, unless cached.

        All edits but the last are looked up, too, so that an edit costs one pass and not all.
        """

        def make() -> Tensor:
            if not scene.edits:
                return draw_unedited(model, scene)
            before = self.draw(model, dataclasses.replace(scene, edits=scene.edits[:-1]))
            return harmonise(model, scene, scene.edits[-1], before)

        return self.cache.find_or_make((_has_coordinate(model), scene), make)

    def thumbnail(self, switches: Switches, scene: Scene) -> Float[Tensor, "3 h w"]:
        """Return the picture of a scene of the gallery: as wide as the photo, or a page would take minutes.

        One with edits keeps its width, because they may lie beyond the photo's.
        """
        scene = scene if scene.edits else dataclasses.replace(scene, width=None)
        return self.show_as(switches, self.model, scene)

    # -- changes ----------------------------------------------------------------------------------

    def show(self, scene: Scene) -> None:
        """Show another scene; `undo` comes back."""
        check_scene(self.model, scene)
        if scene != self.scene:
            self._slid = False
            self._before = [*self._before, self.scene][-MAX_UNDO:]
            self.scene = scene

    def change(self, **fields: Any) -> None:
        """Change fields of the scene."""
        self.show(dataclasses.replace(self.scene, **fields))

    def move(self, to_seed: int, fraction: float) -> None:
        """Go to `fraction` of the way to another seed; one step to undo, however long one slides or plays."""
        sliding, before = self._slid, self._before
        self.show(interpolate(self.scene, to_seed, fraction))
        if sliding:
            self._before = before
        self._slid = True

    def pick(self, which: str, scene: Scene) -> None:
        """Show a scene of the gallery: a favourite as it was, another in the width that is set now."""
        self.show(scene if which == "favourites" else dataclasses.replace(scene, width=self.scene.width))

    def set_width(self, factor: float) -> None:
        """Make the scene `factor` times as wide as the photo; OurganError for one not in 0.5 to 4."""
        if not WIDTHS[0] <= factor <= WIDTHS[1]:
            raise SceneError(f"width factor {factor:g}: use {WIDTHS[0]} to {WIDTHS[1]:g}")
        width = round(self.own_width * factor)
        self.change(width=None if width == self.own_width else width)

    def set_noise_scale(self, scale: int, factor: float) -> None:
        """Set the factor on the noise of one scale; 1 is as trained."""
        factors = list(self.scene.noise_scales or (1.0,) * len(self.model.generator.sizes))
        factors[scale] = float(factor)
        self.change(noise_scales=() if all(f == 1 for f in factors) else tuple(factors))

    def set_coordinate(self, on: bool) -> None:
        """Draw with the model that has the vertical coordinate, or with its twin; SceneError without one."""
        if on not in self.models:
            raise SceneError("there is no such model here; give Explorer its twin as `other`")
        self.coordinate = on

    def edit(self, edit: Edit) -> None:
        """Add an edit to the scene; raise EditError for one that lies outside its picture."""
        edit.check(self.height, self.width)
        self.change(edits=(*self.scene.edits, edit))

    def undo(self) -> bool:
        """Go back to the scene before; return whether there was one."""
        if not self._before:
            return False
        self.scene = self._before.pop()
        self._slid = False
        return True

    def page(self, which: str, number: int, scale: int = 1) -> list[Scene]:
        """Return the scenes of a page of the gallery.

        Args:
            which: "seeds", "favourites", or "like this": the scene shown with other noise from `scale` on.
            number: of the page, from 0.
            scale: first one with other noise; the coarser ones keep their own.
        """
        first = max(0, number) * PAGE
        if which == "favourites":
            return self.favourites.scenes()[first : first + PAGE]
        seeds = range(first, min(first + PAGE, MAX_SEED + 1))
        if which == "seeds":
            return [Scene(seed=seed, noise_scales=self.scene.noise_scales) for seed in seeds]
        if which != "like this":
            raise OurganError(f"gallery of '{which}': use seeds, favourites or like this")
        # Not 0, 1, 2, ...: the fine noise of every scene's relatives would be the same.
        own = dataclasses.replace(self.scene, width=None, edits=(), resample_from=scale)
        return [
            dataclasses.replace(own, resample_seed=(own.seed + 7919 * (1 + seed)) % MAX_SEED)
            for seed in seeds
        ]


def _has_coordinate(model: OurGAN) -> bool:
    return model.generator.config.coordinate
