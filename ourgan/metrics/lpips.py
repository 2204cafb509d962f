"""LPIPS with the VGG16 it was calibrated on, from the Hub or a package; without it there is no LPIPS.

`ourgan.metrics.st_lpips` is what then still works. The two are never mixed up.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

from torch import Tensor

from ourgan import weights
from ourgan._core.errors import OurganError
from ourgan.metrics.st_lpips import TILE, tiled_distance


class MetricUnavailable(OurganError):
    """A metric whose network cannot be had here; says which and why."""


@functools.cache
def lpips_network() -> Any:
    """LPIPS, version 0.1, VGG16, frozen, float32. Raises MetricUnavailable."""
    from lpips import LPIPS

    try:
        trunk = weights.load("vgg16")
    except weights.WeightsError as error:
        raise MetricUnavailable(f"LPIPS is absent: its VGG16 cannot be had ({error})") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it asks torchvision in words of long ago
        network = LPIPS(net="vgg", pnet_rand=True, verbose=False)  # random only until the next lines
    expected = network.net.state_dict()  # slice1.0.weight, ... under torchvision's numbers
    state = {name: trunk.state_dict[f"features.{name.split('.', 1)[1]}"] for name in expected}
    network.net.load_state_dict(state)
    return network.eval().requires_grad_(False)


def lpips(first: Tensor, second: Tensor, *, tile: int = TILE) -> float:
    """Distance of two images (3, H, W) in [0, 1], over tiles as in `st_lpips`.

    Raises MetricUnavailable without the true trunk, ValueError as `st_lpips` does.
    """
    return tiled_distance(lpips_network(), first, second, tile)
