"""F5, F6: a disk that is full and directories that may not be written, in a child that really lacks them."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from at_scale import TINY, Photo
from released import REVISION, tiny_entry, tiny_state
from safetensors.torch import save
from test_super_resolution import trainer

from ourgan import weights
from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan.io.canvas import check_output
from ourgan.training import checkpoint
from ourgan.training.checkpoint import CHECKPOINT, CheckpointError
from ourgan.training.finetune import train_super_resolution
from ourgan.training.scales import train_global_structure

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and limits")
NOBODY = 65534


def said_by_child(work: Callable[[], object], *, limit: int = 0, uid: int = 0) -> str:
    """What error `work` ends with in a child whose files end at `limit` bytes, or who is user `uid`."""
    heard, says = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            if uid and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            work()
            text = "nothing"
        except OurganError as error:
            text = f"{type(error).__name__}: {error}"
        except BaseException as error:
            text = f"TRACEBACK {error!r}"
        os.write(says, text.encode())
        os._exit(0)
    os.close(says)
    with os.fdopen(heard) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    assert "TRACEBACK" not in text and "\n" not in text, text
    return text


@pytest.fixture
def readable() -> Iterator[Path]:
    """A directory that another user can reach, as pytest's own are not."""
    directory = Path(tempfile.mkdtemp(prefix="ourgan-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


# Where the disk is full: at the mark of who trains there, the log, the first checkpoint, a later, larger one.
@pytest.mark.parametrize("limit", [60, 150, 20_000, 50_000])
def test_step_1_on_a_full_disk_goes_on_once_there_is_room(photo: Photo, tmp_path: Path, limit: int) -> None:
    run, image = tmp_path / "run", photo()

    def train(run: Path, resume: bool = False) -> None:
        train_global_structure(image, TINY, run, checkpoint_seconds=0, resume=resume, progress=False)

    text = said_by_child(lambda: train(run), limit=limit)
    assert "cannot be written (File too large)" in text and str(run) in text
    assert not list(run.glob(".partial-*"))
    begun = (run / CHECKPOINT).exists()
    if begun:
        checkpoint.load(run / CHECKPOINT)
    train(run, resume=begun)
    train(tmp_path / "whole")
    found, expected = (checkpoint.load(path / CHECKPOINT)[0] for path in (run, tmp_path / "whole"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())


@pytest.mark.parametrize("limit", [150, 20_000])
def test_steps_2_to_4_on_a_full_disk_are_one_line(photo: Photo, tmp_path: Path, limit: int) -> None:
    made = trainer(photo, iterations=2, validate_every=2)
    text = said_by_child(lambda: train_super_resolution(made, tmp_path / "run", progress=False), limit=limit)
    assert text.startswith("CheckpointError: ") and "cannot be written (File too large)" in text
    assert not list((tmp_path / "run").glob(".partial-*"))


def test_any_file_written_whole_or_not_says_so_in_one_line(tmp_path: Path) -> None:
    text = said_by_child(lambda: files.write_bytes(tmp_path / "a", bytes(5000)), limit=4000)
    assert text.startswith(
        f"UnwritableError: {tmp_path / 'a'}: cannot be written (File too large); make room"
    )
    text = said_by_child(lambda: checkpoint.save(tmp_path / "b", tiny_state(), {}), limit=4000)
    assert "b: cannot be written (File too large); what was saved before is kept" in text
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_may_not_be_written_is_found_before_work_begins(
    photo: Photo, readable: Path
) -> None:
    closed = readable / "closed"
    closed.mkdir(mode=0o555)
    (readable / "taken").write_bytes(b"a file")
    image = photo()
    for run in (closed, closed / "run", readable / "taken"):

        def train(run: Path = run) -> None:
            train_global_structure(image, TINY, run, progress=False)

        text = said_by_child(train, uid=NOBODY)
        assert (
            text.startswith(f"TrainingError: {run}: cannot be written (") and "choose another --out" in text
        )
    text = said_by_child(lambda: check_output(closed / "scene.tif", (10, 10)), uid=NOBODY)
    assert f"{closed} cannot be written (Permission denied)" in text


def test_a_complete_cache_that_may_only_be_read_serves(
    readable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tiny_entry()
    cache = readable / "hub"
    blobs, snapshot = (cache / "models--someone--tiny" / part for part in ("blobs", f"snapshots/{REVISION}"))
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / entry.sha256).write_bytes(save(tiny_state()))
    (snapshot / entry.file).symlink_to(Path("..", "..", "blobs", entry.sha256))
    for directory, _, _ in os.walk(cache):
        Path(directory).chmod(0o555)
    monkeypatch.setenv("OURGAN_WEIGHTS", "hub")

    def load() -> None:
        found = weights.sources.find(entry, endpoint="http://127.0.0.1:9", cache=cache)
        assert found.sha256 == entry.sha256

    load()  # what has to be imported is, by one who may read it
    assert said_by_child(load, uid=NOBODY) == "nothing"
    # One that is damaged can be neither used nor moved away: the line says which file to delete.
    (blobs / entry.sha256).write_bytes(b"damaged")
    text = said_by_child(load, uid=NOBODY)
    assert str(snapshot / entry.file) in text and "is damaged and cannot be moved away" in text


def test_a_checkpoint_refused_by_the_disk_is_the_previous_one(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    checkpoint.save(path, {"a": torch.zeros(4)}, {"iteration": 1})
    before = path.read_bytes()
    text = said_by_child(lambda: checkpoint.save(path, {"a": torch.zeros(9000)}, {}), limit=9000)
    assert text.startswith(CheckpointError.__name__) and path.read_bytes() == before
