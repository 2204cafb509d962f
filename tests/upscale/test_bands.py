"""BandedNetwork: equal to the whole image whatever the sizes, nothing computed twice, memory of one band."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ourgan import weights
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale.banded_network import BandedNetwork, StreamingError
from ourgan.upscale.bands import BandPlan, band_bytes, upscale_in_bands

Photo = Callable[..., Tensor]
Network = RRDBNet | SwinIR


def rrdbnet() -> RRDBNet:
    """Reaches 38 rows; strong enough for a wrong row anywhere to be seen."""
    torch.manual_seed(4)
    network = RRDBNet(channels=4, blocks=2, growth=3).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    nn.init.normal_(network.conv_last.weight, std=0.01)
    return network


def swinir(window: int = 4) -> SwinIR:
    """The same; attention and bias tables matter."""
    torch.manual_seed(0)
    network = SwinIR(channels=12, depths=(2, 3), heads=2, window=window).eval()
    for name, parameter in network.named_parameters():
        nn.init.normal_(parameter, std=2 if name.endswith("table") else 0.2)
    for parameter in (network.conv_last.weight, network.conv_hr.weight):
        nn.init.normal_(parameter, std=0.02)
    return network


NETWORKS = {"rrdbnet": rrdbnet(), "swinir": swinir(), "swinir, odd window": swinir(5)}
EXACT = {name: copy.deepcopy(network).double() for name, network in NETWORKS.items()}
both = pytest.mark.parametrize("name", ["rrdbnet", "swinir"])


def whole(network: nn.Module, image: Tensor) -> Tensor:
    with torch.no_grad():
        return network(image.to(next(network.parameters()).dtype)[None])[0]


def in_bands(
    network: nn.Module, rows: Iterable[Tensor], height: int, width: int, band: int = 32
) -> Iterator[Tensor]:
    return upscale_in_bands(network, lambda _: iter(rows), BandPlan(height, width, band))


def pieces(image: Tensor, sizes: list[int]) -> Iterator[Tensor]:
    """The image in pieces of these heights, over and over."""
    top, turn = 0, 0
    while top < image.shape[1]:
        yield image[:, top : top + sizes[turn % len(sizes)]]
        top, turn = top + sizes[turn % len(sizes)], turn + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
@settings(deadline=None, max_examples=20, derandomize=True)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 11),
    band=st.integers(1, 70),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
@example(height=1, width=1, band=32, sizes=[1])
@example(height=53, width=7, band=8, sizes=[53])
@example(height=48, width=8, band=8, sizes=[3, 1])
@example(height=61, width=3, band=64, sizes=[1])
def test_bands_equal_the_whole(name: str, height: int, width: int, band: int, sizes: list[int]) -> None:
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(height))
    bands = list(in_bands(EXACT[name], pieces(image, sizes), height, width, band=band))
    expected = whole(EXACT[name], image)
    assert expected.std() > 0.02
    assert all(part.dtype == torch.float32 and part.shape[::2] == (3, 4 * width) for part in bands)
    assert all(part.shape[1] and part.shape[1] % 4 == 0 for part in bands)
    torch.testing.assert_close(torch.cat(bands, 1).double(), expected, atol=3e-7, rtol=3e-7)


@both
def test_paper_size_equals_the_whole(name: str, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    if name == "rrdbnet":
        network: Network = weights.network()[0]
    else:
        torch.manual_seed(1)
        network = SwinIR().eval()
        for parameter in network.parameters():
            if parameter.ndim == 2:  # attention and MLPs as strong as in a trained network
                parameter.data *= 3
    image = photo(width=64)[:, :45, 8:39]
    expected = whole(network, image)
    actual = torch.cat(list(in_bands(network, [image], 45, 31, band=16)), 1)
    assert expected.std() > 0.02
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


class Work(TorchFunctionMode):
    """Counts the numbers that convolutions and linear layers put out."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: Counter[tuple[str, Any]] = Counter()
        self.reordered = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **kwargs or {})
        if func is torch.conv2d:
            self.outputs["conv2d", args[1].data_ptr()] += result.numel()
            self.reordered += not result.is_contiguous(memory_format=torch.channels_last)
        elif func is F.linear:  # the weights of query, key and value are padded for every call
            self.outputs["linear", tuple(args[1].shape)] += result.numel()
        return result


