"""Pictures are those of the first release, bit for bit on a known processor and to half a level elsewhere.

`unchanged.json` was written before the package was rearranged. Two computers of different kinds add in
different orders, so each digest stands under the processor and the torch that made it; the means of 8x6 areas
hold everywhere. `python tests/test_unchanged.py` adds what this machine makes, and never replaces anything.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ourgan import OurGAN

MODELS = Path(__file__).parents[1] / "data" / "models"
KNOWN = Path(__file__).parent / "unchanged.json"
FIRST = "picos-de-europa"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/config.json"))


def processor() -> str:
    """Processor, instruction set and torch: what the last bits depend on."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = dict(re.findall(r"^(cpu family|model|stepping|model name)\s*:\s*(.*)$", text, re.MULTILINE))
    kind = " ".join(found.get(key, "?") for key in ("model name", "cpu family", "model", "stepping"))
    return f"{kind}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__.split('+')[0]}"


def float32(name: str) -> OurGAN:
    """A shipped model whose steps 2 and on are computed in float32, the same wherever they run."""
    return OurGAN.from_pretrained(MODELS / name, device="cpu").using(dtype="float32")


def _cases() -> dict[str, Callable[[], Tensor]]:
    def picture(name: str, **options: object) -> Callable[[], Tensor]:
        def made() -> Tensor:
            pixels = float32(name).synthesize(0, "1k", progress=False, **options)
            return torch.from_numpy(pixels).permute(2, 0, 1) / 255

        return made

    def sample(name: str, seed: int, width: int | None) -> Tensor:
        return OurGAN.from_pretrained(MODELS / name, device="cpu").sample(seed, width=width)

    cases: dict[str, Callable[[], Tensor]] = {}
    for name in NAMES:
        for seed in range(4):
            for width in (None, 400):
                cases[f"sample {name} {seed} {width}"] = functools.partial(sample, name, seed, width)
        cases[f"1k strip {name}"] = picture(name, width=64)
        cases[f"1k {name}"] = picture(name)
    cases["1k tiles"] = picture(FIRST, width=96, method="tile", overlap=8, memory_budget=1300 * 2**20)
    cases["4k window"] = lambda: float32(FIRST).crop(3, "4k", (20, 300, 96, 64), width=16, tolerance=0)
    return cases


CASES = _cases()


def described(image: Tensor) -> tuple[str, list[float]]:
    """The digest of a picture's bits, and its means over 8x6 areas in 8-bit levels."""
    digest = hashlib.sha256(np.ascontiguousarray(image.numpy()).tobytes()).hexdigest()
    means = torch.nn.functional.adaptive_avg_pool2d(image[None].float(), (6, 8)) * 255
    return digest, [round(value, 2) for value in means.flatten().tolist()]


def _marked(case: str) -> object:
    """Whole pictures take ten seconds each: one of them is made in every run of the tests."""
    slow = case.startswith("1k ") and case.removeprefix("1k ") in set(NAMES) - {FIRST}
    return pytest.param(case, marks=pytest.mark.long) if slow else case


@pytest.mark.slow
@pytest.mark.parametrize("case", [_marked(case) for case in CASES])
def test_a_picture_is_what_it_was(case: str) -> None:
    known = json.loads(KNOWN.read_text())
    digest, means = described(CASES[case]())
    assert np.abs(np.subtract(means, known["means"][case])).max() < 0.5
    expected = known["sha256"].get(processor(), {}).get(case, digest)
    assert digest == expected


def write() -> None:
    torch.set_num_threads(1)  # as in the tests
    known = json.loads(KNOWN.read_text()) if KNOWN.exists() else {"means": {}, "sha256": {}}
    own = known["sha256"].setdefault(processor(), {})
    for case, make in CASES.items():
        digest, means = described(make())
        own.setdefault(case, digest)
        known["means"].setdefault(case, means)
        print(case, own[case] == digest)
    means = ",\n".join(f"{json.dumps(case)}: {json.dumps(known['means'][case])}" for case in sorted(CASES))
    digests = json.dumps(known["sha256"], indent=0, sort_keys=True)
    KNOWN.write_text(f'{{"means": {{\n{means}}},\n"sha256": {digests}}}\n')


if __name__ == "__main__":
    write()
