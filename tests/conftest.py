"""What every test may use: real photographs, small, and one thread."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import Inception3, inception_v3

from ourgan import weights
from ourgan.metrics import sifid
from ourgan.metrics.lpips import lpips_network
from ourgan.models.feature_nets import inception_blocks

# Rooms whose tests start kernels, browsers, servers, trainings; elsewhere a test says itself that it is slow.
SLOW_ROOMS = {"benchmark", "browser", "cluster", "faults", "reproduce"}
PHOTOS = Path(__file__).parents[1] / "data" / "photos"


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what `-m` does not ask for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in SLOW_ROOMS:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test measures on a toy must never be taken for true by the person who runs it, nor the reverse.

    For the whole session: fixtures of a module measure, too.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(autouse=True)
def one_thread() -> None:
    # Bit-identity is promised for equal thread counts, and the tests share the machine.
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def one_thread_from_the_start() -> None:
    # Fixtures of a module are made before those of its first test.
    torch.set_num_threads(1)


@pytest.fixture
def no_trunk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The VGG16 of LPIPS where neither the Hub nor the package that carries it is at hand."""
    known = weights.read_registry()
    without = known | {"vgg16": dataclasses.replace(known["vgg16"], package=None)}
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    monkeypatch.setattr(weights, "read_registry", lambda: without)
    lpips_network.cache_clear()
    yield
    lpips_network.cache_clear()


@functools.cache
def _scaled(name: str, width: int) -> np.ndarray:
    with Image.open(PHOTOS / f"{name}.jpg") as photo:
        photo.draft("RGB", (4 * width, 1))  # the decoder leaves out what is scaled away afterwards
        size = (width, round(width * photo.height / photo.width))
        return np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BOX))


@pytest.fixture(scope="session")
def photo() -> Callable[..., torch.Tensor]:
    """`photo(name="picos-de-europa", width=64)`: one of data/photos, (3, H, width) float32 in [0, 1]."""

    def small(name: str = "picos-de-europa", width: int = 64) -> torch.Tensor:
        return torch.tensor(_scaled(name, width)).permute(2, 0, 1).float() / 255

    return small


@pytest.fixture(scope="session")
def inception_network(photo: Callable[..., torch.Tensor]) -> Inception3:
    """torchvision's with random weights, normalised so that no channel is the same everywhere."""
    torch.manual_seed(0)
    network = inception_v3(weights=None, aux_logits=False, init_weights=False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # statistics of the one photo that it sees
    with torch.no_grad():
        network.train()(2 * photo(width=320)[None].repeat(2, 1, 1, 1) - 1)
    return network.eval().requires_grad_(False)


@pytest.fixture
def random_inception(inception_network: Inception3, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of SIFID replaced: the arithmetic is SIFID's, the numbers are none."""
    loaded = inception_blocks(inception_network.state_dict()), "random weights of a test"
    monkeypatch.setattr(sifid, "load_inception", lambda: loaded)
    sifid._remembered.clear()


@pytest.fixture
def packaged_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command asks no Hub for weights, and leaves the log as pytest has set it up."""
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)
