"""OUR-GAN, the companion: from one photograph, new scenes like it, up to 16K.

from ourgan import OurGAN, read_image

model = OurGAN.from_pretrained("data/models/picos-de-europa")
model.sample(seed=7)                                  # (3, h, w) in [0, 1], step 1
model.synthesize(seed=7, size="4k", out="scene.tif")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ourgan._core.errors import OurganError
    from ourgan.config import load_profile
    from ourgan.io.read import read_image
    from ourgan.pipeline import OurGAN

__all__ = ["OurGAN", "OurganError", "load_profile", "read_image"]

_WHERE = {
    "OurGAN": "ourgan.pipeline",
    "OurganError": "ourgan._core.errors",
    "load_profile": "ourgan.config",
    "read_image": "ourgan.io.read",
}


def __getattr__(name: str) -> Any:
    # Importing the package costs nothing; torch comes with the first name that needs it.
    if name not in _WHERE:
        raise AttributeError(f"module 'ourgan' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)
