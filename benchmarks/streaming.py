"""Super-resolution in exact bands against the whole image of the same network, in one run, on the CPU.

    python benchmarks/streaming.py [--network swinir] [--height 384] [--width 256] [--bands 16 32 64]
        [--repeats 3] [--tiles] [--memory 512]

Whole image and bands alternate in bfloat16, between two measurements of the convolution ceiling, of which
the higher counts. `--tiles` adds what is usual, float32 tiles of 256 pixels with overlap 10, and bfloat16
tiles of that size with overlap 48, where x4plus leaves a mean seam under 0.15 levels (notebook 02).
`--memory`: LR width at which the peak of a child process (Linux) is compared with `band_bytes`, both less
those of an image 8 pixels wide. Threads: one, unless said otherwise; random weights.
"""

from __future__ import annotations

import argparse
import copy
import functools
import subprocess
import sys
from collections.abc import Callable

import torch
from ceilings import alternating_medians, convolution_ceiling
from super_resolution import flop_per_pixel
from torch import Tensor

from ourgan._core.provenance import device_name
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale.bands import BandPlan, band_bytes, upscale_in_bands
from ourgan.upscale.schedule import upscale
from ourgan.upscale.tiles import TilePlan

NETWORKS: dict[str, Callable[[], RRDBNet | SwinIR]] = {"rrdbnet": RRDBNet, "swinir": SwinIR}
CHILD = """
import re, sys, torch
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale.bands import BandPlan, upscale_in_bands
name, height, width, band = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(1)
network = {"rrdbnet": RRDBNet, "swinir": SwinIR}[name]().eval().bfloat16()
rows = (torch.rand(3, band, width) for _ in range(height // band))
for part in upscale_in_bands(network, lambda _: rows, BandPlan(height, width, band)):
    pass
# Not getrusage: its peak begins with that of the process that started this one.
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
"""


def in_bands(network: RRDBNet | SwinIR, image: Tensor, band: int) -> None:
    """Upscale and throw away."""
    for _ in upscale_in_bands(
        network, lambda _: iter([image]), BandPlan(image.shape[1], image.shape[2], band)
    ):
        pass


def throughput(arguments: argparse.Namespace) -> None:
    """Print the time and the rate of every way."""
    dtype, height, width = torch.bfloat16, arguments.height, arguments.width
    network = NETWORKS[arguments.network]().eval()
    multiple = network.size_multiple
    work = flop_per_pixel(network) * height * width
    image = torch.rand(3, height, width)
    half = copy.deepcopy(network).to(dtype).to(memory_format=torch.channels_last)

    def whole() -> None:
        with torch.no_grad():
            half(image.to(dtype)[None])

    runs: dict[str, Callable[[], object]] = {"whole image": whole}
    for band in arguments.bands:
        runs[f"bands of {band}"] = functools.partial(in_bands, half, image, band)
    if arguments.tiles:
        for tiled, overlap in ((network, 10), (half, 48)):
            overlap += -overlap % multiple
            plan = TilePlan(height, width, 256, 256, overlap, size_multiple=multiple)
            name = f"{next(tiled.parameters()).dtype} tiles, overlap {plan.overlap}".removeprefix("torch.")
            runs[name] = functools.partial(upscale, tiled, image, plan)
    ceiling = convolution_ceiling(dtype)
    seconds = alternating_medians(runs, arguments.repeats)
    ceiling = max(ceiling, convolution_ceiling(dtype))
    print(f"{arguments.network}, {height}x{width} LR pixels, ceiling {ceiling / 1e9:.0f} GFLOP/s in bfloat16")
    for name, taken in seconds.items():
        rate = work / taken
        print(
            f"  {name}: {taken:.2f} s, {rate / 1e9:.0f} GFLOP/s, {rate / ceiling:.0%} of the ceiling, "
            f"{seconds['whole image'] / taken:.2f} times the whole image's throughput"
        )


def memory(arguments: argparse.Namespace) -> None:
    """Print the peak of a process beside the prediction."""
    network = NETWORKS[arguments.network]().bfloat16()
    for band in arguments.bands:
        peaks, predicted = [], []
        for width in (arguments.memory, 8):
            height = -(-400 // band) * band  # more than either network reaches: all is full
            command = [sys.executable, "-c", CHILD, arguments.network, *map(str, (height, width, band))]
            peaks.append(int(subprocess.run(command, capture_output=True, check=True, text=True).stdout))
            predicted.append(band_bytes(network, width, band))
        print(
            f"  bands of {band}, {arguments.memory} wide: measured {(peaks[0] - peaks[1]) / 1e6:.0f} MB, "
            f"predicted {(predicted[0] - predicted[1]) / 1e6:.0f} MB, beside {peaks[1] / 1e6:.0f} MB"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=list(NETWORKS), default="rrdbnet")
    parser.add_argument("--height", type=int, default=384)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--bands", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiles", action="store_true")
    parser.add_argument("--memory", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{device_name(torch.device('cpu'))}, {arguments.threads} threads, torch {torch.__version__}")
    throughput(arguments)
    if arguments.memory:
        memory(arguments)


if __name__ == "__main__":
    main()
