"""Steps 2 to 4 of a model: networks, their settings, and the rows of pictures that they make (Sec. 3.3)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ourgan import weights
from ourgan._core.devices import best_device, compute_dtype
from ourgan._core.errors import check_choice
from ourgan._core.strict_toml import to_dict
from ourgan.config import METHODS, SuperResolutionConfig
from ourgan.upscale.networks import Loaded, backbone_of, fine_tuned_network, starting_network
from ourgan.upscale.overlap import parse_overlap, resolve_overlap
from ourgan.upscale.schedule import Network, Step, UpscalePlan, bytes_needed, choose_plans, render_rows

log = logging.getLogger(__name__)

# What is taken beside the activations of steps 2 to 4. On a CPU, measured at 16K: torch with its libraries
# (0.5 GiB), weights, step 1, a row of tiles, and what the allocator does not give back. On a GPU: weights,
# step 1 and the driver's context, an assumption, measured nowhere yet.
PROCESS_BYTES = {"cpu": 1050 * 2**20, "cuda": 700 * 2**20}
_DECIDES_NETWORKS = ("backbone", "weights", "dtype")  # settings


@dataclass(frozen=True, eq=False)
class Upscaler:
    """The networks of steps 2 to 4 and how they run. It never changes: other settings are another upscaler.

    Attributes:
        settings: backbone, weights, noise, overlap, type and memory; by default without noise, which released
            weights have not learned to use.
        fine_tuned: the file with weights of its own for each step that has one.
        device: where the networks run.
    """

    settings: SuperResolutionConfig = field(default_factory=lambda: SuperResolutionConfig(noise_std=0.0))
    fine_tuned: Mapping[int, Path] = field(default_factory=dict)
    device: torch.device = field(default_factory=best_device)
    # By step, 0 for those without weights of their own; loaded when first needed.
    _networks: dict[int, tuple[Network, weights.Weights]] = field(
        default_factory=dict, init=False, repr=False
    )

    def using(self, **changes: Any) -> Upscaler:
        """Return an upscaler with other settings; it shares the networks if they are the same.

        Args:
            changes: fields of SuperResolutionConfig, such as `backbone`, `dtype`, `overlap`. Other `weights`
                than these, a released name or a file, serve all steps, also those with fine-tuned ones; the
                backbone is then that of the weights, and the noise 0, unless they are given, too. Without,
                steps with fine-tuned weights keep them, so their backbone cannot be another.

        Raises:
            WeightsError: for a file that cannot be read, or holds another network.
        """
        fine_tuned, named = self.fine_tuned, changes.get("weights", "auto")
        if named not in ("auto", self.settings.weights):
            fine_tuned, changes = {}, {"noise_std": 0.0, "backbone": backbone_of(named), **changes}
        settings = dataclasses.replace(self.settings, **changes)
        other = dataclasses.replace(self, settings=settings, fine_tuned=fine_tuned)
        if fine_tuned is self.fine_tuned and all(
            getattr(other.settings, name) == getattr(self.settings, name) for name in _DECIDES_NETWORKS
        ):
            other._networks.update(self._networks)
        return other

    def network(self, step: int = 2) -> Loaded:
        """Return the network of a step, and where its weights are from (without the parameters themselves).

        Raises WeightsError if the weights cannot be had or do not fit, OurganError for released weights of
        the other backbone.
        """
        key = step if step in self.fine_tuned else 0
        if key not in self._networks:
            if key:
                network, source = fine_tuned_network(self.settings.backbone, self.fine_tuned[step])
            else:
                network, source = starting_network(self.settings)
                log.info("no fine-tuned weights for step %d: using %s (%s)", step, source.name, source.source)
            source = dataclasses.replace(source, state_dict={})  # the network has them: not twice in memory
            dtype = compute_dtype(self.settings.dtype, self.device)
            network = network.to(self.device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._networks[key] = network, source
        return self._networks[key]

    def step(self, number: int) -> Step:
        """Return step 2, 3 or 4 with its network and the noise of Eq. 4."""
        return Step(number, self.network(number)[0], self.settings.noise_std)

    def plan(
        self,
        image: Float[Tensor, "3 h w"],
        steps: Iterable[int],
        *,
        method: str = "auto",
        memory_budget: int | None = None,
        overlap: int | str | None = None,
    ) -> list[UpscalePlan]:
        """Return how each step is computed: in bands or in tiles, and how large these are.

        Args:
            image: what the first step upscales; only its size counts, unless an overlap is to be measured.
            steps: the paper's numbers, in their order.
            method: "stream", "tile" or "auto"; this and the rest as in `OurGAN.synthesize`.
            memory_budget: bytes for the whole process.
            overlap: of tiles.

        Raises:
            OurganError: for an unknown method or overlap, and if nothing fits the budget.
        """
        steps = list(steps)
        check_choice("method", method, METHODS)
        budget = self.settings.tile_memory_mb * 2**20
        if memory_budget is not None:
            budget = memory_budget - PROCESS_BYTES[self.device.type]
        pixels = self._overlap(overlap, steps, image)
        height, width = image.shape[1:]
        plans, why = choose_plans(
            [self.step(number) for number in steps],
            *(height, width),
            method=method,
            overlap=pixels,
            budget_bytes=budget,
        )
        log.info("%s", why)
        return plans

    def _overlap(self, rule: int | str | None, steps: Sequence[int], image: Tensor) -> int:
        """Return the largest overlap that the networks of `steps` ask for, measured on the image."""
        if rule is None:
            return self.settings.overlap
        parse_overlap(rule)  # before the networks are loaded
        networks = {source.sha256: network for network, source in map(self.network, steps)}
        return max(resolve_overlap(rule, net, image, sha256=sha256) for sha256, net in networks.items())

    def rows(
        self,
        image: Float[Tensor, "3 h w"],
        seed: int,
        first: int = 0,
        *,
        plans: Sequence[UpscalePlan],
        progress: bool = False,
    ) -> Iterator[Float[Tensor, "3 _ W"]]:
        """Yield the rows of a picture from `first` on, bit for bit those of a run from the top.

        Args:
            image: in [0, 1], what the first step upscales.
            seed: of the noise.
            first: the row of the picture to begin with.
            plans: from `plan`, for an image of this size.
            progress: show a progress bar.

        Yields:
            Pieces (3, n, W) in [0, 1], float32 on the CPU, from top to bottom.

        Raises:
            OurganError: for tiles that do not fit the memory, and values that are not finite.
        """
        height, name = image.shape[1] * 4 ** (len(plans) - 1), f"step {plans[-1].step.number}"
        if first >= 4 * height:
            return
        with tqdm(total=height, desc=name, unit="row", disable=not progress) as bar:
            yield from render_rows(image, plans, seed, first, bar)

    def upscale(
        self, image: Float[Tensor, "3 h w"], seed: int, steps: Iterable[int], **options: Any
    ) -> Float[Tensor, "3 H W"]:
        """Return the whole picture that `steps` make of an image, in [0, 1], float32 on the CPU.

        Args:
            image: in [0, 1].
            seed: of the noise.
            steps: the paper's numbers, in their order.
            options: `method`, `memory_budget` and `overlap`, see `plan`.

        Raises:
            OurganError: as `plan` and `rows` do.
        """
        return torch.cat(list(self.rows(image, seed, plans=self.plan(image, steps, **options))), 1)

    def predict_memory(self, plans: Sequence[UpscalePlan]) -> int:
        """Return the bytes that a process takes at most for these plans, as far as that can be foreseen."""
        return PROCESS_BYTES[self.device.type] + bytes_needed(plans)

    def describe(self, plans: Sequence[UpscalePlan]) -> dict[str, Any]:
        """Return all that decides the pixels beside image and seed, in plain JSON values.

        Its keys are `super_resolution`, the settings; `weights`, by step; and `methods`, one for each plan.
        """
        used = {plan.step.number: self.network(plan.step.number)[1] for plan in plans}
        return {
            "super_resolution": to_dict(self.settings),
            "weights": {
                f"step {number}": {"name": source.name, "source": source.source, "sha256": source.sha256}
                for number, source in used.items()
            },
            "methods": [plan.describe() for plan in plans],
        }
