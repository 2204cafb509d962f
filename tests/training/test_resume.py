"""A training that is killed at any moment ends, once resumed, as if it had never stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ourgan._core.strict_toml import from_dict
from ourgan.config import GlobalStructureConfig
from ourgan.training import checkpoint
from ourgan.training.checkpoint import CHECKPOINT, LOG
from ourgan.training.run_lock import defer_signals
from ourgan.training.scales import train_global_structure

NEVER = 1e9
SEED = 5
CONFIG: dict[str, Any] = {
    "width": 32,
    "min_width": 16,
    "vae_refinements": 1,
    "gan_stages": 2,
    "channels": 8,
    "layers": 2,
    "latent_channels": 8,
    "iterations": [21, 4, 22, 3],  # more than 20, so that the log has lines within a scale
    "horizontal_flip": True,
    "decay_share": 0.5,
    "dtype": "bfloat16",
}
# Shares of the training done when the process dies: a random one in each quarter.
RANDOM = random.Random(20)
MOMENTS = [((quarter + RANDOM.uniform(0.1, 0.9)) / 4, (0, NEVER)[quarter % 2]) for quarter in range(4)]
Photo = Callable[..., Tensor]
State = tuple[dict[str, Tensor], dict[str, Any], list[dict[str, Any]]]


def final_state(run: Path) -> State:
    """All tensors, the meta and the log, without the seconds."""
    tensors, meta = checkpoint.load(run / CHECKPOINT)
    meta.pop("seconds")
    lines = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    for line in lines:
        line.pop("seconds")
    return tensors, meta, lines


def train_here(photo: Tensor, run: Path, *, resume: bool = False) -> None:
    torch.set_num_threads(1)
    config = from_dict(GlobalStructureConfig, CONFIG, "test")
    train_global_structure(
        photo, config, run, seed=SEED, resume=resume, checkpoint_seconds=NEVER, progress=False
    )


@pytest.fixture(scope="module")
def uninterrupted(photo: Photo, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state to arrive at, and the number of function calls on the way, of a child as those killed are."""
    image = photo("picos-de-europa")
    folder = tmp_path_factory.mktemp("uninterrupted")
    command = job(folder, image, count_calls=True)
    calls = int(subprocess.run(command, env=environment(), check=True, capture_output=True).stdout)
    state = final_state(folder / "run")
    assert [(line["scale"], line["iteration"]) for line in state[2]] == [
        (0, 20), (0, 21), (1, 4), (2, 20), (2, 22), (3, 3)
    ]  # fmt: skip
    return {"photo": image, "calls": calls, "state": state}


def job(tmp_path: Path, photo: Tensor, **changes: Any) -> list[str]:
    """The command of a child that trains in tmp_path / "run"."""
    np.save(tmp_path / "photo.npy", photo.numpy())
    settings = {
        "photo": str(tmp_path / "photo.npy"),
        "run": str(tmp_path / "run"),
        "config": CONFIG,
        "seed": SEED,
        "checkpoint_seconds": NEVER,
    }
    (tmp_path / "job.json").write_text(json.dumps(settings | changes), encoding="utf-8")
    return [sys.executable, str(Path(__file__).with_name("training_child.py")), str(tmp_path / "job.json")]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}


def killed(command: list[str]) -> None:
    child = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr


def resume_and_compare(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    run = tmp_path / "run"
    train_here(uninterrupted["photo"], run, resume=True)
    compare(run, uninterrupted["state"])
    assert sorted(path.name for path in run.iterdir()) == sorted(
        [CHECKPOINT, LOG, *(f"scale-{scale:02d}.png" for scale in range(4))]
    )  # nothing half-written is left


def compare(run: Path, expected: State) -> None:
    tensors, meta, log = final_state(run)
    assert tensors.keys() == expected[0].keys()
    different = [name for name, tensor in tensors.items() if not torch.equal(tensor, expected[0][name])]
    assert different == []
    assert meta == expected[1]
    assert log == expected[2]


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "seconds"), MOMENTS)
def test_killed_at_any_call_the_training_ends_with_the_same_bits(
    tmp_path: Path, uninterrupted: dict[str, Any], moment: float, seconds: float
) -> None:
    calls = round(moment * uninterrupted["calls"])
    killed(job(tmp_path, uninterrupted["photo"], kill_at_call=calls, checkpoint_seconds=seconds))
    resume_and_compare(tmp_path, uninterrupted)


