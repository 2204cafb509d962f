"""SIFID in bands against the whole image's features, its cache, its refusals; and what stands in for it.

The Inception of these tests has random weights: nothing here is a SIFID.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import Inception3

from ourgan import weights
from ourgan.metrics import sifid, streaming_features
from ourgan.metrics.lpips import MetricUnavailable
from ourgan.metrics.sifid import (
    STAND_IN,
    ImageTooSmall,
    Statistics,
    extract_statistics,
    load_inception,
    si_fd,
    sifid_extractor,
)

Photo = Callable[..., Tensor]

NAMES = {"64": "Conv2d_2b_3x3", "5": "Conv2d_4a_3x3", "13": "Mixed_6e"}


def whole(network: Inception3, image: Tensor) -> dict[str, np.ndarray]:
    """Features of the whole image, as torchvision's own forward computes them: (C, positions), float64."""
    found: dict[str, np.ndarray] = {}
    for layer, name in NAMES.items():

        def keep(module: nn.Module, given: object, made: Tensor, layer: str = layer) -> None:
            found[layer] = made[0].flatten(1).double().numpy()

        network.get_submodule(name).register_forward_hook(keep)
    try:
        with torch.no_grad():
            network(2 * image[None] - 1)
    finally:
        for name in NAMES.values():
            network.get_submodule(name)._forward_hooks.clear()
    return found


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """By the book: scipy's root of the product of two covariances."""
    covariances = np.cov(first), np.cov(second)
    root = sqrtm(covariances[0] @ covariances[1]).real
    apart = ((first.mean(1) - second.mean(1)) ** 2).sum()
    return float(apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.trace(root))


@pytest.mark.slow
def test_bands_of_a_1k_photo_are_the_whole_photo(
    inception_network: Inception3, random_inception: None, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming_features, "SHARE", 1)  # many bands
    monkeypatch.setattr(sifid, "BAND_BYTES", 2**20)
    image, other = photo(width=1024)[:, :540], photo("stream", width=600)
    features, others = whole(inception_network, image), whole(inception_network, other)
    for layer, channels in (("64", 64), ("5", 192), ("13", 768)):
        found, expected = extract_statistics(image, sifid_extractor(layer)), features[layer]
        assert len(expected) == channels and found.count == expected.shape[1] and expected.min() >= 0
        covariance = np.cov(expected)
        assert np.abs(found.mean.numpy() - expected.mean(1)).max() < 1e-6 * expected.mean()
        assert np.abs(found.covariance.numpy() - covariance).max() < 1e-6 * covariance.max()
        assert sifid.sifid(image, other, layer) == pytest.approx(distance(expected, others[layer]), rel=1e-6)


def test_the_photo_is_computed_once(
    random_inception: None, photo: Photo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    computed: list[int] = []
    real = sifid.extract_statistics

    def count(image: Tensor, extractor: sifid.Extractor) -> Statistics:
        computed.append(image.shape[2])
        return real(image, extractor)

    monkeypatch.setattr(sifid, "extract_statistics", count)
    image, sample = photo(width=160), photo("stream", width=150)
    first = sifid.sifid(image, sample, "64")
    assert computed == [160, 150]
    assert sifid.sifid(image, sample, "64") == first and computed == [160, 150, 150]
    sifid._remembered.clear()  # as in another process: from the disk
    assert sifid.sifid(image.clone(), sample, "64") == first and computed == [160, 150, 150, 150]
    (kept,) = (tmp_path / "ourgan" / "statistics").iterdir()
    sifid._remembered.clear()
    kept.write_bytes(kept.read_bytes()[:100])  # damaged: computed again, and written again
    assert sifid.sifid(image, sample, "64") == first and computed[-2:] == [160, 150]
    assert kept.stat().st_size > 30_000
    sifid.sifid(image * 0.99, sample, "64")  # another photo
    sifid.sifid(image, sample, "5")  # another layer
    blocks = sifid.load_inception()[0]
    monkeypatch.setattr(sifid, "load_inception", lambda: (blocks, "other weights"))
    sifid.sifid(image, sample, "64")
    assert computed[-6:] == [160, 150] * 3
    assert len(list(kept.parent.iterdir())) == 4


def test_an_image_with_too_few_vectors_is_refused(random_inception: None, photo: Photo) -> None:
    small, large = photo(width=256)[:, :135], photo(width=700)
    with pytest.raises(
        ImageTooSmall, match=r"256x135 pixels have 84 feature vectors, 768 .*least 6\d\dx3\d\d"
    ):
        sifid.sifid(large, small, "13")
    extractor = sifid_extractor("13")
    with pytest.raises(ImageTooSmall) as refused:
        extractor.check_size(135, 256)
    width, height = map(int, str(refused.value).rsplit(" ", 2)[1].split("x"))
    extractor.check_size(height, width)
    with pytest.raises(ImageTooSmall):
        extractor.check_size(height - 1, width - 2)
    with pytest.raises(ValueError, match="64, 5, 13"):
        sifid_extractor("2048")


def test_without_the_weights_there_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    load_inception.cache_clear()
    with pytest.raises(
        MetricUnavailable, match=r"SIFID is absent: its InceptionV3 cannot be had .*hf download"
    ):
        sifid.sifid(torch.zeros(3, 99, 99), torch.zeros(3, 99, 99))


def test_weights_without_batch_counts_or_deeper_layers_will_do(
    inception_network: Inception3, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {
        name: value
        for name, value in inception_network.state_dict().items()
        if not name.startswith(("Mixed_7", "fc")) and not name.endswith("num_batches_tracked")
    }
    load_inception.cache_clear()
    given = SimpleNamespace(state_dict=state, sha256="7", source="a file")
    monkeypatch.setattr(weights, "load", lambda name: given)
    blocks, sha256 = load_inception()
    image = torch.rand(1, 3, 79, 83)
    with torch.no_grad():
        torch.testing.assert_close(blocks["Conv2d_1a_3x3"](image), inception_network.Conv2d_1a_3x3(image))
    assert sha256 == "7"
    load_inception.cache_clear()
    del state["Mixed_6e.branch_pool.bn.running_var"]
    with pytest.raises(MetricUnavailable, match=r"a file holds no InceptionV3 .*Mixed_6e\.branch_pool"):
        load_inception()
    load_inception.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("depth", ["relu2_2", "relu4_3"])
def test_the_stand_in_sees_blur_and_has_its_own_name(depth: str, photo: Photo) -> None:
    assert "sifid" not in STAND_IN.lower() and "sifid" not in sifid.si_fd_extractor(depth).name.lower()
    image = photo(width=200)
    assert si_fd(image, image, depth) < 1e-6
    mirrored = si_fd(image, image.flip(2), depth)
    blurred = [
        si_fd(image, F.interpolate(F.avg_pool2d(image[None], n), image.shape[1:], mode="bilinear")[0], depth)
        for n in (2, 5)
    ]
    assert 0 < mirrored < blurred[0] < blurred[1]
    with pytest.raises(ValueError, match="relu2_2, relu4_3"):
        si_fd(image, image, "5")
