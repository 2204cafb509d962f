"""The networks of steps 2 to 4 and their weights: released ones, a file of one's own, those fine-tuned."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ourgan import weights
from ourgan._core.errors import OurganError
from ourgan.config import SuperResolutionConfig
from ourgan.config.profile import RELEASED
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale.schedule import Network

Loaded = tuple[Network, weights.Weights]

NETWORKS: dict[str, type[Network]] = {"esrgan": RRDBNet, "swinir": SwinIR}


def starting_network(settings: SuperResolutionConfig) -> Loaded:
    """Return the network that a step has without fine-tuning: released weights, or a file of one's own.

    Args:
        settings: of which backbone and weights count.

    Returns:
        The network in float32 and evaluation mode, and where its weights are from.

    Raises:
        WeightsError: if the weights cannot be had or do not fit.
        OurganError: for released weights of the other backbone.
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


def backbone_of(name: str) -> str:
    """Return the backbone that released weights, or a file of one's own, belong to. Raises WeightsError."""
    entry = weights.read_registry().get(name)
    architecture = entry.architecture if entry else weights.find_architecture(name)
    backbones = {network.__name__: backbone for backbone, network in NETWORKS.items()}
    if architecture not in backbones:
        raise weights.WeightsError(
            f"{name}: holds {architecture or 'no network that is known'}; give an RRDBNet or a SwinIR"
        )
    return backbones[architecture]


def fine_tuned_network(backbone: str, path: Path) -> Loaded:
    """Return the network of a step from its file in a model directory, float32. Raises WeightsError."""
    network, source = weights.network(RELEASED[backbone], path=path)
    return network, dataclasses.replace(source, name=path.stem, source=f"fine-tuned: {path.name}")
