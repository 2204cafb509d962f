"""RRDBNet against spandrel's independent ESRGAN, which loads the official parameter names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from spandrel.architectures.ESRGAN import ESRGANArch
from torch import Tensor

from ourgan import weights
from ourgan.models.rrdbnet import RRDBNet

PHOTO = Path(__file__).parents[2] / "data" / "photos" / "picos-de-europa.jpg"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")


def photo_crop(size: int) -> Tensor:
    """A square around the middle of the photo, `(1, 3, size, size)` in [0, 1]."""
    with Image.open(PHOTO) as photo:
        small = photo.resize((256, 256 * photo.height // photo.width), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)[None] / 255
    top, left = (pixels.shape[2] - size) // 2, (pixels.shape[3] - size) // 2
    return pixels[:, :, top : top + size, left : left + size]


def oracle(network: RRDBNet) -> torch.nn.Module:
    """spandrel's ESRGAN with the parameters of `network`."""
    return ESRGANArch().load(network.state_dict()).model.eval()


@pytest.mark.slow
def test_paper_configuration_has_the_official_size() -> None:
    with torch.device("meta"):
        network = RRDBNet()
    assert sum(p.numel() for p in network.parameters()) == 16_697_987
    names = list(network.state_dict())
    assert len(names) == 702
    assert names[:2] == ["conv_first.weight", "conv_first.bias"]
    assert {"body.22.rdb3.conv5.bias", "conv_body.weight", "conv_up1.weight", "conv_up2.weight"} <= set(names)
    assert names[-4:] == ["conv_hr.weight", "conv_hr.bias", "conv_last.weight", "conv_last.bias"]
    assert network.scale == 4


def test_small_network_equals_the_oracle() -> None:
    torch.manual_seed(0)
    network = RRDBNet(channels=8, blocks=2).eval()  # spandrel knows no other growth than 32
    for parameter in network.parameters():  # ESRGAN's own init leaves the residual branches near zero
        torch.nn.init.normal_(parameter, std=0.1)
    image = torch.rand(2, 3, 13, 18)
    with torch.no_grad():
        ours, theirs = network(image), oracle(network)(image)
    assert ours.shape == (2, 3, 52, 72)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_released_weights_equal_the_oracle_on_a_photo() -> None:
    network, _ = weights.network()
    image = photo_crop(32)
    with torch.no_grad():
        ours, theirs = network(image), oracle(network)(image)
        channels_last = network.to(memory_format=torch.channels_last)(
            image.contiguous(memory_format=torch.channels_last)
        )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(channels_last, theirs, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_bfloat16_stays_close_to_float32() -> None:
    network, _ = weights.network()
    image = photo_crop(32)
    with torch.no_grad():
        exact = network(image)
        fast = network.bfloat16()(image.bfloat16())
    assert fast.dtype == torch.bfloat16
    error = (fast.float() - exact).square().mean()
    assert 10 * torch.log10(1 / error) > 35


def test_every_parameter_and_the_input_receive_the_gradient_that_finite_differences_give() -> None:
    torch.manual_seed(1)
    network = RRDBNet(channels=2, blocks=1, growth=1).double()
    image = torch.rand(1, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in network.named_parameters()]

    def run(image: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), (image,))

    parameters = [p.detach().clone().requires_grad_() for p in network.parameters()]
    assert torch.autograd.gradcheck(run, (image, *parameters), fast_mode=True)


def test_init_starts_the_residual_branches_small() -> None:
    torch.manual_seed(2)
    block = RRDBNet(blocks=1).body[0].rdb1
    assert block.conv3.weight.std().item() == pytest.approx(0.1 * (2 / (128 * 9)) ** 0.5, rel=0.05)
    assert not block.conv3.bias.any()
