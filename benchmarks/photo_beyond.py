"""What a 16K picture with detail from the photo takes, and the photo's enlargement before the first one.

    python benchmarks/photo_beyond.py [--photo picos-de-europa] [--windows 8]

The photo is enlarged in tiles, kept in the user's cache and shared by all pictures: what is there already is
not made again, so set XDG_CACHE_HOME to an empty directory to measure the enlargement (20 minutes on a core
of an AMD EPYC). Seconds of the wall clock, peak memory of the whole process.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import Any

from ourgan import OurGAN
from ourgan._core import files, provenance
from ourgan.benchmark.memory_probe import measure_synthesis
from ourgan.io.pixel_cache import kept_images

DATA = Path(__file__).parents[1] / "data"
OURS: dict[str, Any] = {"scene": "projected", "detail": "photo"}
SIDE = 512  # of a window


def windows(model: OurGAN, count: int) -> list[float]:
    """Return the seconds that each of `count` windows of a 16K scene takes, all its tiles being there."""
    height, width = (64 * side for side in model.generator.sizes[-1])
    places, seconds = random.Random(0), []
    for _ in range(count):
        box = (places.randrange(width - SIDE), places.randrange(height - SIDE), SIDE, SIDE)
        start = time.monotonic()
        model.crop(0, "16k", box, **OURS)
        seconds.append(round(time.monotonic() - start, 3))
    return seconds


def main() -> None:
    """Measure, print, and write the values with their record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photo", default="picos-de-europa")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--json", type=Path, default=Path("runs/photo_beyond.json"))
    options = parser.parse_args()
    model = DATA / "models" / options.photo
    values: dict[str, Any] = {}
    for name in ("with what was missing of the enlarged photo", "once it is enlarged"):
        before = sum(kept.bytes for kept in kept_images())
        measured = measure_synthesis(model, "16k", **OURS)
        made = sum(kept.bytes for kept in kept_images()) - before
        values[name] = {"seconds": measured.seconds, "peak": measured.peak, "bytes of photo made": made}
        print(
            f"{name}: {measured.seconds:.0f} s, {(measured.peak or 0) / 2**20:,.0f} MiB at most, {made} bytes"
        )
    values["seconds of windows"] = windows(OurGAN.from_pretrained(model), options.windows)
    print("windows:", values["seconds of windows"])
    options.json.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(options.json, provenance.record(photo=options.photo, size="16k", values=values))


if __name__ == "__main__":
    main()
