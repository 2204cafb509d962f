"""Too little memory: subregions are halved, nothing is lost, and no tile is ever another's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ourgan.models.rrdbnet import RRDBNet
from ourgan.synthesis.receptive_field import theoretical
from ourgan.synthesis.tiling import TilePlan, TilingError, concat, split, trim, upscale

torch.manual_seed(0)
NETWORK = RRDBNet(8, 1, 4).eval().requires_grad_(False)
IMAGE = torch.rand(3, 70, 100)
REACH = theoretical(NETWORK).reach


class SmallDevice(nn.Module):
    """The network on a device that holds no more than `pixels`; fails as torch does."""

    def __init__(self, pixels: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.network, self.pixels, self.error = NETWORK, pixels, error
        self.done: list[tuple[int, int]] = []

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[2] * image.shape[3] > self.pixels:
            raise self.error("CUDA out of memory. Tried to allocate 20.00 GiB")
        self.done.append((image.shape[2], image.shape[3]))
        upscaled: Tensor = self.network(image)
        return upscaled


def test_a_tile_that_does_not_fit_is_halved_with_the_same_overlap() -> None:
    plan = TilePlan(70, 100, 35, 50, REACH)
    expected = upscale(NETWORK, IMAGE, plan, progress=False)
    device = SmallDevice(3200)
    actual = upscale(device, IMAGE, plan, progress=False)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
    assert len(device.done) == len(set(enumerate(device.done))) > 4
    assert max(h * w for h, w in device.done) <= 3200
    small = TilePlan(70, 100, 35, 50, 4)
    halved = upscale(SmallDevice(1500), IMAGE, small, progress=False)
    assert 0 < (halved - upscale(NETWORK, IMAGE, small, progress=False)).abs().max() < 0.05


def test_what_no_halving_helps_is_said() -> None:
    with pytest.raises(TilingError, match=r"overlap of 20 does not fit into memory .*20.00 GiB") as caught:
        upscale(SmallDevice(1000), IMAGE, TilePlan(70, 100, 35, 50, 20), progress=False)
    assert "\n" not in str(caught.value)


def test_halves_of_windows_begin_and_end_at_windows() -> None:
    class Even(SmallDevice):
        multiple = 8

    device = Even(1100)
    upscale(device, IMAGE[:, :64, :96], TilePlan(64, 96, 24, 40, 8, multiple=8), progress=False)
    assert all(height % 8 == width % 8 == 0 for height, width in device.done)


def test_another_error_is_no_reason_to_go_on() -> None:
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        upscale(SmallDevice(10, RuntimeError), IMAGE, TilePlan(70, 100, 35, 50, 4), progress=False)


def test_no_tile_is_pasted_twice() -> None:
    # What is usual elsewhere: an error is printed, and the pixels of the tile before are pasted once more.
    plan = TilePlan(70, 100, 35, 50, REACH)
    expected = upscale(NETWORK, IMAGE, plan, progress=False)

    def usual(network: nn.Module) -> Tensor:
        pieces = []
        for number, (tile, subregion) in enumerate(split(IMAGE, plan)):
            try:
                if number == 1:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                made = trim(network(subregion[None])[0], tile, 4)
            except RuntimeError:
                pass
            pieces.append((tile, made))
        return concat(pieces, plan)

    stale = usual(NETWORK)
    assert torch.equal(stale[:, :140, 200:], stale[:, :140, :200])  # there it is

    class Failing(SmallDevice):
        def forward(self, image: Tensor) -> Tensor:
            if len(self.done) == 1 and not hasattr(self, "failed"):
                self.failed = True
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(image)

    ours = upscale(Failing(10**6), IMAGE, plan, progress=False)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