@pytest.mark.slow
def test_killed_again_and_again_and_resumed_in_another_process(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    third = uninterrupted["calls"] // 3
    killed(job(tmp_path, uninterrupted["photo"], kill_at_call=third, checkpoint_seconds=0))
    killed(job(tmp_path, uninterrupted["photo"], kill_at_call=third, checkpoint_seconds=0, resume=True))
    command = job(tmp_path, uninterrupted["photo"], resume=True)
    subprocess.run(command, env=environment(), check=True)
    compare(tmp_path / "run", uninterrupted["state"])


@pytest.mark.slow
@pytest.mark.parametrize("place", ["write", "fsync", "replace"])
def test_killed_while_a_checkpoint_is_written_the_previous_one_stands(
    tmp_path: Path, uninterrupted: dict[str, Any], place: str
) -> None:
    run = tmp_path / "run"
    # The 25th is that of scale 1, iteration 4 (21 + 4).
    killed(job(tmp_path, uninterrupted["photo"], kill_in=[place, 25], checkpoint_seconds=0))
    tensors, meta = checkpoint.load(run / CHECKPOINT)
    assert (meta["position"]["scale"], meta["position"]["iteration"]) == (1, 3)
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert len(list(run.glob(".partial-*"))) == 1
    resume_and_compare(tmp_path, uninterrupted)


@pytest.mark.slow
def test_killed_before_the_first_checkpoint_it_starts_anew(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    killed(job(tmp_path, uninterrupted["photo"], kill_in=["replace", 1], checkpoint_seconds=0))
    assert not (tmp_path / "run" / CHECKPOINT).exists()
    resume_and_compare(tmp_path, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_a_signal_stops_after_the_iteration_and_its_checkpoint(
    tmp_path: Path, uninterrupted: dict[str, Any], number: signal.Signals, code: int
) -> None:
    # Iteration 27 is the second of scale 2, in the middle of a GAN scale; nothing but the signal saves there.
    command = job(tmp_path, uninterrupted["photo"], wait_at=27)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment(), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        _, errors = child.communicate("go on\n", timeout=300)
    assert child.returncode == code
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    _, meta = checkpoint.load(tmp_path / "run" / CHECKPOINT)
    assert (meta["position"]["scale"], meta["position"]["iteration"]) == (2, 2)
    resume_and_compare(tmp_path, uninterrupted)


@pytest.mark.slow
def test_the_log_never_holds_more_than_the_checkpoint_after_resuming(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    killed(job(tmp_path, uninterrupted["photo"], kill_in=["replace", 20], checkpoint_seconds=0))
    # The log of iteration 20 was written, and its checkpoint was not.
    assert [json.loads(line)["iteration"] for line in (run / LOG).read_text().splitlines()] == [20]
    assert checkpoint.load(run / CHECKPOINT)[1]["position"]["iteration"] == 19
    resume_and_compare(tmp_path, uninterrupted)


def test_the_first_signal_is_held_and_the_second_acts_at_once() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with defer_signals() as interrupt:
        interrupt.check()  # nothing has come: nothing happens
        signal.raise_signal(signal.SIGINT)
        assert interrupt.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_sigterm_asks_for_exit_code_143() -> None:
    with defer_signals() as interrupt:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit) as caught:
            interrupt.check()
    assert caught.value.code == 143


def test_handlers_are_put_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="inside"), defer_signals():
        assert signal.getsignal(signal.SIGINT) != before
        raise ValueError("inside")
    assert signal.getsignal(signal.SIGINT) == before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with defer_signals() as interrupt:
            interrupt.check()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
