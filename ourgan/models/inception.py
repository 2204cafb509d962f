"""InceptionV3 as SIFID uses it: torchvision's network, its features after a ReLU and before the next pool.

Not the network of "2015-12-05" that other FID programs take. The weights come from the Hub or its cache; they
are timm's copy of torchvision's, under the same names, without the auxiliary head.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ourgan import weights
from ourgan.metrics.lpips import MetricUnavailable
from ourgan.metrics.streaming_features import Stage

# Blocks up to Mixed_6e: rows that an output row depends on, stride, padding. In Mixed_6b to 6e two
# convolutions of 7 rows follow each other, in 5b to 5d two of 3; in 6a one of 3 and one of 3 with stride 2.
BLOCKS = {
    "Conv2d_1a_3x3": (3, 2, 0),
    "Conv2d_2a_3x3": (3, 1, 0),
    "Conv2d_2b_3x3": (3, 1, 1),
    "maxpool1": (3, 2, 0),
    "Conv2d_3b_1x1": (1, 1, 0),
    "Conv2d_4a_3x3": (3, 1, 0),
    "maxpool2": (3, 2, 0),
    "Mixed_5b": (5, 1, 2),
    "Mixed_5c": (5, 1, 2),
    "Mixed_5d": (5, 1, 2),
    "Mixed_6a": (5, 2, 1),
    "Mixed_6b": (13, 1, 6),
    "Mixed_6c": (13, 1, 6),
    "Mixed_6d": (13, 1, 6),
    "Mixed_6e": (13, 1, 6),
}
# SIFID's layers: "5" and "13" as the paper counts them (a Mixed block is one), "64" by its channels: the
# first script of SinGAN took it, though SinGAN's text names "5".
LAYERS = {"64": ("Conv2d_2b_3x3", 64), "5": ("Conv2d_4a_3x3", 192), "13": ("Mixed_6e", 768)}


def blocks(state: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    """The blocks of `BLOCKS` with weights of torchvision's or timm's names, frozen, in evaluation mode.

    What lies deeper (Mixed_7, AuxLogits, fc) is neither needed nor looked at. Raises KeyError for a name that
    is missing, RuntimeError for a shape that does not fit.
    """
    from torchvision.models import inception_v3

    with torch.device("meta"):
        network = inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False)
    found = {}
    for name in BLOCKS:
        block = network.get_submodule(name)
        # Only training counts batches, and not every file has their number.
        own = [key for key in block.state_dict() if not key.endswith("num_batches_tracked")]
        block.load_state_dict({key: state[f"{name}.{key}"] for key in own}, strict=False, assign=True)
        found[name] = block.eval().requires_grad_(False)
    return found


@functools.cache
def inception() -> tuple[dict[str, nn.Module], str]:
    """`blocks` with the released weights, and their SHA-256. Raises MetricUnavailable."""
    try:
        released = weights.load("inception-v3")
    except weights.WeightsError as error:
        raise MetricUnavailable(f"SIFID is absent: its InceptionV3 cannot be had ({error})") from error
    try:
        return blocks(released.state_dict), released.sha256
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MetricUnavailable(
            f"SIFID is absent: {released.source} holds no InceptionV3 of torchvision ({reason})"
        ) from error


def stages(found: Mapping[str, nn.Module], layer: str) -> list[Stage]:
    """The blocks up to SIFID's `layer` ("64", "5" or "13") as stages; input 2 x - 1, unscaled."""
    last = list(BLOCKS).index(LAYERS[layer][0])
    return [Stage(found[name], *BLOCKS[name]) for name in list(BLOCKS)[: last + 1]]
