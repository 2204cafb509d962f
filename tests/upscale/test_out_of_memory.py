"""Too little memory: subregions are halved, nothing is lost, and no tile is ever another's."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ourgan import weights
from ourgan.models.rrdbnet import RRDBNet
from ourgan.upscale.reach import theoretical
from ourgan.upscale.schedule import upscale
from ourgan.upscale.tiles import TilePlan, TilingError, concat, split, trim
from ourgan.upscale.tiles_ops import upscale_tile

torch.manual_seed(0)
NETWORK = RRDBNet(8, 1, 4).eval().requires_grad_(False)
for parameter in NETWORK.parameters():  # strong enough for what is far away to matter
    nn.init.normal_(parameter, std=0.3)
NETWORK.conv_last.weight /= 500
NETWORK.conv_last.bias.fill_(0.5)
IMAGE = torch.rand(3, 70, 100)
REACH = theoretical(NETWORK).reach
CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 14.00 GiB"
CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
)


class SmallDevice(nn.Module):
    """The network on a device that holds no more than `pixels`; fails as torch does.

    `done`: the subregions that were computed, as bytes, with their height and width.
    """

    def __init__(self, pixels: float, error: Exception | None = None, network: nn.Module = NETWORK) -> None:
        super().__init__()
        self.network, self.pixels = network, pixels
        self.error = error or torch.OutOfMemoryError(CUDA)
        self.done: list[tuple[bytes, int, int]] = []
        self.failed: list[int] = []

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        if height * width > self.pixels:
            self.failed.append(height * width)
            # A fresh one, because a stored one holds on to its traceback, and so to what was computed.
            raise type(self.error)(*self.error.args)
        self.done.append((image.numpy().tobytes(), height, width))
        upscaled: Tensor = self.network(image)
        return upscaled


def test_a_tile_that_does_not_fit_is_halved_with_the_same_overlap() -> None:
    plan = TilePlan(70, 100, 35, 50, REACH)
    expected = upscale(NETWORK, IMAGE, plan)
    device = SmallDevice(3200)
    actual = upscale(device, IMAGE, plan)
    # Not bit by bit: another shape may round differently.
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
    assert max(height * width for _, height, width in device.done) <= 3200
    short = upscale(SmallDevice(1500), IMAGE, TilePlan(70, 100, 35, 50, 4))
    assert (short - expected).abs().max() > 1e-2


def test_what_is_finished_is_kept() -> None:
    device = SmallDevice(3500)
    upscale(device, IMAGE, TilePlan(70, 100, 35, 50, REACH))
    assert len(device.done) == 8  # two for each of the four tiles
    assert len({pixels for pixels, _, _ in device.done}) == 8


def test_later_tiles_begin_with_what_fits(caplog: pytest.LogCaptureFixture) -> None:
    device = SmallDevice(450)
    with caplog.at_level(logging.WARNING):
        upscale(device, IMAGE, TilePlan(70, 100, 20, 20, 4))
    assert device.failed == [24 * 24, 18 * 28]  # the first tile, and the half of the first inner one
    (record,) = caplog.records
    assert record.getMessage().startswith("Tile(top=0, left=0, ")


def test_a_tile_alone_is_tried_whole() -> None:
    plan, device = TilePlan(70, 100, 70, 100, 0), SmallDevice(6999)
    for tile, subregion in [*split(IMAGE, plan)] * 2:
        assert upscale_tile(device, subregion, tile, plan).shape == (3, 280, 400)
    assert device.failed == [7000, 7000]


@pytest.mark.slow
def test_halves_of_released_weights_are_the_tiles_of_a_plan_with_half_the_size(
    photo: Callable[..., Tensor],
) -> None:
    network, _ = weights.network()
    image = photo(width=256)[:, 40:80, 60:188]
    device = SmallDevice(40 * 127, network=network)
    halved = upscale(device, image, TilePlan(40, 128, 40, 128, 48))
    assert device.failed == [40 * 128]
    assert torch.equal(halved, upscale(network, image, TilePlan(40, 128, 40, 64, 48)))
    whole = upscale(network, image, TilePlan(40, 128, 40, 128, 48))
    levels = 255 * (halved.clamp(0, 1) - whole.clamp(0, 1)).abs()
    assert 0 < levels.mean() < 0.2  # what any seam of this overlap costs, and no more


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (torch.OutOfMemoryError(CUDA), r" \(20\.00 GiB were asked for\)"),
        (RuntimeError(CPU + "allocate 2097152 bytes. Error code 12"), r" \(2097152 bytes were asked for\)"),
        (torch.OutOfMemoryError("out of memory"), ""),
    ],
)
def test_what_no_halving_helps_is_said(error: Exception, asked: str) -> None:
    match = rf"of \d+x\d+ pixels with an overlap of 20 does not fit into memory{asked} and .* --memory-budget"
    with pytest.raises(TilingError, match=match) as caught:
        upscale(SmallDevice(1000, error), IMAGE, TilePlan(70, 100, 35, 50, 20))
    assert "\n" not in str(caught.value)


def test_halves_of_windows_begin_and_end_at_windows() -> None:
    device, plan = SmallDevice(1100), TilePlan(64, 96, 24, 40, 8, size_multiple=8)
    upscale(device, IMAGE[:, :64, :96], plan)
    assert device.failed
    assert all(height % 8 == width % 8 == 0 for _, height, width in device.done)


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), RuntimeError("device-side assert")])
def test_another_error_is_no_reason_to_go_on(error: Exception) -> None:
    device = SmallDevice(900, error)
    with pytest.raises(type(error), match=str(error)):  # the second tile is larger than the first
        upscale(device, IMAGE, TilePlan(70, 100, 20, 30, 4))
    assert (len(device.done), len(device.failed)) == (1, 1)


def test_what_failed_is_released_before_the_halves_are_computed() -> None:
    class Activations(SmallDevice):
        held: weakref.ref[Tensor] | None = None

        def forward(self, image: Tensor) -> Tensor:
            assert self.held is None or self.held() is None
            activations = image * 2
            self.held = weakref.ref(activations)
            return super().forward(image)

    device = Activations(2000)
    upscale(device, IMAGE, TilePlan(70, 100, 70, 100, 4))
    assert device.failed


def test_no_tile_is_pasted_twice() -> None:
    # What is usual elsewhere: an error is printed, and the pixels of the tile before are pasted once more.
    plan = TilePlan(70, 100, 35, 50, REACH)
    expected = upscale(NETWORK, IMAGE, plan)

    class Failing(SmallDevice):
        """At the second tile, once."""

        def forward(self, image: Tensor) -> Tensor:
            self.pixels = 0 if len(self.done) == 1 and not self.failed else 10**6
            return super().forward(image)

    def usual(network: nn.Module) -> Tensor:
        pieces = []
        for tile, subregion in split(IMAGE, plan):
            with contextlib.suppress(RuntimeError):
                made = trim(network(subregion[None])[0], tile, 4)
            pieces.append((tile, made))
        return concat(pieces, plan)

    stale = usual(Failing(0))
    assert torch.equal(stale[:, :140, 200:], stale[:, :140, :200])  # there it is
    ours = upscale(Failing(0), IMAGE, plan)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


CHILD = """
import json, resource, sys
import torch
from ourgan.models.rrdbnet import RRDBNet
from ourgan.upscale import schedule, tiles

