"""A scene as data: all that decides the pixels of step 1, and nothing of how it is shown."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import ConfigError, from_dict
from ourgan.explorer.state.edits import Edit
from ourgan.pipeline import OurGAN
from ourgan.upscale.noise import scene_noise

MAX_SEED = 2**31 - 1
MAX_NOISE = 100.0
MAX_EDITS = 50
MAX_CODE = 400  # characters of a scene that still count as "one line of code"
# Keys that earlier versions saved: favourites and files of JSON still have them.
_EARLIER_SCENE = {
    "strengths": "noise_scales",
    "fresh_from": "resample_from",
    "fresh_seed": "resample_seed",
    "towards": "to_seed",
    "share": "fraction",
}
_EARLIER_EDIT = {"stage": "scale"}

Noise = Callable[[int, int, int, int], Tensor]
"""`noise(scale, channels, h, w)`, standard normal, (channels, h, w)."""


class SceneError(OurganError):
    """A scene that cannot be drawn."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a scene is drawn from; equal scenes have equal pixels.

    Attributes:
        seed: of its noise, 0 to 2^31 - 1.
        width: in pixels of step 1; the photo's own when None.
        noise_scales: factor on the noise of each scale, 0 to 100; as trained when empty.
        resample_from: scale from which on the noise is that of `resample_seed` ("more like this"); 0: none.
        resample_seed: of the noise from that scale on.
        to_seed: a second seed to go towards; None: there is none.
        fraction: how much of the way to `to_seed` is gone, 0 to 1.
        edits: changes made one after the other, each handed to the generator at its scale.
    """

    seed: int = 0
    width: int | None = None
    noise_scales: tuple[float, ...] = ()
    resample_from: int = 0
    resample_seed: int = 0
    to_seed: int | None = None
    fraction: float = 0.0
    edits: tuple[Edit, ...] = ()

    def __post_init__(self) -> None:
        for name in ("seed", "resample_seed", "to_seed"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= MAX_SEED:
                raise ConfigError(f"{name} is {value}: use 0 to {MAX_SEED}")
        if not all(0 <= factor <= MAX_NOISE for factor in self.noise_scales):
            raise ConfigError(f"noise_scales are {self.noise_scales}: use 0 to {MAX_NOISE:g}")
        if not 0 <= self.fraction <= 1:
            raise ConfigError(f"fraction is {self.fraction}: use 0 to 1")
        if self.resample_from < 0:
            raise ConfigError(f"resample_from is {self.resample_from}: use a scale, or 0 for none")
        if len(self.edits) > MAX_EDITS:
            raise ConfigError(f"{len(self.edits)} edits: {MAX_EDITS} at most; render it and begin from that")

    def to_json(self) -> str:
        """Return the scene in one line: its attributes, and those of its edits, without the defaults."""
        return json.dumps(_without_defaults(self))

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """Return the scene that `to_json` wrote, today or in a version that had other keys.

        Raises:
            OurganError: in one line for anything else.
        """
        try:
            table = json.loads(text)
        except ValueError as error:
            raise SceneError(f"not a scene in JSON: {error}") from None
        if not isinstance(table, dict) or not isinstance(table.get("edits", []), list):
            raise SceneError('not a scene: give an object such as {"seed": 7}')
        edits = tuple(
            from_dict(Edit, _rename(edit, _EARLIER_EDIT) if isinstance(edit, dict) else {}, f"edit {number}")
            for number, edit in enumerate(table.pop("edits", []), 1)
        )
        return dataclasses.replace(from_dict(cls, _rename(table, _EARLIER_SCENE), "scene"), edits=edits)

    def to_code(
        self, model: str, file: str = "scene.json", *, projected: bool = False, photo: str | None = None
    ) -> str:
        """Return one line of Python that draws the scene.

        Args:
            model: directory or Hub repository that the line loads.
            file: where the scene's JSON lies; the line reads it if it would be too long otherwise.
            projected: the line also redraws the scene from the model's photo.
            photo: the photo's file; None: where the model finds it.
        """
        loaded, before, names = f"OurGAN.from_pretrained({model!r})", "from ourgan import OurGAN; ", []
        setup = f"model = {loaded}; " if projected else ""
        loaded = "model" if projected else loaded
        arguments = {"seed", "width", "noise_scales"}  # of `OurGAN.sample`
        changed = _without_defaults(self).keys()
        if changed <= arguments:
            options = "".join(f", {key}={getattr(self, key)!r}" for key in sorted(changed - {"seed"}))
            drawn = f"{loaded}.sample({self.seed}{options})"
        else:
            text, names = repr(self.to_json()), ["Scene", "draw"]
            if len(text) > MAX_CODE:
                before, text = f"from pathlib import Path; {before}", f"Path({file!r}).read_text()"
            drawn = f"draw({loaded}, Scene.from_json({text}))"
        if projected:
            names, option = [*names, "project"], "" if photo is None else f", {photo!r}"
            drawn = f"project(model, {drawn}{option})"
        before += f"from ourgan.explorer import {', '.join(names)}; " if names else ""
        return f"{before}{setup}{drawn}"

    def noise(self, device: torch.device | str = "cpu") -> Noise:
        """Return the scene's standard normal noise.

        Between two seeds it is cos(a) n + sin(a) n' with a from 0 to 90 degrees: independent normal values
        stay normal with variance 1 on that arc, on a straight line they would fade to 0.7 in the middle.
        """
        first, resampled = scene_noise(self.seed, device), scene_noise(self.resample_seed, device)
        second = None if self.to_seed is None else scene_noise(self.to_seed, device)
        angle = self.fraction * math.pi / 2

        def noise(scale: int, channels: int, height: int, width: int) -> Tensor:
            where = (scale, channels, height, width)
            if self.resample_from and scale >= self.resample_from:
                return resampled(*where)
            if second is None or not self.fraction:
                return first(*where)
            return math.cos(angle) * first(*where) + math.sin(angle) * second(*where)

        return noise


def draw(model: OurGAN, scene: Scene) -> Float[Tensor, "3 h w"]:
    """Return the scene's picture of step 1 in [0, 1]; each edit takes one more pass through the scales.

    Raises:
        OurganError: in one line for a scene that does not suit the model.
    """
    image = draw_unedited(model, scene)
    for edit in scene.edits:
        image = harmonise(model, scene, edit, image)
    return image


def draw_unedited(model: OurGAN, scene: Scene) -> Float[Tensor, "3 h w"]:
    """Return the scene's picture in [0, 1] without its edits."""
    return _sample(model, scene, None)


