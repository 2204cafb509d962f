"""The upscaler never changes: other settings are another one, with networks of its own where they differ."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from ourgan._core.errors import OurganError
from ourgan.config import SuperResolutionConfig
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale.bands import BandPlan
from ourgan.upscale.networks import Loaded
from ourgan.upscale.schedule import Network, bytes_needed
from ourgan.upscale.upscaler import PROCESS_BYTES, Upscaler
from ourgan.weights import Weights

IMAGE = torch.rand(3, 12, 10, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def upscaler(monkeypatch: pytest.MonkeyPatch) -> Upscaler:
    """With tiny networks; each call makes a new one."""

    def tiny(settings: SuperResolutionConfig) -> Loaded:
        torch.manual_seed(5)
        swinir = settings.backbone == "swinir"
        network: Network = SwinIR(12, (2,), 2) if swinir else RRDBNet(8, 1, 4)
        return network.eval(), Weights(settings.released, {}, "a test", "0" * 64, "CC0-1.0")

    monkeypatch.setattr("ourgan.upscale.upscaler.starting_network", tiny)
    return Upscaler(SuperResolutionConfig(noise_std=0.1, dtype="float32"), device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("change", "kind", "dtype"),
    [
        ({"backbone": "swinir"}, SwinIR, torch.float32),
        ({"dtype": "bfloat16"}, RRDBNet, torch.bfloat16),
        ({"weights": "esrgan-x4"}, RRDBNet, torch.float32),
    ],
)
def test_a_change_after_a_network_was_used_takes_the_new_one(
    upscaler: Upscaler, change: dict[str, str], kind: type, dtype: torch.dtype
) -> None:
    before, source = upscaler.network(2)
    other = upscaler.using(**change)
    after, new_source = other.network(2)
    assert after is not before and isinstance(after, kind)
    assert other.step(2).dtype == dtype
    assert new_source.name == other.settings.released
    assert upscaler.network(2) == (before, source)  # as it was
    described = other.describe(other.plan(IMAGE, [2]))
    assert described["super_resolution"][next(iter(change))] == next(iter(change.values()))


def test_other_weights_serve_all_steps(upscaler: Upscaler, tmp_path: Path) -> None:
    tuned = dataclasses.replace(upscaler, fine_tuned={2: tmp_path / "sr2.safetensors"})
    assert tuned.using(overlap=8, weights="auto").fine_tuned == tuned.fine_tuned
    other = tuned.using(weights="esrgan-x4")
    assert other.fine_tuned == {} and other.network(2)[1].name == "esrgan-x4"
    assert (other.settings.noise_std, other.settings.backbone) == (0.0, "esrgan")
    assert tuned.using(weights="esrgan-x4", noise_std=0.05).settings.noise_std == 0.05
    assert tuned.using(weights="swinir-m-x4-real").settings.backbone == "swinir"


def test_it_cannot_be_changed_in_place(upscaler: Upscaler) -> None:
    for name, value in (("settings", SuperResolutionConfig()), ("device", torch.device("cpu"))):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(upscaler, name, value)
    with pytest.raises(dataclasses.FrozenInstanceError):
        upscaler.settings.backbone = "swinir"  # type: ignore[misc]


def test_networks_are_shared_where_they_are_the_same(upscaler: Upscaler) -> None:
    network = upscaler.network(2)[0]
    assert upscaler.network(3)[0] is network  # neither step has weights of its own
    other = upscaler.using(noise_std=0.0, overlap=8, tile_memory_mb=64)
    assert other.network(2)[0] is network and other.step(2).noise_std == 0
    assert not torch.equal(other.upscale(IMAGE, 5, [2]), upscaler.upscale(IMAGE, 5, [2]))


@pytest.mark.parametrize("method", ["stream", "tile"])
def test_rows_from_anywhere_are_those_of_the_picture(upscaler: Upscaler, method: str) -> None:
    plans = upscaler.plan(IMAGE, [2, 3], method=method, overlap=4)
    whole = upscaler.upscale(IMAGE, 5, [2, 3], method=method, overlap=4)
    assert whole.shape == (3, 192, 160) and 0 <= whole.min() and whole.max() <= 1
    for first in (0, 1, 77, 191):
        rows = torch.cat(list(upscaler.rows(IMAGE, 5, first, plans=plans)), 1)
        assert torch.equal(rows, whole[:, first:])
    assert list(upscaler.rows(IMAGE, 5, 192, plans=plans)) == []


def test_memory_decides_and_is_predicted(upscaler: Upscaler) -> None:
    plans = upscaler.plan(IMAGE, [2, 3])
    assert upscaler.predict_memory(plans) == PROCESS_BYTES["cpu"] + bytes_needed(plans)
    tight = upscaler.plan(IMAGE, [2, 3], memory_budget=PROCESS_BYTES["cpu"] + 2**19)
    assert bytes_needed(tight) < 2**19 < bytes_needed(plans)
    assert all(isinstance(plan.layout, BandPlan) and plan.layout.band == 64 for plan in plans)
    with pytest.raises(OurganError, match="budget"):
        upscaler.plan(IMAGE, [2, 3], memory_budget=PROCESS_BYTES["cpu"] + 1000)
    with pytest.raises(OurganError, match="method 'strips': use one of auto, stream, tile"):
        upscaler.plan(IMAGE, [2], method="strips")
