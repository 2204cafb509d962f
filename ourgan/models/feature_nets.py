"""Classifiers whose features are compared: InceptionV3 for SIFID, the trunks of ST-LPIPS for the rest.

The Inception is torchvision's, its features taken after a ReLU and before the next pool, and not the network
of "2015-12-05" that other FID programs take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

# Blocks up to Mixed_6e: rows that an output row depends on, stride, padding. In Mixed_6b to 6e two
# convolutions of 7 rows follow each other, in 5b to 5d two of 3; in 6a one of 3 and one of 3 with stride 2.
INCEPTION_BLOCKS = {
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


def inception_blocks(state: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    """Return the blocks of `INCEPTION_BLOCKS` with given weights, frozen, in evaluation mode.

    `state` has torchvision's names, which are timm's too; what lies deeper (Mixed_7, AuxLogits, fc) is not
    looked at. KeyError where a name is missing, RuntimeError where a shape does not fit.
    """
    from torchvision.models import inception_v3

    with torch.device("meta"):
        network = inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False)
    blocks = {}
    for name in INCEPTION_BLOCKS:
        block = network.get_submodule(name)
        # Only training counts batches, and not every file has their number.
        own = [key for key in block.state_dict() if not key.endswith("num_batches_tracked")]
        block.load_state_dict({key: state[f"{name}.{key}"] for key in own}, strict=False, assign=True)
        blocks[name] = block.eval().requires_grad_(False)
    return blocks


def shift_tolerant(trunk: str) -> Any:
    """Return ST-LPIPS (Ghildyal and Liu, ECCV 2022) on "alex" or "vgg", frozen, float32, on the CPU.

    Its package carries the trained weights of both trunks, so that it works without a network connection.
    """
    from stlpips_pytorch import stlpips

    network = stlpips.LPIPS(net=trunk, variant="shift_tolerant", verbose=False)
    return network.eval().requires_grad_(False)