torch.set_num_threads(1)
torch.backends.mkldnn.enabled = False  # it has a memory of its own, and fails in its own words
torch.manual_seed(0)
network = RRDBNet(8, 1, 4).eval().requires_grad_(False)
for parameter in network.parameters():
    torch.nn.init.normal_(parameter, std=0.3)
network.conv_last.weight /= 500
image, plan = torch.rand(3, 160, 160), tiles.TilePlan(160, 160, 160, 160, 24)
shapes, results = [], []
network.register_forward_hook(lambda module, args, result: shapes.append(tuple(args[0].shape[2:])))
schedule.upscale(network, image[:, :16, :16], tiles.TilePlan(16, 16, 16, 16, 0))
for room in sys.argv[1:]:
    shapes.clear()
    taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    if room != "unlimited":
        limit = taken + int(room) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        tight = schedule.upscale(network, image, plan)
    except tiles.TilingError as error:
        tight = str(error)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    results.append((tight, list(shapes)))
whole = results[-1][0]
print(json.dumps([
    (tight if isinstance(tight, str) else float((tight - whole).abs().max()), shapes)
    for tight, shapes in results
]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space of a process")
def test_memory_that_really_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "80", "24", "unlimited"],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},  # what is free is given back at once
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    (difference, halves), (error, _), (_, whole) = json.loads(done.stdout)
    assert difference < 1e-5 and whole == [[160, 160]] not in halves and len(halves) > 1
    assert re.search(r"overlap of 24 does not fit into memory \(\d+ bytes were asked for\)", error)
