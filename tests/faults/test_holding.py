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
from ourgan.training.checkpoint import TrainingError
from ourgan.training.run import open_run
from ourgan.training.run_lock import LOCK, OLD_LOCK, acquire, release

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks")


@contextmanager
def another_process(run: Path) -> Iterator[int]:
    """A process that has opened `run`, as a training does, and goes on until it is killed; its number."""
    heard, says = os.pipe()
    child = os.fork()
    if child == 0:
        with open_run(run, resume=True):
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
    return list(run.glob(f"{LOCK}*"))


def test_the_second_process_is_refused_and_the_dead_one_is_succeeded(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with another_process(run) as pid:
        (run / ".partial-1-checkpoint.safetensors").write_bytes(b"what the other is writing")
        with pytest.raises(TrainingError) as caught, open_run(run, resume=True):
            pass
        text = str(caught.value)
        assert f"process {pid} on {os.uname().nodename} is training there" in text and "\n" not in text
        assert (run / ".partial-1-checkpoint.safetensors").exists()
    assert len(marks(run)) == 1  # of the dead process
    with open_run(run, resume=True) as found:
        assert not found
        assert marks(run)[0].read_text().startswith(f"{os.getpid()}\n") and not list(run.glob(".partial-*"))
    assert list(run.iterdir()) == []


def test_one_training_after_another_in_one_process(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    acquire(run)
    acquire(run)  # the first ended in an error, say, and is begun again
    shutil.rmtree(run)  # as a step's directory is, once its weights are in the model
    run.mkdir()
    acquire(run)
    assert len(marks(run)) == 1
    release(run)
    release(run)
    assert list(run.iterdir()) == []


def test_an_error_lets_the_directory_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), open_run(tmp_path / "run", resume=False):
        raise ValueError("inside")
    assert marks(tmp_path / "run") == []


def test_a_forked_child_holds_nothing_and_leaves_its_parents_hold_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with open_run(run, resume=False):
        child = os.fork()
        if child == 0:
            try:
                acquire(run)
            except TrainingError:
                release(run)
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert len(marks(run)) == 1


@pytest.mark.parametrize("alive", [True, False])
def test_the_lock_of_an_earlier_version_counts_while_its_process_lives(tmp_path: Path, alive: bool) -> None:
    run = tmp_path / "run"
    with another_process(run) as pid:
        (mark,) = marks(run)
        old = mark.rename(run / mark.name.replace(LOCK, OLD_LOCK))
        (run / f"{OLD_LOCK}1").write_text("of a directory that was copied")
        if alive:
            with pytest.raises(TrainingError, match=rf"process {pid} .* is training there.*delete {old}\)"):
                acquire(run)
    if not alive:
        acquire(run)
        assert len(marks(run)) == 1
        release(run)
        assert list(run.iterdir()) == []


def test_a_directory_copied_from_a_running_training_is_free(tmp_path: Path) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    with another_process(run):
        checkpoint.save(run / checkpoint.CHECKPOINT, {}, {"iteration": 3})
        shutil.copytree(run, copy)
        assert len(marks(copy)) == 1
        with open_run(copy, resume=True) as found:
            assert found
            (mark,) = marks(copy)  # that of the other directory is gone
            assert mark.read_text().startswith(f"{os.getpid()}\n")


def test_a_process_of_another_machine_is_not_taken_for_dead(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with open_run(run, resume=False):
        (mark,) = marks(run)
        lines = mark.read_text().splitlines()
    mark.write_text(
        "\n".join([str(2**22 + 1), "elsewhere", *lines[2:]]) + "\n"
    )  # no process here has that number
    with pytest.raises(TrainingError, match=rf"on elsewhere is training there.*delete {mark}\)"):
        acquire(run)
    mark.unlink()
    acquire(run)
    release(run)
