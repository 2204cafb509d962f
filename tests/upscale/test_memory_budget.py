"""The memory budget holds for the whole process, and a taller picture takes no more (real weights, Linux)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[2] / "data/models/picos-de-europa"
CHILD = """
import json, re, sys, torch
from ourgan import OurGAN
torch.set_num_threads(1)
arguments = json.loads(sys.argv[1])
model = OurGAN.from_pretrained(arguments.pop("model"), device="cpu")
height, width = arguments.pop("shape")
image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))
model.synthesize(7, "1k", image=image, progress=False, **arguments)
# Not getrusage: its peak begins with that of the process that started this one.
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
]


def peak(out: Path, shape: tuple[int, int], budget: int, method: str) -> int:
    arguments = {
        "model": str(MODEL),
        "shape": shape,
        "out": str(out),
        "memory_budget": budget,
        "method": method,
    }
    command = [sys.executable, "-c", CHILD, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize(("method", "budget"), [("stream", 1200), ("tile", 1400)])
def test_the_process_stays_within_its_budget(
    method: str, budget: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    assert peak(tmp_path / "scene.tif", (64, 256), budget * 2**20, method) < 1.1 * budget * 2**20


def test_twice_as_tall_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    low, tall = (
        peak(tmp_path / f"{height}.tif", (height, 32), 1400 * 2**20, "stream") for height in (400, 800)
    )
    assert tall < low + 24 * 2**20
