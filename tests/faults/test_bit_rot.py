"""F2, F12, F25: files of a training that the disk has spoilt are noticed, not trained from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from test_super_resolution import trainer
from torch import Tensor

from ourgan.training import checkpoint
from ourgan.training.checkpoint import CHECKPOINT, LOG, CheckpointError
from ourgan.training.finetune import train_super_resolution

META = {"position": {"scale": 2, "iteration": 7}, "identity": {"seed": 1}}


def contents() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {"weight": torch.randn(4, 3), "half": torch.randn(7).bfloat16(), "step": torch.tensor(5.0)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / CHECKPOINT
    checkpoint.save(path, contents(), META)
    return path.read_bytes()


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_bit_can_flip_unnoticed(tmp_path: Path, saved: bytes, where: float, bit: int) -> None:
    data = bytearray(saved)
    data[int(where * len(data))] ^= 1 << bit
    path = tmp_path / CHECKPOINT
    path.write_bytes(data)
    try:
        tensors, meta = checkpoint.load(path)
    except CheckpointError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return
    # What may flip is the padding of the header, and the name of its checksum.
    assert meta == META and tensors.keys() == contents().keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in contents().items())


def test_a_flipped_bit_of_a_tensor_is_named_as_damage(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / CHECKPOINT
    path.write_bytes(saved[:-3] + bytes([saved[-3] ^ 1]) + saved[-2:])
    load_file(path)  # to safetensors nothing is wrong with it
    with pytest.raises(CheckpointError, match=r"damaged \(its contents are not those that were written"):
        checkpoint.load(path)


def test_a_checkpoint_from_before_checksums_still_loads(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    save_file(contents(), path, metadata={"ourgan": '{"iteration": 4}'})
    tensors, meta = checkpoint.load(path)
    assert meta == {"iteration": 4} and torch.equal(tensors["weight"], contents()["weight"])


@pytest.fixture(scope="module")
def trained(photo: Callable[..., Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    train_super_resolution(trainer(photo, iterations=2, validate_every=2), run, progress=False)
    return run


@pytest.mark.parametrize("name", [CHECKPOINT, LOG, "best"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "a web page"])
def test_what_a_training_goes_on_from_is_checked_before_it_does(
    photo: Callable[..., Tensor], trained: Path, tmp_path: Path, name: str, damage: str
) -> None:
    if (name, damage) in ((CHECKPOINT, "gone"), (LOG, "flipped")):
        pytest.skip("without a checkpoint a training begins; a log is for people and has no checksum")
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (path,) = run.glob("best-*") if name == "best" else [run / name]
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        flipped = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
        path.write_bytes({"flipped": flipped, "cut": data[:-9]}.get(damage, b"<!doctype html>"))
    with pytest.raises(CheckpointError) as caught:
        train_super_resolution(
            trainer(photo, iterations=2, validate_every=2), run, resume=True, progress=False
        )
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
