"""The context measured on released weights and a real photo, and what an image tells that is too small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ourgan import weights
from ourgan.models.rrdbnet import RRDBNet
from ourgan.upscale import overlap as overlap_module
from ourgan.upscale.crop import crop
from ourgan.upscale.overlap import measure_margin
from ourgan.upscale.reach import theoretical
from ourgan.upscale.schedule import Step, upscale
from ourgan.upscale.tiles import TilePlan


def tiny() -> RRDBNet:
    torch.manual_seed(0)
    network = RRDBNet(8, 2, 4)
    for parameter in network.parameters():
        parameter.data *= 2  # otherwise what is far away hardly counts
    return network.eval().requires_grad_(False)


def counted(network: RRDBNet) -> list[int]:
    """Grows by one with each call of the network."""
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.slow
@torch.no_grad()
def test_released_weights_on_a_photo(
    photo: Callable[..., Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small, for time: the network has 36 MFLOP for each LR pixel.
    monkeypatch.setattr(overlap_module, "CORE", 8)
    monkeypatch.setattr(overlap_module, "LARGEST", 32)
    network, found = weights.network()
    network.eval().requires_grad_(False)
    calls, image, store = counted(network), photo("sunset", 128), tmp_path / "margins.json"

    def measured(tolerance: float) -> int:
        return measure_margin(network, image, tolerance, sha256=found.sha256, store=store)

    context = measured(25)
    assert 0 < context < 32 and context % 8 == 0
    # At another place, a seam between two tiles: within the tolerance or nearly, not so without overlap.
    elsewhere = image[:, :40, :80].contiguous()
    whole = network(elsewhere[None])[0].clamp(0, 1)
    for overlap, within in ((context, True), (0, False)):
        tiles = upscale(network, elsewhere, TilePlan(40, 80, 40, 40, overlap)).clamp(0, 1)
        assert ((tiles - whole).abs().max() * 255 <= 2 * 25) == within

    monkeypatch.setattr(overlap_module, "_positions", lambda image: [(32, 56)])
    assert context < measured(10) < 32
    made = len(calls)
    assert measured(25) == context and len(calls) == made
    store.write_bytes(b"\xff\x00 not JSON")
    monkeypatch.setattr(overlap_module, "_smallest_margin", lambda *_: 24)
    assert measured(25) == 24
    [(key, kept)] = overlap_module._read(store).items()
    assert key.startswith(found.sha256) and key.endswith(" 25") and kept == 24


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 16), (24, 30), (40, 20)])
def test_an_image_too_small_to_tell_is_not_taken_for_enough(size: tuple[int, int], tmp_path: Path) -> None:
    network, store = tiny(), tmp_path / "margins.json"
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(1))
    context = measure_margin(network, image, 0.01, sha256="a", store=store)
    assert not store.exists()  # a larger image with the same weights would be cropped with it
    whole = network(image[None])[0].clamp(0, 1)
    for x, y in ((0, 0), (4 * size[1] - 8, 4 * size[0] - 8)):
        window = crop(image, 0, [(Step(2, network, 0.0), context)], (x, y, 8, 8))
        assert (window - whole[:, y : y + 8, x : x + 8]).abs().max() * 255 < 0.02


def test_weights_that_are_not_numbers_take_all_that_is_reached(caplog: pytest.LogCaptureFixture) -> None:
    network = tiny()
    network.conv_last.bias.data.fill_(torch.nan)
    with caplog.at_level("INFO"):
        context = measure_margin(network, torch.rand(3, 60, 60), 1)
    assert context == theoretical(network).reach and "taking all" in caplog.text
