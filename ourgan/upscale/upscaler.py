"""Steps 2 to 4 of a model: which networks enlarge, in which way, within which memory (Sec. 3.3)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ourgan import weights
from ourgan._core import provenance
from ourgan._core.devices import compute_dtype
from ourgan._core.errors import OurganError, check_choice
from ourgan._core.strict_toml import to_dict
from ourgan.config import METHODS, SIZES, SuperResolutionConfig
from ourgan.config.super_resolution import RELEASED
from ourgan.io.model_dir import ModelError, ModelMetadata, StepMetadata, fine_tuned_file
from ourgan.io.pixels import digest
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale.overlap import parse_overlap, resolve_overlap
from ourgan.upscale.schedule import (
    BandPlan,
    Network,
    Step,
    UpscalePlan,
    bytes_needed,
    choose_plans,
    render_rows,
    tile_plan,
)
from ourgan.upscale.tiles import TilePlan

log = logging.getLogger(__name__)

NETWORKS: dict[str, type[Network]] = {"esrgan": RRDBNet, "swinir": SwinIR}
# What is taken beside the activations of steps 2 to 4. On a CPU, measured at 16K: torch with its libraries
# (0.5 GiB), weights, step 1, a row of tiles, and what the allocator does not give back. On a GPU: weights,
# step 1 and the driver's context, an assumption, measured nowhere yet.
PROCESS_BYTES = {"cpu": 1050 * 2**20, "cuda": 700 * 2**20}


class Enlarger:
    """The networks of steps 2 to 4 and how they run.

    Attributes:
        super_resolution: settings of steps 2 to 4.
        steps: how each step with fine-tuned weights got them.
        directory: where those weights lie; None for a model that has none.
        device: where the networks run.
        metadata: where the model is from.
    """

    def __init__(
        self,
        super_resolution: SuperResolutionConfig,
        steps: dict[int, StepMetadata],
        directory: Path | None,
        device: torch.device,
        metadata: ModelMetadata,
    ) -> None:
        self.super_resolution = super_resolution
        self.steps = steps
        self.directory = directory
        self.device = device
        self.metadata = metadata
        self._networks: dict[int, tuple[Network, weights.Weights]] = {}  # 0: of steps without their own

    def network(self, step: int = 2) -> tuple[Network, weights.Weights]:
        """The super-resolution network of a step, and where its weights are from."""
        key = step if step in self.steps else 0
        if key not in self._networks:
            settings = self.super_resolution
            if key:
                network, found = fine_tuned_network(settings.backbone, self._file(step))
            else:
                network, found = starting_network(settings)
                log.info("no fine-tuned weights for step %d: using %s (%s)", step, found.name, found.source)
            found = dataclasses.replace(found, state_dict={})  # the network has them: not twice in memory
            dtype = compute_dtype(settings.dtype, self.device)
            self._networks[key] = network.to(self.device, dtype, memory_format=torch.channels_last), found  # type: ignore[call-overload]
        return self._networks[key]

    def _file(self, step: int) -> Path:
        if self.directory is None:
            raise ModelError(f"step {step} has facts and no directory with its weights")
        return self.directory / fine_tuned_file(step)

    def plan(self, height: int, width: int, memory_budget: int | None = None, *, step: int = 2) -> TilePlan:
        """How "tile" cuts an image of `height` x `width` LR pixels; see `synthesize` for the budget."""
        overlap, budget = self.super_resolution.overlap, self._activation_budget(memory_budget)
        return tile_plan(self._step(step), height, width, overlap, budget)

    def predicted_memory(
        self, height: int, width: int, size: str, *, method: str = "auto", memory_budget: int | None = None
    ) -> int:
        """Bytes that `synthesize` is expected to take for a scene of `height` x `width`, process included.

        An upper bound: what the process takes beside was measured at 16K, and tiles where a library reorders
        them.
        """
        plans = self._plans(range(2, SIZES[size] + 2), height, width, method, memory_budget)
        return PROCESS_BYTES[self.device.type] + bytes_needed(plans)

    def step(
        self,
        image: Tensor,
        seed: int,
        step: int,
        *,
        memory_budget: int | None = None,
        method: str = "tile",
        progress: bool = True,
    ) -> Tensor:
        """One step of x4 (Eq. 4 to 7): (3, H, W) in [0, 1] to (3, 4H, 4W) in [0, 1].

        Noise is added to the whole image before it is split. `method`, `memory_budget`: see `synthesize`.
        """
        plans = self._plans([step], image.shape[1], image.shape[2], method, memory_budget)
        return torch.cat(list(self._rows(image, plans, seed, 0, progress)), 1)

    def _step(self, step: int) -> Step:
        return Step(step, self.network(step)[0], self.super_resolution.noise_std)

    def _plans(
        self,
        steps: Iterable[int],
        height: int,
        width: int,
        method: str,
        memory_budget: int | None,
        overlap: int | None = None,
    ) -> list[UpscalePlan]:
        check_choice("method", method, METHODS)
        plans, why = choose_plans(
            [self._step(step) for step in steps],
            height,
            width,
            method=method,
            overlap=self.super_resolution.overlap if overlap is None else overlap,
            budget_bytes=self._activation_budget(memory_budget),
        )
        log.info("%s", why)
        return plans

    def _overlap(self, rule: int | str | None, steps: Iterable[int], image: Tensor) -> int:
        """The largest overlap that the networks of `steps` ask for, measured on the scene."""
        if rule is None:
            return self.super_resolution.overlap
        parse_overlap(rule)  # before the networks are loaded
        networks = {found.sha256: network for network, found in map(self.network, steps)}
        return max(resolve_overlap(rule, net, image, sha256=sha256) for sha256, net in networks.items())

    def _activation_budget(self, memory_budget: int | None) -> int:
        if memory_budget is None:
            return self.super_resolution.tile_memory_mb * 2**20
        return memory_budget - PROCESS_BYTES[self.device.type]

    def _rows(
        self, image: Tensor, plans: Sequence[UpscalePlan], seed: int, first: int, progress: bool
    ) -> Iterator[Tensor]:
        height = image.shape[1] * 4 ** (len(plans) - 1)
        with tqdm(
            total=height, desc=f"step {plans[-1].step.number}", unit="row", disable=not progress
        ) as bar:
            yield from render_rows(image, plans, seed, bar)(first)

    def record(self, *, size: str, **what: Any) -> dict[str, Any]:
        """From what a picture of this model comes."""
        used = {step: self.network(step)[1] for step in range(2, SIZES[size] + 2)}
        return provenance.record(
            device=str(self.device),
            model=to_dict(self.metadata),
            super_resolution=to_dict(self.super_resolution),
            weights={
                f"step {step}": {"name": found.name, "source": found.source, "sha256": found.sha256}
                for step, found in used.items()
            },
            size=size,
            **what,
        )


def describe(plan: UpscalePlan) -> str:
    """How a step was computed, for the record of a picture."""
    if isinstance(plan, BandPlan):
        return f"bands of {plan.band} rows in {plan.step.dtype}"
    cut = plan.plan
    return f"tiles of {cut.tile_height}x{cut.tile_width}, overlap {cut.overlap}, in {plan.step.dtype}"


def identity(record: dict[str, Any], scene: Tensor) -> dict[str, Any]:
    """What an unfinished picture and a run that goes on with it must have in common."""
    kept = {key: record[key] for key in ("seed", "methods", "weights", "super_resolution")}
    return kept | {"step 1": digest(scene)}


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
