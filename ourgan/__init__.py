"""OUR-GAN, the companion: from one photograph, new scenes like it, up to 16K.

    from ourgan import OurGAN, evaluate, load_profile, train

    train("photo.jpg", "my-model", load_profile("cpu"))          # hours; or take a model that ships
    model = OurGAN.from_pretrained("data/models/picos-de-europa")
    model.sample(seed=7)                                         # (3, h, w) in [0, 1], step 1
    model.synthesize(seed=7, size="4k", out="scene.tif")

These are all public names of the package itself; each of its rooms (`ourgan.upscale`, `ourgan.metrics`, ...)
has its own list. Importing the package costs nothing: torch comes with the first name that needs it.
"""

from typing import TYPE_CHECKING

from ourgan._core.lazy import lazy

if TYPE_CHECKING:
    from ourgan._core.errors import OurganError as OurganError
    from ourgan.benchmark.evaluate import evaluate as evaluate
    from ourgan.config import load_profile as load_profile
    from ourgan.explorer.app import Explorer as Explorer
    from ourgan.io.read import read_image as read_image
    from ourgan.pipeline import OurGAN as OurGAN
    from ourgan.training.train import train as train

__version__ = "0.1.0"  # the one place; pyproject.toml reads it

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "pipeline": ["OurGAN"],
        "benchmark.evaluate": ["evaluate"],
        "explorer.app": ["Explorer"],
        "io.read": ["read_image"],
        "config": ["load_profile"],
        "training.train": ["train"],
        "_core.errors": ["OurganError"],
    },
)
