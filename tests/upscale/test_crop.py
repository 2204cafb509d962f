"""A window equals the same pixels of the whole picture, if its context is all that the networks reach."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale import overlap as overlap_module
from ourgan.upscale.crop import CropError, crop
from ourgan.upscale.noise import add_noise
from ourgan.upscale.overlap import measure_margin
from ourgan.upscale.reach import theoretical
from ourgan.upscale.schedule import Step

SIZE = (60, 37)  # larger than what the networks reach


def made(name: str) -> RRDBNet | SwinIR:
    torch.manual_seed(0)
    network: RRDBNet | SwinIR = RRDBNet(8, 1, 4) if name == "rrdbnet" else SwinIR(12, (2,), 2)
    for parameter in network.parameters():
        parameter.data *= 2  # otherwise what is far away hardly counts
    return network.eval().requires_grad_(False)


NETWORKS = {name: made(name) for name in ("rrdbnet", "swinir")}
IMAGE = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(1))


def whole(network: nn.Module) -> Tensor:
    image = IMAGE
    for step in (2, 3):
        image = network(add_noise(image, 5, step, 0.1)[None])[0].clamp(0, 1)
    return image


WHOLE = {name: whole(network) for name, network in NETWORKS.items()}


def steps(name: str, context: int) -> list[tuple[Step, int]]:
    return [(Step(step, NETWORKS[name], 0.1), context) for step in (2, 3)]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(NETWORKS)), st.data())
def test_with_all_that_is_reached_a_window_is_the_whole(name: str, data: st.DataObject) -> None:
    height, width = 16 * SIZE[0], 16 * SIZE[1]
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, min(40, width - x))), data.draw(st.integers(1, min(40, height - y)))
    window = crop(IMAGE, 5, steps(name, theoretical(NETWORKS[name]).reach), (x, y, w, h))
    assert window.shape == (3, h, w)
    torch.testing.assert_close(window, WHOLE[name][:, y : y + h, x : x + w], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_corners_the_whole_and_too_little_context(name: str) -> None:
    height, width = 16 * SIZE[0], 16 * SIZE[1]
    for box in ((0, 0, 1, 1), (width - 1, height - 1, 1, 1), (0, 0, width, height)):
        x, y, w, h = box
        window = crop(IMAGE, 5, steps(name, 0 if w == width else 40), box)
        torch.testing.assert_close(window, WHOLE[name][:, y : y + h, x : x + w], rtol=0, atol=1e-5)
    inner = crop(IMAGE, 5, steps(name, 0), (201, 203, 32, 32))
    assert (inner - WHOLE[name][:, 203:235, 201:233]).abs().max() > 1e-3


@pytest.mark.parametrize("box", [(0, 0, 593, 1), (0, -1, 5, 5), (0, 0, 0, 5), (590, 0, 5, 5), (600, 0, 1, 1)])
def test_a_window_that_is_not_within_the_picture_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(CropError, match="is not within the picture, 592x960 pixels") as caught:
        crop(IMAGE, 5, steps("rrdbnet", 0), box)
    assert "\n" not in str(caught.value)


def test_context_is_measured_on_the_weights_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, reach = NETWORKS["rrdbnet"], theoretical(NETWORKS["rrdbnet"]).reach
    monkeypatch.setattr(overlap_module, "STRIDE", 2)
    image = torch.rand(3, 90, 90, generator=torch.Generator().manual_seed(2))
    store, calls = tmp_path / "cache" / "margins.json", []
    contexts = [measure_margin(network, image, t, sha256="a", store=store) for t in (20, 0.01, 1e-4, 0)]
    assert 0 < contexts[0] < contexts[1] < contexts[2] <= contexts[3] == reach
    whole = network(image[None])[0].clamp(0, 1)[:, 100:260, 120:260]
    for tolerance, context in zip((20, 0.01), contexts, strict=False):
        step = (Step(2, network, 0), context)
        difference = (crop(image, 5, [step], (120, 100, 140, 160)) - whole).abs().max() * 255
        assert difference <= 1.5 * tolerance  # measured at two other places

    monkeypatch.setattr(overlap_module, "_smallest_margin", lambda *arguments: calls.append(1) or 5)
    assert measure_margin(network, image, 0.01, sha256="a", store=store) == contexts[1] and not calls
    assert measure_margin(network, image, 0.01, sha256="b", store=store) == 5
    assert measure_margin(network, image.flip(2), 0.01, sha256="a", store=store) == 5  # another picture
    for damage in ("{", "[]", '{"a 0.01": "b"}'):
        store.write_text(damage)
        assert measure_margin(network, image, 0.01, sha256="a", store=store) == 5
    assert len(calls) == 10  # two places each
    assert measure_margin(network, image, 0.01, sha256="a", store=Path("/proc/no/margins.json")) == 5
