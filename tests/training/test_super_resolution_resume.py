"""A training of super-resolution that is killed ends, once resumed, as if it had never stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ourgan.training import checkpoint
from ourgan.training.checkpoint import CHECKPOINT, LOG

CHILD = Path(__file__).with_name("super_resolution_child.py")
RANDOM = random.Random(4)
MOMENTS = [(half + RANDOM.uniform(0.1, 0.9)) / 2 for half in range(2)]  # of the training done


def final_state(run: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[dict[str, Any]], list[str]]:
    tensors, meta = checkpoint.load(run / CHECKPOINT)
    meta.pop("seconds")
    lines = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
    return tensors, meta, lines, sorted(path.name for path in run.iterdir())


def child(run: Path, call: int, *options: str) -> subprocess.CompletedProcess[bytes]:
    paths = os.pathsep.join(str(CHILD.parents[level]) for level in (0, 1, 2))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    command = [sys.executable, str(CHILD), str(run), str(call), *options]
    return subprocess.run(command, env=environment, capture_output=True, check=False)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Any]:
    """The number of function calls of a whole training, and the state it ends in."""
    run = tmp_path_factory.mktemp("uninterrupted")
    return int(child(run, 0).stdout), final_state(run)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_call_it_ends_with_the_same_bits(
    tmp_path: Path, uninterrupted: tuple[int, Any], moment: float
) -> None:
    calls, (tensors, meta, lines, names) = uninterrupted
    run = tmp_path / "run"
    assert child(run, round(moment * calls)).returncode == -signal.SIGKILL
    assert child(run, 0, "--resume").returncode == 0
    found = final_state(run)
    assert found[0].keys() == tensors.keys()
    assert [name for name, value in found[0].items() if not torch.equal(value, tensors[name])] == []
    assert (found[1], found[2], found[3]) == (meta, lines, names)
