"""Checkpoints that are damaged, foreign, ruined or cut short."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from ourgan.training import checkpoint
from ourgan.training.checkpoint import CheckpointError


def contents() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "generator.weight": torch.randn(4, 3, 3, 3),
        "half": torch.randn(7).bfloat16(),
        "exact": torch.randn(3, dtype=torch.float64),
        "optimizer.0.step": torch.tensor(5.0),
        "rng": torch.Generator().get_state(),
        "strided": torch.randn(4, 6).T,
    }


META = {"position": {"scale": 2, "iteration": 7, "noise_amplitudes": [1.0, 0.1 + 0.2]}, "title": "Größe"}


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, contents(), META)
    return path


def test_what_is_saved_comes_back_bit_for_bit(saved: Path) -> None:
    tensors, meta = checkpoint.load(saved)
    assert meta == META
    assert list(saved.parent.iterdir()) == [saved]
    expected = contents()
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_equal_tensors_make_equal_files(saved: Path, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "again.safetensors", contents(), META)
    assert checkpoint.load(tmp_path / "again.safetensors")[1] == META
    assert (tmp_path / "again.safetensors").stat().st_size == saved.stat().st_size


def test_two_names_of_one_tensor_are_saved(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    checkpoint.save(tmp_path / "a", {"whole": shared, "part": shared[:2]}, {})
    tensors, _ = checkpoint.load(tmp_path / "a")
    assert torch.equal(tensors["part"], shared[:2])


def test_a_loaded_checkpoint_survives_its_replacement(saved: Path) -> None:
    tensors, _ = checkpoint.load(saved)
    checkpoint.save(saved, {name: torch.zeros_like(t) for name, t in contents().items()}, {})
    assert torch.equal(tensors["generator.weight"], contents()["generator.weight"])


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.safetensors")
    assert "no such file" in refused(tmp_path)  # a directory is none either


@pytest.mark.parametrize("kept", [0, 4, 8, 60, 400, -1])
def test_a_truncated_file(saved: Path, kept: int) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[:kept])
    assert "damaged" in refused(saved)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_header_never_escapes_as_another_error(saved: Path, data: st.DataObject) -> None:
    good = bytearray(saved.read_bytes())
    end = 8 + struct.unpack("<Q", good[:8])[0]
    for at in data.draw(st.lists(st.integers(0, end - 1), min_size=1, max_size=3)):
        good[at] ^= data.draw(st.integers(1, 255))
    damaged = saved.with_name("damaged.safetensors")
    damaged.write_bytes(good)
    try:
        checkpoint.load(damaged)
    except CheckpointError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html><html>not found</html>", b"\x80\x04cos\nsystem\n.", b"\xff" * 64]
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    assert "damaged" in refused(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors_of_somebody_else(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    assert "not written by ourgan" in refused(path)


@pytest.mark.parametrize("meta", ["{", "3", "null", '"text"'])
def test_a_meta_entry_that_is_none(tmp_path: Path, meta: str) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={"ourgan": meta})
    assert "damaged" in refused(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["generator.weight", "half", "exact", "optimizer.0.step"])
def test_a_ruined_state_is_not_saved_over_a_good_one(saved: Path, name: str, value: float) -> None:
    before = saved.read_bytes()
    ruined = contents()
    ruined[name].view(-1)[-1] = value
    with pytest.raises(CheckpointError, match=f"not saved, {name} holds NaN or infinity"):
        checkpoint.save(saved, ruined, META)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_an_unwritable_place_is_one_line(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="cannot be written") as caught:
        checkpoint.save(saved.parent / "missing" / "checkpoint.safetensors", contents(), META)
    assert "\n" not in str(caught.value)
    before = saved.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        checkpoint.save(saved, contents(), {"new": True})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_no_pickle_is_written(saved: Path) -> None:
    data = saved.read_bytes()
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    assert set(header) == {*contents(), "__metadata__"}
    assert len(data) == 8 + struct.unpack("<Q", data[:8])[0] + max(
        entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"
    )


def test_prefixes_take_whole_names_only() -> None:
    tensors = checkpoint.add_prefix("optimizer", {"0.step": torch.ones(1)})
    tensors |= checkpoint.add_prefix("optimizer_d", {"0.step": torch.zeros(1)})
    assert list(tensors) == ["optimizer.0.step", "optimizer_d.0.step"]
    assert list(checkpoint.with_prefix("optimizer", tensors)) == ["0.step"]
    assert checkpoint.with_prefix("optimizer", tensors)["0.step"].item() == 1


def test_an_optimizer_goes_on_as_if_it_had_never_stopped() -> None:
    def built() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 2)
        groups = [{"params": [network.weight], "lr": 0.1}, {"params": [network.bias], "lr": 0.01}]
        return network, torch.optim.Adam(groups, betas=(0.5, 0.999))

    def step(network: torch.nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        network(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    network, optimizer = built()
    for _ in range(3):
        step(network, optimizer)
    again, other = built()
    again.load_state_dict({k: v.clone() for k, v in network.state_dict().items()})
    state = {name: t.clone() for name, t in checkpoint.collect({}, {"optimizer": optimizer}).items()}
    checkpoint.restore(state, {}, {"optimizer": other})
    for _ in range(3):
        step(network, optimizer)
        step(again, other)
    assert torch.equal(again.weight, network.weight)
    assert torch.equal(again.bias, network.bias)
