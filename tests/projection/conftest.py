"""Small photographs, and the three ways in which the loops can run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ourgan.projection.kernels import CHOICE
from ourgan.projection.search import Pixels

PHOTOS = Path(__file__).parents[2] / "data" / "photos"


@pytest.fixture(scope="session")
def small() -> Callable[..., Pixels]:
    """A photograph of `data/photos`, (height, width, 3) uint8."""

    def read(name: str = "stream", size: tuple[int, int] = (64, 96)) -> Pixels:
        with Image.open(PHOTOS / f"{name}.jpg") as file:
            file.draft("RGB", (4 * size[1], 4 * size[0]))
            return np.asarray(file.convert("RGB").resize((size[1], size[0]), Image.Resampling.BICUBIC))

    return read


@pytest.fixture(params=[("numpy", 1), ("numba", 2)], ids=["numpy", "two threads"])
def otherwise(request: pytest.FixtureRequest) -> Callable[..., object]:
    """Call a function with the loops in numpy, or on two threads: it must return what numba's one did."""

    def call(function: Callable[..., object], *args: object, **kwargs: object) -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(CHOICE, request.param[0])
            return function(*args, threads=request.param[1], **kwargs)

    return call
