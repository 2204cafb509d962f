"""RRDBNet and SwinIR on the CPU: share of the convolution ceiling, SwinIR against spandrel's, and memory.

    python benchmarks/super_resolution.py [--threads 2]

SwinIR in bfloat16 is compared with spandrel's under bfloat16 autocast, alternating in one process, with the
same weights. Memory is the peak of a child process that upscales one tile, less that of one that upscales a
tiny one, for each output pixel: the constants in ourgan/upscale/schedule.py.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys

import spandrel
import torch
from ceilings import alternating_medians, convolution_ceiling, median_seconds
from torch import nn

from ourgan._core.provenance import device_name
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR

CHILD = """
import sys, torch
from ourgan.models.rrdbnet import RRDBNet
size, dtype = int(sys.argv[1]), getattr(torch, sys.argv[2])
network = RRDBNet().eval().to(dtype, memory_format=torch.channels_last)
with torch.no_grad():
    network(torch.rand(1, 3, size, size, dtype=dtype))
with open("/proc/self/status") as status:  # getrusage would begin with the peak of the parent process
    print(next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")))
"""


def flop_per_pixel(network: nn.Module) -> float:
    """Multiplications and additions for each LR pixel, counted from the layers."""
    factors = {"conv_up1": 4, "conv_up2": 16, "conv_hr": 16, "conv_last": 16}
    layers = sum(
        2 * module.weight.numel() * factors.get(name, 1)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    )
    if not isinstance(network, SwinIR):
        return layers
    attentions = sum(name.endswith("attn") for name, _ in network.named_modules())
    return layers + attentions * 2 * 2 * network.window**2 * network.channels  # q k, and the sum over v


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
        network.to(dtype).to(memory_format=torch.channels_last)
        tile = torch.rand(1, 3, 128, 128, dtype=dtype)
        with torch.no_grad():
            seconds = median_seconds(functools.partial(network, tile), repeats=5, warm_up=1)
        rate = work * 128 * 128 / seconds
        name = str(dtype).removeprefix("torch.")
        print(f"{name}: tile of 128x128 in {seconds:.2f} s, {rate / 1e9:.0f} GFLOP/s, ", end="")
        print(f"{rate / ceiling:.0%} of the convolution ceiling ({ceiling / 1e9:.0f} GFLOP/s)")
        base, small, large = (peak_bytes(size, name) for size in (16, 256, 384))
        for size, peak in ((256, small), (384, large)):
            print(f"  tile of {size}x{size}: {(peak - base) / (16 * size * size):.0f} bytes an output pixel")
    swinir()


def swinir() -> None:
    """Print the time of a tile by SwinIR, ours and spandrel's."""
    ours = SwinIR().eval()
    work = flop_per_pixel(ours)
    theirs = spandrel.ModelLoader().load_from_state_dict(dict(ours.state_dict())).model.eval()
    ours.to(torch.bfloat16).to(memory_format=torch.channels_last)
    tile = torch.rand(1, 3, 128, 128)

    def run_theirs() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            theirs(tile)

    with torch.no_grad():
        half = tile.bfloat16()
        seconds = alternating_medians({"ours": lambda: ours(half), "theirs": run_theirs})
    ceiling = convolution_ceiling(torch.bfloat16)
    rate = work * 128 * 128 / seconds["ours"]
    print(f"SwinIR: {work / 1e6:.1f} MFLOP for each LR pixel")
    print(
        f"bfloat16: tile of 128x128 in {seconds['ours']:.2f} s, {rate / 1e9:.0f} GFLOP/s, "
        f"{rate / ceiling:.0%} "
        f"of the convolution ceiling ({ceiling / 1e9:.0f} GFLOP/s); spandrel's under autocast "
        f"{seconds['theirs']:.2f} s, {seconds['theirs'] / seconds['ours']:.2f} times"
    )


if __name__ == "__main__":
    main()