@both
def test_nothing_is_computed_twice(name: str, photo: Photo) -> None:
    network, image = NETWORKS[name], photo(width=64)[:, :41, :10]
    with Work() as once:
        whole(network, image)
    with Work() as banded:
        list(in_bands(network, [image], 41, 10, band=8))
    assert len(once.outputs) > 10
    # But for the first convolution, whose output would have to be kept longest: see `_features_again`.
    once.outputs["conv2d", network.conv_first.weight.data_ptr()] *= 2
    assert banded.outputs == once.outputs
    assert not banded.reordered  # an input of other strides would be copied twice for every convolution


@both
@pytest.mark.parametrize("band", [8, 32])
def test_memory_does_not_grow_with_the_height(name: str, band: int) -> None:
    peaks = []
    for height in (200, 700):
        bands = BandedNetwork(NETWORKS[name], height, 6, band, torch.device("cpu"), torch.float32)
        for part in bands.upscale(torch.rand(3, 5, 6) for _ in range(height // 5)):
            assert part.shape[1] <= 16
        peaks.append(bands.meter.peak)
    assert peaks[0] == peaks[1]
    predicted = band_bytes(NETWORKS[name], 6, band)
    assert 0.6 * predicted < peaks[0] <= predicted


@both
def test_bfloat16_repeats_and_is_as_close_as_the_whole_image(name: str, photo: Photo) -> None:
    network, image = NETWORKS[name], photo(width=64)[:, :43, :20]
    half = copy.deepcopy(network).bfloat16()
    runs = [torch.cat(list(in_bands(half, [image], 43, 20, band=8)), 1) for _ in range(2)]
    assert torch.equal(runs[0], runs[1])
    expected = whole(network, image)
    error, bound = (
        (result.float() - expected).square().mean().sqrt() for result in (runs[0], whole(half, image))
    )
    assert 0 < error < 1.2 * bound


def test_rows_may_be_used_again_by_their_owner(photo: Photo) -> None:
    image, buffer = photo(width=64)[:, :24, :9], torch.empty(3, 4, 9)

    def rows() -> Iterator[Tensor]:
        for top in range(0, 24, 4):
            yield buffer.copy_(image[:, top : top + 4])

    actual = torch.cat(list(in_bands(NETWORKS["rrdbnet"], rows(), 24, 9, band=8)), 1)
    torch.testing.assert_close(actual, whole(NETWORKS["rrdbnet"], image))


def test_it_starts_before_the_image_ends_and_leaves_gradients_alone() -> None:
    given = []

    def rows() -> Iterator[Tensor]:
        for top in range(50):
            given.append(top)
            yield torch.rand(3, 8, 5)

    bands = in_bands(NETWORKS["rrdbnet"], rows(), 400, 5, band=8)
    assert not given
    next(bands)
    assert len(given) < 10
    assert torch.is_grad_enabled()


def test_faults_are_named() -> None:
    network, image = NETWORKS["rrdbnet"], torch.rand(3, 20, 6)
    with pytest.raises(StreamingError, match="only 20 rows came of an image of 21"):
        list(in_bands(network, [image], 21, 6))
    with pytest.raises(StreamingError, match=r"rows 12 to 31 are \(3, 20, 6\); the image is \(3, 31, 6\)"):
        list(in_bands(network, [image[:, :12], image], 31, 6))
    with pytest.raises(StreamingError, match=r"rows 0 to 19 are \(3, 20, 6\); the image is \(3, 20, 7\)"):
        list(in_bands(network, [image], 20, 7))
    with pytest.raises(StreamingError, match="at least 1"):
        in_bands(network, [image], 20, 6, band=0)
    with pytest.raises(TypeError, match="Conv2d cannot be computed in bands"):
        in_bands(nn.Conv2d(3, 3, 3), [image], 20, 6)


def test_values_that_are_not_finite_are_named() -> None:
    image = torch.rand(3, 20, 6)
    spoilt = image.clone()
    spoilt[1, 13, 2] = torch.nan
    with pytest.raises(StreamingError, match="not finite, first in row 13"):
        list(in_bands(NETWORKS["rrdbnet"], spoilt.split(5, 1), 20, 6))
    network = copy.deepcopy(NETWORKS["rrdbnet"])
    network.conv_hr.weight.data[0] = 3e38
    with pytest.raises(StreamingError, match=r"rows 0 to \d+ of the upscaled image .* torch.float32"):
        list(in_bands(network, [image], 20, 6))
