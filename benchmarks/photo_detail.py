"""Pictures with detail from the photo, measured beside the paper's way, and how much of them is copied.

    python benchmarks/photo_detail.py [--seeds 5] [--photos picos-de-europa,stream] [--ways photo,paper]

For each shipped model: pictures at 1K, the benchmark's metrics (means and spread over the seeds) and the copy
measure. Ways: `photo` (projected, detail from the photo), `middle` (projected, the network), `paper` (drawn,
the network). Pictures are kept in --work, and made once. `photo` takes about 20 s a picture on one core, most
of it for the metrics; the network a minute.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path

from ourgan import OurGAN, read_image
from ourgan._core import files, provenance
from ourgan.io.pixels import to_uint8
from ourgan.metrics.registry import METRICS
from ourgan.projection.copying import copying

DATA = Path(__file__).parents[1] / "data"
WAYS = {"photo": ("projected", "photo"), "middle": ("projected", "network"), "paper": ("drawn", "network")}
NAMES = ("si-fd-relu2_2", "si-fd-relu4_3", "row-distribution", "lpips")


def measure(name: str, way: str, seeds: int, work: Path) -> dict[str, list[float]]:
    """Return each metric's values over the pictures of one model, made in one of WAYS."""
    model, photo = OurGAN.from_pretrained(DATA / "models" / name), read_image(DATA / "photos" / f"{name}.jpg")
    scene, detail = WAYS[way]
    paths = [work / f"{name}-{way}-{seed}.png" for seed in range(seeds)]
    for seed, path in enumerate(paths):
        if not path.exists():
            model.synthesize(seed, "1k", path, scene=scene, detail=detail, resume=True, progress=False)
    pictures = [read_image(path) for path in paths]
    values: dict[str, list[float]] = {}
    for metric in (metric for metric in METRICS if metric.name in NAMES):
        if metric.of_picture is not None:
            values[metric.name] = [metric.of_picture(photo, picture) for picture in pictures]
        elif metric.of_pairs is not None:
            values[metric.name] = metric.of_pairs(paths)
    for picture in pictures:
        for key, value in dataclasses.asdict(copying(to_uint8(picture), to_uint8(photo))).items():
            values.setdefault(f"copying {key}", []).append(value)
    return values


def main() -> None:
    """Measure, print a line for each photo and way, and write all values with their record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--photos", default="picos-de-europa,sunset,stream,aitzgorri")
    parser.add_argument("--ways", default="photo")
    parser.add_argument("--work", type=Path, default=Path("runs/photo-detail"))
    parser.add_argument("--json", type=Path, help="default: WORK/photo_detail.json")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, list[float]]] = {}
    for name in options.photos.split(","):
        for way in options.ways.split(","):
            values = results[f"{name}, {way}"] = measure(name, way, options.seeds, options.work)
            means = {key: (statistics.mean(each), statistics.pstdev(each)) for key, each in values.items()}
            print(f"{name}, {way}: " + ", ".join(f"{k} {m:.4g} ± {s:.2g}" for k, (m, s) in means.items()))
    record = provenance.record(seeds=options.seeds, size="1k", values=results)
    files.write_json(options.json or options.work / "photo_detail.json", record)


if __name__ == "__main__":
    main()
