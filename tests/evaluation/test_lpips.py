"""LPIPS is the package's number with the true trunk, and absent without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torchvision.models import vgg16

from ourgan import weights
from ourgan.evaluation.lpips import MetricUnavailable, lpips, lpips_network


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    lpips_network.cache_clear()
    yield
    lpips_network.cache_clear()


def test_without_the_trunk_there_is_no_number() -> None:
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
