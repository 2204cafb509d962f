"""Hours in one process: memory, open files and threads stay what they were. `make test-long` runs this."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from at_scale import TINY, Photo
from large_pictures import save_picture
from tiny import changed

from ourgan.config import SuperResolutionConfig
from ourgan.pipeline import OurGAN
from ourgan.training.scales import ScaleTrainer
from ourgan.upscale.upscaler import Upscaler

pytestmark = pytest.mark.long
MOST = 1.0  # MB per hundred
FUZZ_SECONDS = 600


class Watched:
    """Memory, files and threads of this process, taken every so many steps."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.steps: list[int] = []
        self.megabytes: list[float] = []
        self.before = self._held()

    def _held(self) -> tuple[int, int]:
        return self.process.num_fds(), self.process.num_threads()

    def take(self, step: int) -> None:
        gc.collect()
        self.steps.append(step)
        self.megabytes.append(self.process.memory_info().rss / 1e6)

    def check(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The slope by least squares over the second half, when caches are warm."""
        half = len(self.steps) // 2
        slope = 100 * float(np.polyfit(self.steps[half:], self.megabytes[half:], 1)[0])
        with capsys.disabled():
            print(f"\n{slope:.3f} MB per hundred; {[round(value, 1) for value in self.megabytes]}")
            print(f"files and threads {self.before}, then {self._held()}")
        assert slope < MOST, self.megabytes
        files, threads = self._held()
        assert files <= self.before[0] and threads <= self.before[1]


def test_two_thousand_iterations(photo: Photo, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = ScaleTrainer(photo(), changed(TINY, iterations=400), seed=1)
    for _ in range(20):  # what is made once is made
        trainer.step()
    watched = Watched()
    done = 20
    while not trainer.finished:
        trainer.step()
        done += 1
        if done % 50 == 0:
            watched.take(done)
    assert done == 2000
    watched.check(capsys)


def test_two_hundred_pictures(photo: Photo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = ScaleTrainer(photo(), TINY, seed=1)
    while not trainer.finished:
        trainer.step()
    settings = SuperResolutionConfig(noise_std=0.02, dtype="float32")
    model = OurGAN(trainer.generator, Upscaler(settings))

    def draw(seed: int) -> None:
        pixels = model.synthesize(seed, "1k", progress=False)
        save_picture(tmp_path / "scene.tif", pixels, {"seed": seed})

    for seed in range(10):
        draw(seed)
    watched = Watched()
    for seed in range(10, 210):
        draw(seed)
        if seed % 10 == 9:
            watched.take(seed - 9)
    watched.check(capsys)


def test_mutated_pictures_for_ten_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("atheris", reason="pip install ourgan[fuzz]")
    report = tmp_path / "fuzz.json"
    command = [sys.executable, str(Path(__file__).with_name("fuzz_read_image.py"))]
    ended = subprocess.run([*command, str(report), str(FUZZ_SECONDS)], capture_output=True, check=False)
    facts = json.loads(report.read_text())
    with capsys.disabled():
        print(f"\n{facts}")
    assert ended.returncode == 0 and facts["findings"] == [], ended.stderr[-2000:]
    assert facts["inputs"] > 1000
