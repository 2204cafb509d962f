"""Names of parameters in published files, against spandrel's independent reading of the old ones."""

from __future__ import annotations

import re

import pytest
import torch
from spandrel.architectures.ESRGAN import ESRGAN, ESRGANArch
from torch import Tensor

from ourgan.models.rrdbnet import RRDBNet
from ourgan.weights.names import find_backbone, rrdbnet_names


def ours() -> RRDBNet:
    torch.manual_seed(0)
    network = RRDBNet(channels=8, blocks=2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network


def old_names(network: RRDBNet) -> dict[str, Tensor]:
    """As spandrel names them, whatever it read: the layout of the first ESRGAN files."""
    return dict(ESRGANArch().load(network.state_dict()).model.state_dict())


def repository_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of the ESRGAN repository's own module."""

    def renamed(name: str) -> str:
        name = re.sub(r"^body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", name)
        name = name.replace("conv_body.", "trunk_conv.").replace("conv_hr.", "HRconv.")
        return re.sub(r"^conv_up(\d)", r"upconv\1", name)

    return {renamed(name): value for name, value in state.items()}


@pytest.mark.parametrize("layout", ["old", "repository", "new"])
def test_every_layout_gives_our_names_and_the_same_picture(layout: str) -> None:
    network = ours()
    expected = dict(network.state_dict())
    found = {
        "old": old_names,
        "repository": lambda n: repository_names(n.state_dict()),
        "new": RRDBNet.state_dict,
    }[layout](network)
    assert layout == "new" or not found.keys() & (
        expected.keys() - {"conv_first.weight", "conv_first.bias", "conv_last.weight", "conv_last.bias"}
    )
    renamed = rrdbnet_names(found)
    assert renamed.keys() == expected.keys()
    other = RRDBNet(channels=8, blocks=2)
    other.load_state_dict(renamed)
    image = torch.rand(1, 3, 9, 11)
    with torch.no_grad():
        theirs = ESRGANArch().load(dict(found)).model.eval()(image)
        torch.testing.assert_close(other(image), theirs, atol=1e-5, rtol=1e-5)
    assert find_backbone(renamed) == ("RRDBNet", 4)


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_the_scale_of_old_files_is_seen(scale: int) -> None:
    state = ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=scale).state_dict()
    assert find_backbone(rrdbnet_names(state)) == ("RRDBNet", scale)


def test_networks_that_fold_the_image_first_upscale_by_less() -> None:
    state = dict(ours().state_dict())
    state["conv_first.weight"] = torch.zeros(8, 12, 3, 3)
    assert find_backbone(state) == ("RRDBNet", 2)


def test_names_of_neither_stay() -> None:
    state = {"features.0.weight": torch.zeros(1), "model.diffusion": torch.zeros(1)}
    assert rrdbnet_names(state) == state
    assert find_backbone(state) is None
