"""F1, F4, F20, F25: clocks, moves and signals that a training or a drawing meets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from at_scale import TINY, Photo, at

from ourgan._core.files import sha256
from ourgan.config import SuperResolutionConfig
from ourgan.pipeline import OurGAN
from ourgan.training import checkpoint
from ourgan.training.checkpoint import CHECKPOINT, LOG, CheckpointError
from ourgan.training.scales import ScaleTrainer, train_global_structure
from ourgan.upscale.upscaler import Upscaler


def tensors(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(run / CHECKPOINT)[0]


def same(run: Path, other: Path) -> bool:
    mine, theirs = tensors(run), tensors(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_clock_that_goes_backwards_changes_nothing(
    photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_global_structure(photo(), TINY, tmp_path / "whole", progress=False)
    now = time.time()

    def backwards() -> float:
        nonlocal now
        now -= 3600
        return now

    monkeypatch.setattr(time, "time", backwards)
    train_global_structure(photo(), TINY, tmp_path / "run", checkpoint_seconds=0, progress=True)
    monkeypatch.undo()
    assert same(tmp_path / "run", tmp_path / "whole")
    lines = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert lines and all(line["seconds"] >= 0 for line in lines)
    assert checkpoint.load(tmp_path / "run" / CHECKPOINT)[1]["seconds"] >= 0


def test_a_run_that_was_moved_goes_on_from_where_it_was(photo: Photo, tmp_path: Path) -> None:
    train_global_structure(photo(), TINY, tmp_path / "whole", progress=False)
    (tmp_path / "here").mkdir()
    begun = ScaleTrainer(photo(), TINY)  # the seed of train_global_structure
    while (begun.scale, begun.iteration) != (3, 1):
        begun.step()
    begun.save(tmp_path / "here" / CHECKPOINT)
    (tmp_path / "here" / LOG).write_text("")
    (tmp_path / "there" / "deeper").mkdir(parents=True)
    shutil.move(tmp_path / "here", tmp_path / "there" / "deeper" / "run")
    moved = tmp_path / "there" / "deeper" / "run"
    train_global_structure(photo(), TINY, moved, resume=True, progress=False)
    assert same(moved, tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda meta: meta["identity"]["config"].update(novelty=1), "novelty was 1 and is now None"),
        (lambda meta: meta["identity"]["config"].pop("layers"), "layers was None and is now 1"),
        (lambda meta: meta["identity"].update(photo="0" * 64), "photo was 0000"),
        (lambda meta: meta.pop("identity"), "holds no training to continue"),
    ],
    ids=["of a newer version", "of an older one", "of another photo", "a model"],
)
def test_a_checkpoint_of_another_time_or_photo_is_refused_by_what_differs(
    photo: Photo, tmp_path: Path, change: object, words: str
) -> None:
    assert callable(change)
    path = tmp_path / CHECKPOINT
    at(0, photo).save(path)
    held, meta = checkpoint.load(path)
    change(meta)
    checkpoint.save(path, held, meta)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=words) as caught:
        ScaleTrainer(photo(), TINY, seed=3).load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_log_that_is_damaged_is_one_line(photo: Photo, tmp_path: Path) -> None:
    train_global_structure(photo(), TINY, tmp_path, progress=False)
    (tmp_path / LOG).write_bytes(b'{"scale": 0, "itera')
    with pytest.raises(CheckpointError, match=r"log\.jsonl: cannot be read") as caught:
        train_global_structure(photo(), TINY, tmp_path, resume=True, progress=False)
    assert "\n" not in str(caught.value)


def synthesize(model: Path, out: Path, *options: str) -> list[str]:
    size = ["--size", "4k", "--seed", "3", "--out", str(out)]
    return [sys.executable, "-m", "ourgan", "synthesize", str(model), *size, "--detail", "network", *options]


def test_sigterm_while_drawing_leaves_what_goes_on_to_the_same_file(photo: Photo, tmp_path: Path) -> None:
    trainer = at(4, photo)
    model = tmp_path / "model"
    OurGAN(trainer.generator, Upscaler(SuperResolutionConfig())).save_pretrained(model)
    environment = os.environ | {"OURGAN_WEIGHTS": "package", "OMP_NUM_THREADS": "1"}
    first = synthesize(model, tmp_path / "a.tif")
    with subprocess.Popen(first, stderr=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "step 3" in line:
                break
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode in (143, -signal.SIGTERM)  # 143 to a shell, either way
    assert not (tmp_path / "a.tif").exists() and (tmp_path / ".a.tif.unfinished").is_dir()
    for name, options in (("a.tif", ["--resume"]), ("b.tif", [])):
        command = synthesize(model, tmp_path / name, *options)
        subprocess.run(command, env=environment, check=True, capture_output=True)
    assert sha256(tmp_path / "a.tif") == sha256(tmp_path / "b.tif")
