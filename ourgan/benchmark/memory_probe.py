"""The memory of this process over time, and of a training or a synthesis in a process of its own.

`python -m ourgan.benchmark.memory_probe JOB` is such a process; JOB is a table in JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import torch

from ourgan._core import provenance
from ourgan._core.devices import best_device
from ourgan._core.errors import OurganError
from ourgan.config import load_profile
from ourgan.io.read import read_image
from ourgan.pipeline import OurGAN
from ourgan.training.finetune import DEGRADATIONS, photo_of_step
from ourgan.training.patches import PhotoPatches
from ourgan.training.scales import ScaleTrainer
from ourgan.training.super_resolution import SuperResolutionTrainer
from ourgan.upscale.networks import NETWORKS


@dataclasses.dataclass(frozen=True)
class Measured:
    """Peak bytes of one process, and its time; None for what the machine cannot tell.

    Attributes:
        what: the work, in words.
        device: its full name.
        resident: all of the process in main memory (Linux).
        idle: the same before any work, with the libraries loaded.
        allocated: by torch's allocator on the GPU.
        driver: in use on the GPU after the work by the driver's count, contexts and other programs included.
        seconds: that the work took, without the start of the process.
    """

    what: str
    device: str
    resident: int | None
    idle: int | None
    allocated: int | None
    driver: int | None
    seconds: float

    @property
    def peak(self) -> int | None:
        """The number to compare with the paper's: GPU memory, or the process's where there is no GPU."""
        return self.resident if self.allocated is None else self.allocated


def memory_in_use(device: torch.device) -> int:
    """Return the bytes that torch's allocator uses on a GPU, or the resident set of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    resident: int = psutil.Process().memory_info().rss
    return resident


@contextlib.contextmanager
def memory_trace(device: torch.device, every: float = 0.1) -> Iterator[list[tuple[float, int]]]:
    """Sample `memory_in_use` while the block runs, in steps of `every` seconds.

    Yields:
        A list of (seconds since the start of the block, bytes) that grows.
    """
    trace: list[tuple[float, int]] = []
    start, ended = time.monotonic(), threading.Event()

    def watch() -> None:
        while True:
            trace.append((time.monotonic() - start, memory_in_use(device)))
            if ended.wait(every):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield trace
    finally:
        ended.set()
        watcher.join()


def measure_training(photo: Path, step: int, profile: str = "paper-4k", backbone: str = "esrgan") -> Measured:
    """Measure training: step 1 for one iteration of every scale, or step 2 to 4 for two.

    Networks are new, since memory does not depend on weights. Raises OurganError if the process fails.
    """
    return _measure("train", photo=str(photo), step=step, profile=profile, backbone=backbone)


def measure_synthesis(
    model: Path,
    size: str = "4k",
    *,
    method: str = "auto",
    width: int | None = None,
    memory_budget: int | None = None,
    scene: str = "drawn",
    detail: str = "network",
) -> Measured:
    """Measure the synthesis of a picture, as `OurGAN.synthesize` does it, into a file that is thrown away.

    Raises OurganError if the process fails.
    """
    job = {"method": method, "width": width, "memory_budget": memory_budget, "scene": scene, "detail": detail}
    return _measure("synthesize", model=str(model), size=size, **job)


def _measure(do: str, **job: Any) -> Measured:
    command = [sys.executable, "-m", "ourgan.benchmark.memory_probe", json.dumps({"do": do, **job})]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        killed = ended.returncode == -signal.SIGKILL
        reason = "killed, most likely for want of memory" if killed or not lines else lines[-1]
        raise OurganError(f"measuring memory ({do}): {reason}")
    return Measured(**json.loads(ended.stdout.strip().splitlines()[-1]))


def _work(do: str, **job: Any) -> str:
    """Do a job and return it in words."""
    if do == "train":
        return _train(**job)
    model = OurGAN.from_pretrained(job.pop("model"))
    size = job.pop("size")
    with tempfile.TemporaryDirectory() as directory:
        model.synthesize(0, size, Path(directory) / "scene.tif", progress=False, **job)
    return f"synthesis, {size}, {model.upscaler.settings.backbone}"


def _train(photo: str, step: int, profile: str, backbone: str) -> str:
    settings, image, device = load_profile(profile), read_image(photo), best_device()
    what = f"training, step {step}, {settings.name} profile"
    if step == 1:
        structure = settings.global_structure
        once = dataclasses.replace(structure.training, iterations=1)
        trainer = ScaleTrainer(image, dataclasses.replace(structure, training=once), device=device)
        while not trainer.finished:
            trainer.step()
        return what
    config_2 = settings.training(backbone)
    patches = PhotoPatches(
        photo_of_step(image, step),
        patch=config_2.patch,
        validation_share=config_2.validation_share,
        degradation=DEGRADATIONS[backbone],
    )
    learner = SuperResolutionTrainer(NETWORKS[backbone](), backbone, patches, config_2, device=device)
    for _ in range(2):  # from the second on the optimisers' moments are there
        learner.step()
    return f"{what}, {backbone}"


def _resident(field: str) -> int | None:
    """Return VmRSS or VmHWM of this process in bytes. Not getrusage: its peak begins with the parent's."""
    try:
        match = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return 1024 * int(match[1]) if match else None


def _main(job: dict[str, Any]) -> None:
    idle, gpu = _resident("VmRSS"), torch.cuda.is_available()
    started = time.monotonic()
    what = _work(**job)
    seconds = round(time.monotonic() - started, 2)
    free, total = torch.cuda.mem_get_info() if gpu else (0, 0)
    measured = Measured(
        what=what,
        device=provenance.device_name(best_device()),
        resident=_resident("VmHWM"),
        idle=idle,
        allocated=torch.cuda.max_memory_allocated() if gpu else None,
        driver=total - free if gpu else None,
        seconds=seconds,
    )
    print(json.dumps(dataclasses.asdict(measured)))


if __name__ == "__main__":
    try:
        _main(json.loads(sys.argv[1]))
    except OurganError as error:
        sys.exit(str(error))
