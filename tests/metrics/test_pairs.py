"""All pairs at once are the pairs one by one; each sample is read once and goes through the trunk once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor
from torchvision.models.vgg import cfgs, make_layers

from ourgan import weights
from ourgan._core.errors import OurganError
from ourgan.io.pixels import write_image
from ourgan.metrics.lpips import (
    NETWORKS,
    MetricUnavailable,
    lpips,
    lpips_network,
    mean_pairwise,
    pairwise,
    st_lpips,
)

Photo = Callable[..., Tensor]


@pytest.fixture
def samples(photo: Photo) -> list[Tensor]:
    image = photo(width=101)
    return [image, image.flip(2), photo("sunset", width=128)[:, :76, :101], 0.7 * image + 0.2]


@pytest.fixture(params=["st_lpips", "lpips"])
def metric(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """LPIPS on random weights: not LPIPS, but the same arithmetic."""
    if request.param == "lpips":
        torch.manual_seed(0)
        layers = make_layers(cfgs["D"])  # VGG16 without its classifier
        state = {f"features.{name}": value for name, value in layers.state_dict().items()}
        trunk = SimpleNamespace(state_dict=state)
        monkeypatch.setattr(weights, "load", lambda name: trunk)
        lpips_network.cache_clear()
    yield str(request.param)
    lpips_network.cache_clear()


@pytest.mark.slow
def test_it_is_the_mean_of_the_plain_distances(
    metric: str, samples: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ourgan.metrics.lpips.BAND_BYTES", 1)  # bands of 16 rows
    plain = {"st_lpips": st_lpips, "lpips": lpips}[metric]
    three = samples[1:]
    expected = [plain(a, b, tile=60) for a, b in itertools.combinations(three, 2)]
    found = pairwise(three, metric, tile=60)
    assert found.shape == (3, 3) and torch.equal(found, found.T) and not found.diagonal().any()
    rows, columns = zip(*itertools.combinations(range(3), 2), strict=True)
    assert found[list(rows), list(columns)].tolist() == pytest.approx(expected, rel=1e-5)
    assert mean_pairwise(three, metric, tile=60) == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_files_and_callables_are_read_once_and_lose_nothing(samples: list[Tensor], tmp_path: Path) -> None:
    write_image(tmp_path / "eight.png", samples[0])
    sixteen = (samples[1].permute(1, 2, 0).numpy() * 65535).round().astype(np.uint16) | 1
    tifffile.imwrite(tmp_path / "sixteen.tif", sixteen, photometric="rgb")
    calls = 0

    def drawn() -> Tensor:
        nonlocal calls
        calls += 1
        return samples[3]  # not in steps of 1/255

    given = [tmp_path / "eight.png", str(tmp_path / "sixteen.tif"), drawn]
    in_memory = [samples[0], torch.from_numpy(sixteen / np.float32(65535)).permute(2, 0, 1), samples[3]]
    assert torch.equal(pairwise(given, tile=64), pairwise(in_memory, tile=64))
    assert calls == 1


def test_each_sample_goes_through_the_trunk_once(
    samples: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = NETWORKS["st_lpips"]()
    rows = [0, 0]
    watched = [network.net.slice1[0], network.net.slice5[0]]
    for number, layer in enumerate(watched):

        def count(module: object, given: tuple[Tensor], number: int = number) -> None:
            rows[number] += given[0].shape[2]

        layer.register_forward_pre_hook(count)
    try:
        pairwise(samples[:2])
        once = rows.copy()
        pairwise(samples)
    finally:
        for layer in watched:
            layer._forward_pre_hooks.clear()
    assert rows == [once[0] * 3, once[1] * 3]  # two samples, then four
    assert once[0] <= 2 * samples[0].shape[1] * 1.2


def test_what_cannot_be_compared_is_refused_in_one_line(samples: list[Tensor], tmp_path: Path) -> None:
    for few in ([], samples[:1]):
        with pytest.raises(OurganError, match="give two or more"):
            mean_pairwise(few)
    write_image(tmp_path / "wide.png", samples[0][:, :, :90])
    with pytest.raises(OurganError, match=r"wide\.png: 90x76 pixels, the first sample has 101x76"):
        mean_pairwise([*samples, tmp_path / "wide.png"])
    with pytest.raises(OurganError, match="from 32 px up"):
        mean_pairwise([sample[:, :31] for sample in samples])
    (tmp_path / "broken.png").write_bytes((tmp_path / "wide.png").read_bytes()[:500])
    with pytest.raises(OurganError, match=r"broken\.png: truncated or damaged"):
        mean_pairwise([tmp_path / "wide.png", tmp_path / "broken.png"])
    with pytest.raises(ValueError, match="lpips or st_lpips"):
        mean_pairwise(samples, "sifid")


def test_without_the_trunk_there_is_no_number(samples: list[Tensor], no_trunk: None) -> None:
    with pytest.raises(MetricUnavailable, match="LPIPS is absent"):
        mean_pairwise(samples, "lpips")
