"""RRDBNet on the CPU: share of the convolution ceiling, and the memory of a subregion.

    python benchmarks/super_resolution.py [--threads 2]

Memory is the peak of a child process that upscales one tile, less that of one that upscales a tiny one,
for each output pixel: the constants in ourgan/synthesis/pipeline.py.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import torch
from ceilings import convolution_ceiling, median_seconds

from ourgan.models.rrdbnet import RRDBNet
from ourgan.provenance import device_name

CHILD = """
import resource, sys, torch
from ourgan.models.rrdbnet import RRDBNet
size, dtype = int(sys.argv[1]), getattr(torch, sys.argv[2])
network = RRDBNet().eval().to(dtype, memory_format=torch.channels_last)
with torch.no_grad():
    network(torch.rand(1, 3, size, size, dtype=dtype))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def flop_per_pixel(network: RRDBNet) -> float:
    """Multiplications and additions for each LR pixel, counted from the layers."""
    factors = {"conv_up1": 4, "conv_up2": 16, "conv_hr": 16, "conv_last": 16}
    return sum(
        2 * module.weight.numel() * factors.get(name, 1)
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv2d)
    )


def peak_bytes(size: int, dtype: str) -> int:
    """Peak resident memory of a process that upscales one tile of size x size LR pixels."""
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(size), dtype], capture_output=True, check=True, text=True
    )
    return int(result.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{device_name(torch.device('cpu'))}, {arguments.threads} threads, torch {torch.__version__}")
    network = RRDBNet().eval()
    work = flop_per_pixel(network)
    print(f"RRDBNet: {work / 1e6:.1f} MFLOP for each LR pixel")
    for dtype in (torch.float32, torch.bfloat16):
        ceiling = convolution_ceiling(dtype)
        network.to(dtype, memory_format=torch.channels_last)
        tile = torch.rand(1, 3, 128, 128, dtype=dtype)
        with torch.no_grad():
            seconds = median_seconds(lambda tile=tile: network(tile), repeats=5, warm_up=1)
        rate = work * 128 * 128 / seconds
        name = str(dtype).removeprefix("torch.")
        print(f"{name}: tile of 128x128 in {seconds:.2f} s, {rate / 1e9:.0f} GFLOP/s, ", end="")
        print(f"{rate / ceiling:.0%} of the convolution ceiling ({ceiling / 1e9:.0f} GFLOP/s)")
        base, small, large = (peak_bytes(size, name) for size in (16, 256, 384))
        for size, peak in ((256, small), (384, large)):
            print(f"  tile of {size}x{size}: {(peak - base) / (16 * size * size):.0f} bytes an output pixel")


if __name__ == "__main__":
    main()
