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
from ourgan._core.errors import check_choice
from ourgan._core.strict_toml import to_dict
from ourgan.config import METHODS, SIZES, SuperResolutionConfig
from ourgan.io.model_dir import ModelError, ModelFacts, StepFacts
from ourgan.io.pixels import digest
from ourgan.upscale.networks import Network, fine_tuned_file, fine_tuned_network, starting_network
from ourgan.upscale.overlap import measured_overlap, parse_overlap
from ourgan.upscale.schedule import Bands, Step, Way, bytes_needed, choose_ways, rendered, tile_plan
from ourgan.upscale.tiles import TilePlan

log = logging.getLogger(__name__)

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
        facts: where the model is from.
    """

    def __init__(
        self,
        super_resolution: SuperResolutionConfig,
        steps: dict[int, StepFacts],
        directory: Path | None,
        device: torch.device,
        facts: ModelFacts,
    ) -> None:
        self.super_resolution = super_resolution
        self.steps = steps
        self.directory = directory
        self.device = device
        self.facts = facts
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
        ways = self._ways(range(2, SIZES[size] + 2), height, width, method, memory_budget)
        return PROCESS_BYTES[self.device.type] + bytes_needed(ways)

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
        ways = self._ways([step], image.shape[1], image.shape[2], method, memory_budget)
        return torch.cat(list(self._rows(image, ways, seed, 0, progress)), 1)

    def _step(self, step: int) -> Step:
        return Step(step, self.network(step)[0], self.super_resolution.noise_std)

    def _ways(
        self,
        steps: Iterable[int],
        height: int,
        width: int,
        method: str,
        memory_budget: int | None,
        overlap: int | None = None,
    ) -> list[Way]:
        check_choice("method", method, METHODS)
        ways, why = choose_ways(
            [self._step(step) for step in steps],
            height,
            width,
            method=method,
            overlap=self.super_resolution.overlap if overlap is None else overlap,
            budget_bytes=self._activation_budget(memory_budget),
        )
        log.info("%s", why)
        return ways

    def _overlap(self, rule: int | str | None, steps: Iterable[int], image: Tensor) -> int:
        """The largest overlap that the networks of `steps` ask for, measured on the scene."""
        if rule is None:
            return self.super_resolution.overlap
        parse_overlap(rule)  # before the networks are loaded
        networks = {found.sha256: network for network, found in map(self.network, steps)}
        return max(measured_overlap(rule, net, image, sha256=sha256) for sha256, net in networks.items())

    def _activation_budget(self, memory_budget: int | None) -> int:
        if memory_budget is None:
            return self.super_resolution.tile_memory_mb * 2**20
        return memory_budget - PROCESS_BYTES[self.device.type]

    def _rows(
        self, image: Tensor, ways: Sequence[Way], seed: int, first: int, progress: bool
    ) -> Iterator[Tensor]:
        height = image.shape[1] * 4 ** (len(ways) - 1)
        with tqdm(total=height, desc=f"step {ways[-1].step.step}", unit="row", disable=not progress) as bar:
            yield from rendered(image, ways, seed, bar)(first)

    def record(self, *, size: str, **what: Any) -> dict[str, Any]:
        """From what a picture of this model comes."""
        used = {step: self.network(step)[1] for step in range(2, SIZES[size] + 2)}
        return provenance.record(
            device=str(self.device),
            model=to_dict(self.facts),
            super_resolution=to_dict(self.super_resolution),
            weights={
                f"step {step}": {"name": found.name, "source": found.source, "sha256": found.sha256}
                for step, found in used.items()
            },
            size=size,
            **what,
        )


def described(way: Way) -> str:
    """How a step was computed, for the record of a picture."""
    if isinstance(way, Bands):
        return f"bands of {way.band} rows in {way.step.dtype}"
    plan = way.plan
    return f"tiles of {plan.tile_height}x{plan.tile_width}, overlap {plan.overlap}, in {way.step.dtype}"


def identity_of(record: dict[str, Any], scene: Tensor) -> dict[str, Any]:
    """What an unfinished picture and a run that goes on with it must have in common."""
    kept = {key: record[key] for key in ("seed", "methods", "weights", "super_resolution")}
    return kept | {"step 1": digest(scene)}
