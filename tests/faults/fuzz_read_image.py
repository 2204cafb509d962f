"""Feeds `read_image` with mutated pictures, guided by coverage (atheris), until the time is up.

    python tests/faults/fuzz_read_image.py REPORT.json [SECONDS]

Every input must give a picture or an ImageError of one line, within a few seconds and within memory that the
limit on pixels implies. REPORT.json says how many did, and names as findings what did not: files beside it,
and the exit code is not 0. The limit is lowered here, so that memory that grows past it shows.
"""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import atheris
import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

with atheris.instrument_imports(include=["ourgan", "PIL", "tifffile"]):
    import PIL.Image  # noqa: F401
    import tifffile  # noqa: F401
    from image_seeds import image_seeds

    from ourgan.io import pillow_limits, read

PIXELS = 4_000_000  # instead of 402,653,184
BYTES_A_PIXEL = 64  # as stored, as decoded, as alpha, as float32: never more than this together
SLOW = 5.0  # seconds
REPORT_EVERY = 500


class Campaign:
    """One input after another, and what came of them."""

    def __init__(self, report: Path, seconds: float) -> None:
        self.report, self.started = report, time.monotonic()
        self.path = Path(tempfile.mkdtemp(prefix="fuzz-")) / "picture"
        self.facts = {"asked_seconds": seconds, "inputs": 0, "read": 0, "refused": 0, "slowest_seconds": 0.0}
        self.before = self.peak()

    @staticmethod
    def peak() -> int:
        """Bytes that this process ever held."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def __call__(self, data: bytes) -> None:
        """Read one input; whatever is not a picture or one line escapes, and ends the campaign."""
        self.path.write_bytes(data)
        began = time.monotonic()
        try:
            image = read.read_image(self.path, matte=(0.0, 0.5, 1.0))
        except read.ImageError as error:
            self.facts["refused"] += 1
            assert "\n" not in str(error) and str(self.path) in str(error), repr(str(error))
        else:
            self.facts["read"] += 1
            assert image.dtype == torch.float32 and image.dim() == 3 and image.shape[0] == 3
            assert image.numel() and 0 <= image.min() and image.max() <= 1  # false for NaN too
        took = time.monotonic() - began
        assert took < SLOW, f"{took:.1f} s"
        grown = self.peak() - self.before
        assert grown < BYTES_A_PIXEL * PIXELS, f"{grown / 2**20:.0f} MiB"
        self.facts["inputs"] += 1
        self.facts["slowest_seconds"] = max(self.facts["slowest_seconds"], round(took, 3))
        if self.facts["inputs"] % REPORT_EVERY == 0:  # libFuzzer ends the process without a word
            self.facts |= {
                "minutes": round((time.monotonic() - self.started) / 60, 2),
                "grown_mib": round(grown / 2**20),
            }
            self.report.write_text(json.dumps(self.facts, indent=2) + "\n")


def campaign(report: Path, seconds: str) -> None:
    """Run from the seeds of `image_seeds`; libFuzzer ends this process itself, well or not."""
    logging.disable()
    torch.set_num_threads(1)
    pillow_limits.MAX_PIXELS = PIXELS
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-corpus-"))
    for kind, data in image_seeds().items():
        (corpus / kind).write_bytes(data)
    limits = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=30", "-rss_limit_mb=3000"]
    artifacts = f"-artifact_prefix={report.with_suffix('')}-"
    atheris.Setup([sys.argv[0], *limits, artifacts, str(corpus)], Campaign(report, float(seconds)))
    atheris.Fuzz()


def main(report: str, seconds: str = "600") -> int:
    """Run a campaign in a process of its own, and add to the report how that ended."""
    path = Path(report)
    code = subprocess.run([sys.executable, __file__, report, seconds, "campaign"]).returncode
    facts = json.loads(path.read_text()) if path.exists() else {}
    findings = sorted(found.name for found in path.parent.glob(f"{path.stem}-*"))
    path.write_text(json.dumps({**facts, "exit_code": code, "findings": findings}, indent=2) + "\n")
    return int(code != 0 or bool(findings))


if __name__ == "__main__":
    if sys.argv[3:] == ["campaign"]:
        campaign(Path(sys.argv[1]), sys.argv[2])
    else:
        sys.exit(main(*sys.argv[1:]))
