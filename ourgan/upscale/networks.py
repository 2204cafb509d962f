"""Which network makes a step of x4, and where its weights are from."""

from __future__ import annotations

from pathlib import Path

import torch

from ourgan import weights
from ourgan._core.errors import OurganError
from ourgan.config import RELEASED, SuperResolutionConfig
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR

Network = RRDBNet | SwinIR
NETWORKS: dict[str, type[Network]] = {"esrgan": RRDBNet, "swinir": SwinIR}

# Bytes for each output pixel on a CPU, an upper bound: three maps of 64 channels at full resolution, the
# enlarged, the convolved and one that a library reorders. Where none is reordered, as with channels_last,
# benchmarks/super_resolution.py measures about half of it. The tail is the same in both networks.
BYTES_PER_OUTPUT_PIXEL = {torch.bfloat16: 450, torch.float32: 900}


def fine_tuned_file(step: int) -> str:
    """Name of a step's weights in a model directory."""
    return f"sr{step}.safetensors"


def starting_network(settings: SuperResolutionConfig) -> tuple[Network, weights.Weights]:
    """The network that a step has without fine-tuning: released weights, or a file of one's own.

    Float32, in evaluation mode. Raises WeightsError if they cannot be had or do not fit, OurganError for
    released weights of the other backbone.
    """
    name, backbone = settings.released, settings.backbone
    entry = weights.read_registry().get(name)
    if entry is None and not Path(name).suffix:
        weights.load(name)  # says which names there are
    if entry is None:
        return weights.network(RELEASED[backbone], path=name)
    if entry.architecture != NETWORKS[backbone].__name__:
        raise OurganError(
            f"weights {name} are for {entry.architecture or 'no network of ours'}, backbone {backbone} needs "
            f"{NETWORKS[backbone].__name__}; choose others, such as {RELEASED[backbone]}"
        )
    return weights.network(name)


def fine_tuned_network(backbone: str, path: Path) -> tuple[Network, weights.Weights]:
    """The network of a step from its file in a model directory, float32. Raises WeightsError."""
    network, found = weights.network(RELEASED[backbone], path=path)
    return network, weights.Weights(
        path.stem, found.state_dict, f"fine-tuned: {path.name}", found.sha256, found.licence
    )