def harmonise(
    model: OurGAN, scene: Scene, edit: Edit, image: Float[Tensor, "3 h w"]
) -> Float[Tensor, "3 h w"]:
    """Return a picture after one edit, redrawn from the edit's scale on with the scene's own noise.

    Args:
        model: draws.
        scene: of which noise and width are taken.
        edit: is applied to `image`.
        image: the picture before the edit, in [0, 1].

    Raises:
        SceneError: for a scale that the model does not refine.
        EditError: for an edit that lies outside the picture.
    """
    last = model.generator.last_scale
    if not 1 <= edit.scale <= last:
        raise SceneError(f"scale {edit.scale}: this model refines at scales 1 to {last}")
    return _sample(model, scene, (edit.scale, edit.apply(image)))


def _sample(model: OurGAN, scene: Scene, inject_at: tuple[int, Tensor] | None) -> Tensor:
    check_scene(model, scene)
    return model.sample(
        scene.seed,
        width=scene.width,
        noise_scales=scene.noise_scales or None,
        noise=scene.noise(model.upscaler.device),
        inject_at=inject_at,
    )


def interpolate(scene: Scene, to_seed: int, fraction: float) -> Scene:
    """Return the scene at `fraction` of the way from its seed to another; at 0, without a second seed."""
    return dataclasses.replace(scene, to_seed=to_seed if fraction else None, fraction=fraction)


def check_scene(model: OurGAN, scene: Scene) -> None:
    """Raise SceneError for noise_scales that do not match the model's scales."""
    scales = len(model.generator.sizes)
    if scene.noise_scales and len(scene.noise_scales) != scales:
        raise SceneError(
            f"{len(scene.noise_scales)} noise_scales for a model of {scales} scales; give one for each"
        )


def _without_defaults(config: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults, as JSON has them."""
    table = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == field.default:
            continue
        nested = isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0])
        table[field.name] = [_without_defaults(item) for item in value] if nested else value
    return table


def _rename(table: dict[str, Any], earlier: dict[str, str]) -> dict[str, Any]:
    """Return the table under today's keys; where both are given the earlier one stays, to be refused."""
    new = {old: name for old, name in earlier.items() if name not in table}
    return {new.get(key, key): value for key, value in table.items()}
