"""What SIFID and distances over all pairs cost, against the networks' own forward passes and the plain way.

    python benchmarks/metrics.py [--threads 1] [--size 1024x540] [--samples 10] [--pairs 512x512]
        [--metric lpips|st_lpips] [--repeats 3] [--only sifid|pairs|memory]

SIFID: statistics in bands against the whole image's forward pass up to the same layer, and several samples
with the photo's statistics remembered against computed for each. Pairs: all pairs of LPIPS (or ST-LPIPS)
against the features of all samples alone, and against one call per pair. Memory: the peak of a child process
(Linux) at 4096x2160, above what it held with the weights and without the image. InceptionV3 has random
weights here: the times are real, the distances are not, and are not shown. Seconds are of processor time, all
threads together, which what else runs on the machine disturbs less than time by the clock.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from ceilings import convolution_ceiling
from torch import Tensor
from torchvision.models import inception_v3

from ourgan._core.provenance import device_name
from ourgan.metrics.lpips import NETWORKS, TILE, cut_tiles, mean_pairwise, tiled_distance
from ourgan.metrics.sifid import LAYERS, Extractor, extract_statistics, frechet_distance, inception_up_to
from ourgan.models.feature_nets import inception_blocks

SAMPLES = 3  # for SIFID with and without remembering
PLAIN = 20  # pairs that are compared one by one; the time of all is estimated from them


def processor_medians(runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of processor time of each call, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.process_time()
            run()
            times[name].append(time.process_time() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def extractor(layer: str) -> Extractor:
    """Return InceptionV3 up to a layer with random weights."""
    torch.manual_seed(0)
    state = inception_v3(weights=None, aux_logits=False, init_weights=False).state_dict()
    blocks = inception_up_to(layer, inception_blocks(state))
    return Extractor(f"layer {layer}, random weights", blocks, LAYERS[layer][1], "random")


def forward(made: Extractor, image: Tensor) -> None:
    """Run the network's own pass over the whole image."""
    with torch.inference_mode():
        x = 2 * image[None] - 1
        for block in made.blocks:
            x = block.module(x)


def sifid(width: int, height: int, repeats: int) -> None:
    """Print the time of statistics, and of several samples."""
    photo = torch.rand(3, height, width)
    for layer in LAYERS:
        made = extractor(layer)
        seconds = processor_medians(
            {
                "forward": functools.partial(forward, made, photo),
                "statistics": functools.partial(extract_statistics, photo, made),
            },
            repeats,
        )
        own, ours = seconds["forward"], seconds["statistics"]
        print(
            f"  {made.name}, {width}x{height}: forward {own:.2f} s, statistics {ours:.2f} s, "
            f"{ours / own:.2f} times"
        )
    made = extractor("5")

    def remembered() -> None:
        known = extract_statistics(photo, made)
        for _ in range(SAMPLES):
            frechet_distance(known, extract_statistics(photo, made))

    def plain() -> None:
        for _ in range(SAMPLES):
            frechet_distance(extract_statistics(photo, made), extract_statistics(photo, made))

    seconds = processor_medians({"remembered": remembered, "plain": plain}, 1)
    kept, again = seconds["remembered"], seconds["plain"]
    print(
        f"  layer 5, {SAMPLES} samples: photo's statistics kept {kept:.2f} s, for each sample {again:.2f} s"
    )


def pairs(metric: str, width: int, height: int, count: int, repeats: int) -> None:
    """Print the time of all pairs."""
    samples = [torch.rand(3, height, width) for _ in range(count)]
    network = NETWORKS[metric]()

    @torch.inference_mode()
    def features() -> None:
        for sample in samples:
            for _, rows, columns in cut_tiles(height, width, TILE):
                network.net(network.scaling_layer(2 * sample[None, :, rows, columns] - 1))

    def plain() -> None:
        for first, second in itertools.islice(itertools.combinations(samples, 2), PLAIN):
            tiled_distance(network, first, second, TILE)

    together = {"features": features, "pairs": lambda: mean_pairwise(samples, metric)}
    seconds = processor_medians(together, repeats)
    own, ours = seconds["features"], seconds["pairs"]
    all_pairs = count * (count - 1) // 2
    print(
        f"  {metric}, {count} samples of {width}x{height}: features {own:.2f} s, all {all_pairs} pairs "
        f"{ours:.2f} s, {ours / own:.2f} times",
        flush=True,
    )
    measured = min(PLAIN, all_pairs)
    taken = processor_medians({"plain": plain}, 1)["plain"] * all_pairs / measured
    print(f"  one call per pair {taken:.0f} s (from {measured} pairs), {taken / ours:.1f} times as long")


def memory() -> None:
    """Print the peak of a process that computes the statistics of a 4K image."""
    for layer in LAYERS:
        command = [sys.executable, __file__, "--child", layer]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(
            f"  layer {layer}, 4096x2160: {int(found) / 1e6:.0f} MB above the weights, image included",
            flush=True,
        )


def child(layer: str) -> None:
    """In a process of its own: print how far resident memory rises above that of the network."""
    made = extractor(layer)
    extract_statistics(torch.rand(3, 800, 800), made)  # what the libraries take once
    # From here on the peak is that of what follows, not of the two networks that were built.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    extract_statistics(torch.rand(3, 2160, 4096), made)
    print(resident("VmHWM") - before)


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes."""
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", default="1024x540")
    parser.add_argument("--pairs", default="512x512")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--metric", choices=list(NETWORKS), default="lpips")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["sifid", "pairs", "memory"])
    parser.add_argument("--child", choices=LAYERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.child:
        child(arguments.child)
        return
    ceiling = convolution_ceiling(torch.float32) / 1e9
    print(f"{device_name(torch.device('cpu'))}, {arguments.threads} threads, torch {torch.__version__}")
    print(f"convolution ceiling {ceiling:.0f} GFLOP/s in float32")
    wanted = [arguments.only] if arguments.only else ["sifid", "pairs", "memory"]
    if "sifid" in wanted:
        width, height = map(int, arguments.size.split("x"))
        sifid(width, height, arguments.repeats)
    if "pairs" in wanted:
        width, height = map(int, arguments.pairs.split("x"))
        pairs(arguments.metric, width, height, arguments.samples, arguments.repeats)
    if "memory" in wanted:
        memory()


if __name__ == "__main__":
    main()
