"""The two switches of what is shown and rendered: what a scene is made of, and where detail is from."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ourgan.config import steps_of
from ourgan.pipeline import OurGAN
from ourgan.upscale.detail import Wish

PAPER = "Scene as drawn by step 1, detail from the network: the paper's way"
Photo = str | os.PathLike[str] | None


@dataclass(frozen=True)
class Switches:
    """How scenes are shown and rendered. No part of a scene: it is the same scene either way.

    Attributes:
        scene: "drawn" by step 1, or "projected": redrawn from the photo's patches.
        detail: of larger pictures, by the "network" or from the "photo", which needs a projected scene.
        photo: its file; None: where the model finds it.
        line: what was taken and why, in one line.
    """

    scene: str = "drawn"
    detail: str = "network"
    photo: Photo = None
    line: str = field(default="", compare=False)

    def options(self) -> dict[str, Any]:
        """Return the arguments of `OurGAN.synthesize` and `crop`."""
        photo = None if self.scene == "drawn" else self.photo
        return {"scene": self.scene, "detail": self.detail, "photo": photo}


def decide(model: OurGAN, scene: str = "auto", detail: str = "auto", photo: Photo = None) -> Switches:
    """Set the switches for a model's scenes; seconds where the photo has to be read.

    Args:
        model: draws.
        scene: "drawn", "projected", or "auto": projected where the model has its photo.
        detail: "network", "photo", or "auto": of the photo where that can be done.
        photo: file of the model's photo; None: in its directory, or in data/photos.

    Raises:
        OurganError: in one line, for what cannot be had.
    """
    wish = Wish(scene, detail, None if scene == "drawn" else photo)
    look = model.look(wish, model.generator.sizes[-1], steps_of("1k"))
    asked = "auto" not in (scene, detail)
    if look.patches is None:
        why = ", as you chose" if asked else f". {look.why[:1].upper()}{look.why[1:]}" if look.why else ""
        return Switches(look.scene, look.detail, photo, f"{PAPER}{why}.")
    name = look.patches.photo.path.name
    detail = "from the photo, too" if look.detail == "photo" else "from the network"
    why = "as you chose" if asked else look.why or "the model has its photo"
    credit = f" Its pixels are the photo's: {model.metadata.credit}." if model.metadata.credit else ""
    line = f"Scene redrawn from {name}, detail {detail}: {why}.{credit}"
    return Switches(look.scene, look.detail, photo, line)


def project(model: OurGAN, image: Float[Tensor, "3 h w"], photo: Photo = None) -> Float[Tensor, "3 h w"]:
    """Return a scene redrawn from the patches of the model's photo.

    Args:
        model: whose photo it is.
        image: the scene, in [0, 1], as step 1 drew it.
        photo: its file; None: in the model's directory, or in data/photos.

    Raises:
        OurganError: in one line, for no photo or another one, and a scene too small or too large for it.
    """
    wish = Wish("projected", "network", photo)
    return model.look(wish, (image.shape[1], image.shape[2]), steps_of("1k")).begin(image)
