"""Names of parameters in published files, against spandrel's independent reading of the old ones."""

from __future__ import annotations

import re

import pytest
import torch
from spandrel.architectures.ESRGAN import ESRGAN, ESRGANArch
from torch import Tensor

from ourgan.models.rrdbnet import RRDBNet
from ourgan.weights.names import Network, recognise, rrdbnet_names


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


LAYOUTS = {
    "old": old_names,
    "repository": lambda network: repository_names(network.state_dict()),
    "new": RRDBNet.state_dict,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_our_names_and_the_same_picture(layout: str) -> None:
    network = ours()
    expected = dict(network.state_dict())
    found = LAYOUTS[layout](network)
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
    assert recognise(found)[1] == Network("RRDBNet", (2,), 8, 4, 3)


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_the_scale_of_old_files_is_seen(scale: int) -> None:
    state = ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=scale).state_dict()
    assert recognise(state)[1] == Network("RRDBNet", (1,), 8, scale, 3)


def test_networks_that_fold_the_image_first_upscale_by_less() -> None:
    state = dict(ours().state_dict())
    state["conv_first.weight"] = torch.zeros(8, 12, 3, 3)
    assert recognise(state)[1] == Network("RRDBNet", (2,), 8, 2, 3)


def test_names_of_neither_stay() -> None:
    state = {"features.0.weight": torch.zeros(1), "model.diffusion": torch.zeros(1)}
    assert rrdbnet_names(state) == state
    assert recognise(state) == (state, None)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("prefix", ["module.", "netG.", "model.generator."])
def test_a_prefix_of_all_names_is_taken_off(layout: object, prefix: str) -> None:
    assert callable(layout)
    state = layout(ours())
    renamed, network = recognise({prefix + name: value for name, value in state.items()})
    assert network == Network("RRDBNet", (2,), 8, 4, 3)
    assert renamed.keys() == ours().state_dict().keys()


def test_a_name_without_the_prefix_keeps_it_on_all() -> None:
    state = {f"module.{name}": value for name, value in ours().state_dict().items()}
    state["step"] = torch.zeros(1)
    assert recognise(state) == (state, None)


def test_a_network_is_said_in_words() -> None:
    assert str(recognise(ours().state_dict())[1]) == "RRDBNet (2 blocks, 8 channels, x4)"
    grey = ESRGAN(in_nc=1, out_nc=1, num_filters=8, num_blocks=1, scale=4).state_dict()
    assert str(recognise(grey)[1]) == "RRDBNet (1 blocks, 8 channels, x4, pictures of 1 channels)"
