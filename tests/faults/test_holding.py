"""F22: two processes and one directory of a training."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ourgan.training import checkpoint
from ourgan.training.checkpoint import close_run, open_run
from ourgan.training.errors import TrainingError
from ourgan.training.run_lock import HELD

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks")


@contextmanager
def another_process(run: Path) -> Iterator[int]:
    """A process that has opened `run`, as a training does, and goes on until it is killed; its number."""
    heard, says = os.pipe()
    child = os.fork()
    if child == 0:
        open_run(run, resume=True)
        os.write(says, b"!")
        signal.pause()
    assert os.read(heard, 1) == b"!"
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(heard)
        os.close(says)


def marks(run: Path) -> list[Path]:
    return list(run.glob(f"{HELD}*"))


def test_the_second_process_is_refused_and_the_dead_one_is_succeeded(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with another_process(run) as pid:
        (run / ".partial-1-checkpoint.safetensors").write_bytes(b"what the other is writing")
        with pytest.raises(TrainingError) as caught:
            open_run(run, resume=True)
        text = str(caught.value)
        assert f"process {pid} on {os.uname().nodename} is training there" in text and "\n" not in text
        assert (run / ".partial-1-checkpoint.safetensors").exists()
    assert len(marks(run)) == 1  # of the dead process
    assert open_run(run, resume=True) is False
    assert marks(run)[0].read_text().startswith(f"{os.getpid()}\n") and not list(run.glob(".partial-*"))
    close_run(run)
    assert list(run.iterdir()) == []


def test_one_training_after_another_in_one_process(tmp_path: Path) -> None:
    run = tmp_path / "run"
    open_run(run, resume=False)
    open_run(run, resume=False)  # the first ended in an error, say, and is begun again
    shutil.rmtree(run)  # as a step's directory is, once its weights are in the model
    open_run(run, resume=False)
    assert len(marks(run)) == 1
    close_run(run)
    close_run(run)
    assert list(run.iterdir()) == []


def test_a_forked_child_holds_nothing_and_leaves_its_parents_hold_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    open_run(run, resume=False)
    child = os.fork()
    if child == 0:
        try:
            open_run(run, resume=True)
        except TrainingError:
            close_run(run)
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert len(marks(run)) == 1
    close_run(run)


def test_a_directory_copied_from_a_running_training_is_free(tmp_path: Path) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    with another_process(run):
        checkpoint.save(run / checkpoint.CHECKPOINT, {}, {"iteration": 3})
        shutil.copytree(run, copy)
        assert len(marks(copy)) == 1
        assert open_run(copy, resume=True) is True
        (mark,) = marks(copy)  # that of the other directory is gone
        assert mark.read_text().startswith(f"{os.getpid()}\n")
        close_run(copy)


def test_a_process_of_another_machine_is_not_taken_for_dead(tmp_path: Path) -> None:
    run = tmp_path / "run"
    open_run(run, resume=False)
    (mark,) = marks(run)
    lines = mark.read_text().splitlines()
    close_run(run)
    mark.write_text(
        "\n".join([str(2**22 + 1), "elsewhere", *lines[2:]]) + "\n"
    )  # no process here has that number
    with pytest.raises(TrainingError, match=rf"on elsewhere is training there.*delete {mark}\)"):
        open_run(run, resume=True)
    mark.unlink()
    open_run(run, resume=True)
    close_run(run)
