"""Bands of a network are its whole image: any stack of layers, any cut, and the trunks that are used."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stlpips_pytorch.models_lpf.downsample import Downsample
from torch import Tensor, nn

from ourgan.metrics import streaming_features
from ourgan.metrics.streaming_features import Block, in_bands, perceptual_blocks, plain_blocks
from ourgan.models.feature_nets import shift_tolerant

Photo = Callable[..., Tensor]

CONVOLUTION = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2)).filter(lambda c: c[2] < c[0])


def layer(kind: object) -> list[nn.Module]:
    if kind == "blur":
        return [Downsample(channels=2, filt_size=3, stride=2, pad_more=True)]
    if kind == "pool":
        return [nn.MaxPool2d(2, 1)]
    kernel, stride, padding = kind  # type: ignore[misc]
    return [nn.Conv2d(2, 2, kernel, stride, padding), nn.ReLU(inplace=True)]


def cut(image: Tensor, heights: list[int]) -> list[Tensor]:
    edges = sorted({min(h, image.shape[2]) for h in heights} | {0, image.shape[2]})
    return [image[:, :, a:b] for a, b in itertools.pairwise(edges)]


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.lists(st.one_of(CONVOLUTION, st.just("blur"), st.just("pool")), min_size=1, max_size=5),
    height=st.integers(20, 60),
    heights=st.lists(st.integers(1, 60), max_size=8),
    band_bytes=st.integers(0, 2000),
)
def test_bands_are_the_whole_image(
    kinds: list[object], height: int, heights: list[int], band_bytes: int
) -> None:
    torch.manual_seed(0)
    layers = [part for kind in kinds for part in layer(kind)]
    network = nn.Sequential(*layers).double().eval().requires_grad_(False)
    image = torch.randn(1, 2, height, 24, dtype=torch.float64)
    blocks = plain_blocks(layers)
    rows = columns = 0
    try:
        whole = network(image)
        rows, columns = height, 24
        for block in blocks:
            rows, columns = block.size(rows), block.size(columns)
    except RuntimeError:  # nothing is left of so small an image
        return
    found = in_bands(blocks, cut(image, heights), height, [len(blocks) - 1], band_bytes)
    joined = torch.cat([part for _, part in found], 2)
    assert joined.shape[2:] == (rows, columns)
    torch.testing.assert_close(joined, whole, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_all_five_depths_of_a_real_trunk(trunk: str, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming_features, "SHARE", 1)  # many bands
    network = shift_tolerant(trunk)
    image = photo(width=96)[None]
    blocks, taps = perceptual_blocks(network)
    with torch.no_grad():
        whole = network.net(network.scaling_layer(2 * image - 1))
        bands = list(in_bands(blocks, (2 * image - 1).split(7, 2), image.shape[2], taps, 0))
    for tap, expected in zip(taps, whole, strict=True):
        parts = [rows for number, rows in bands if number == tap]
        assert len(parts) > 1 or tap > taps[1]  # few rows are left deep down
        assert (torch.cat(parts, 2) - expected).abs().max() < 1e-6 * expected.max()


def test_rows_are_not_computed_over_and_over(photo: Photo) -> None:
    seen = 0

    def count(_: object, given: tuple[Tensor]) -> None:
        nonlocal seen
        seen += given[0].shape[2]

    counted = nn.AvgPool2d(13, 1, 6)
    counted.register_forward_pre_hook(count)
    image = photo(width=64).repeat(1, 10, 1)[None]
    list(in_bands([Block(counted, 13, 1, 6)], image.split(1, 2), image.shape[2], [0], 0))
    assert image.shape[2] < seen < 1.13 * image.shape[2]  # 12 rows of every 96 twice


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError, match="Linear has no known window"):
        plain_blocks([nn.Linear(1, 1)])
    with pytest.raises(TypeError, match=r"\(1, 7\) differs between the axes"):
        plain_blocks([nn.Conv2d(1, 1, (1, 7))])
