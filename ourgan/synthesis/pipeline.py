"""OurGAN: one trained model, from a seed to a picture (Fig. 5)."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from ourgan import hub, provenance, weights
from ourgan.config import SuperResolutionConfig
from ourgan.devices import best_device, compute_dtype
from ourgan.errors import OurganError
from ourgan.images import to_uint8
from ourgan.models.global_generator import GlobalGenerator
from ourgan.synthesis.canvas import Canvas, check_output
from ourgan.synthesis.context import measured_context
from ourgan.synthesis.cropping import Box, crop
from ourgan.synthesis.directory import Contents, ModelError, ModelFacts, StepFacts, read_model, write_model
from ourgan.synthesis.networks import Network, fine_tuned_file, fine_tuned_network, starting_network
from ourgan.synthesis.noise import scene_noise
from ourgan.synthesis.rendering import Bands, Step, Way, choose_ways, rendered, tile_plan
from ourgan.synthesis.tiling import TilePlan
from ourgan.tables import to_table

log = logging.getLogger(__name__)

METHODS = ("auto", "stream", "tile")
SIZES = {"1k": 1, "4k": 2, "16k": 3}  # steps of x4 after step 1
MAX_WIDTH_FACTOR = 16  # of a scene against the photo's own width
# What the process takes beside the activations of steps 2 to 4, measured at 16K on a CPU: torch with its
# libraries (0.5 GiB), weights, step 1, a row of tiles, and what the allocator does not give back.
PROCESS_BYTES = 1050 * 2**20
SCENES = 4  # of step 2 that are remembered, some 10 MB each
MARGIN_SHARE = 8  # of the photo's width, on each side: streaks end there, measured on the shipped model


class OurGAN:
    """A model trained on one photo.

    Attributes:
        generator: step 1.
        super_resolution: settings of steps 2 to 4.
        facts: where the model is from.
        steps: how each step with fine-tuned weights got them.
        directory: where those weights lie; None for a model that has none.
        device: where the networks run.
    """

    def __init__(
        self,
        generator: GlobalGenerator,
        super_resolution: SuperResolutionConfig | None = None,
        facts: ModelFacts | None = None,
        device: str | torch.device | None = None,
        steps: dict[int, StepFacts] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.device = torch.device(device) if device else best_device()
        # float32: step 1 costs a second, and its samples should not depend on the processor.
        self.generator = generator.to(self.device, torch.float32).eval().requires_grad_(False)
        self.generator.compute_dtype = torch.float32
        self.super_resolution = super_resolution or SuperResolutionConfig(noise_std=0.0)
        self.facts = facts or ModelFacts()
        self.steps = steps or {}
        self.directory = directory
        self._scenes: dict[tuple[int, int | None], Tensor] = {}
        self._contexts: dict[tuple[int, int | None, str, float], int] = {}
        self._networks: dict[int, tuple[Network, weights.Weights]] = {}  # 0: of steps without their own

    # -- files ------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
    ) -> OurGAN:
        """Load a model directory, or "user/repo" from the Hub or its cache.

        `revision`: commit, tag or branch on the Hub. Raises ModelError or HubError in one line when
        something is missing, wrong or out of reach. A directory of that name here comes first.
        """
        directory = Path(source)
        if not directory.is_dir():
            if not hub.looks_like_repository(str(source)):
                raise ModelError(
                    f"{source}: no such model directory; train one with `ourgan train PHOTO --out DIR`"
                )
            directory = hub.download_model(str(source), revision=revision)
        held = read_model(directory)
        return cls(held.generator, held.super_resolution, held.facts, device, held.steps, directory)

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Write a model directory: config.json, global.safetensors and the steps' own weights."""
        contents = Contents(self.generator, self.super_resolution, self.facts, self.steps)
        write_model(Path(directory), contents, self.directory)

    def push_to_hub(self, repository: str, *, private: bool = False) -> str:
        """Put the model's directory into "user/repo" on the Hub; returns the commit's address.

        Raises ModelError for a model that lies in no directory, HubError in one line for what the Hub
        refuses. Needs a login (`hf auth login`).
        """
        if self.directory is None:
            raise ModelError(
                "this model lies in no directory: save_pretrained(DIR), then from_pretrained(DIR)"
            )
        return hub.upload_model(self.directory, repository, private=private)

    # -- step 1 -----------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(self, seed: int = 0, *, width: int | None = None, margin: int | None = None) -> Tensor:
        """Draw a scene: (3, h, w) in [0, 1], step 1 only.

        The same seed gives the same picture whatever else is drawn.

        Args:
            width: in pixels of step 1; wider than the photo gives a panorama.
            margin: pixels drawn at the left and right beyond the scene and cut off. Zero padding makes the
                outermost columns look different to the networks from all others, which shows as streaks;
                None takes an eighth of the photo's width, 0 gives the scene as it was trained.
        """
        own = self.generator.sizes[-1][1]
        if width is not None and not 16 <= width <= own * MAX_WIDTH_FACTOR:
            raise OurganError(
                f"width {width}: this model draws 16 to {own * MAX_WIDTH_FACTOR} pixels in step 1"
            )
        width, margin = width or own, own // MARGIN_SHARE if margin is None else margin
        image = self.generator.draw(scene_noise(seed, self.device), width=width + 2 * margin)
        return image[0, :, :, margin : margin + width].mul(0.5).add(0.5).clamp(0, 1).cpu().contiguous()

    # -- steps 2 to 4 -----------------------------------------------------------------------------

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

    def synthesize(
        self,
        seed: int = 0,
        size: str = "4k",
        out: str | os.PathLike[str] | None = None,
        *,
        width: int | None = None,
        memory_budget: int | None = None,
        method: str = "auto",
        resume: bool = False,
        overwrite: bool = False,
        progress: bool = True,
    ) -> NDArray[np.uint8] | Path:
        """From a seed to a picture: (H, W, 3) uint8; or, with `out` (.tif or .png), to that file, its path.

        With `out` the picture is written as it is made and never in memory as a whole.

        Args:
            size: "1k", "4k" or "16k": one, two or three steps of x4 from step 1.
            width: of the scene in pixels of step 1, as in `sample`.
            memory_budget: bytes that the process (on a GPU: its memory there) may take; when None, the
                activations of a step take what the model's `tile_memory_mb` says.
            method: "stream", bands, equal to the whole image; "tile", overlapping subregions as in the
                paper; "auto": bands, if they fit the budget.
            resume: go on with what a killed run has left beside `out`; the pixels are the same.
            overwrite: replace a file that exists.

        Raises OurganError before any work when `out` cannot be written, or was begun with other settings.
        """
        if size not in SIZES:
            raise OurganError(f"size '{size}': use one of {', '.join(SIZES)}")
        if out is not None:
            check_output(out, overwrite=overwrite, resume=resume)
        started = time.monotonic()
        height, own = self.generator.sizes[-1]
        width = width or own
        factor = 4 ** SIZES[size]
        steps = range(2, SIZES[size] + 2)
        ways = self._ways(steps, height, width, method, memory_budget)
        image = self.sample(seed, width=width)
        if out is None:
            pixels = np.empty((height * factor, width * factor, 3), np.uint8)
            row = 0
            for piece in self._rows(image, ways, seed, 0, progress):
                pixels[row : row + piece.shape[1]] = to_uint8(piece)
                row += piece.shape[1]
            return pixels
        record = self.record(seed=seed, size=size, methods=[_described(way) for way in ways])
        identity = {key: record[key] for key in ("seed", "methods", "weights", "super_resolution")}
        identity["step 1"] = hashlib.sha256(image.numpy().tobytes()).hexdigest()
        canvas = Canvas(out, height * factor, width * factor, identity, resume=resume, overwrite=overwrite)
        begun = canvas.rows
        if begun:
            log.info("%s: going on from row %d of %d", out, begun, canvas.height)
        if begun < canvas.height:
            for piece in self._rows(image, ways, seed, begun, progress):
                canvas.append(to_uint8(piece))
        seconds = round(time.monotonic() - started, 1)
        canvas.finish(record | {"seconds": seconds, "rows_from_an_earlier_run": begun})
        return canvas.path

    def crop(
        self,
        seed: int = 0,
        size: str = "16k",
        box: Box = (0, 0, 512, 512),
        *,
        width: int | None = None,
        tolerance: float = 1.0,
    ) -> Tensor:
        """Pixels of the picture that `synthesize` makes, without the rest of it: (3, h, w) in [0, 1].

        Steps 1 and 2 are computed whole, once for each of the last few scenes, later ones for the window
        and its surroundings alone.

        Args:
            box: (x, y, w, h), pixels of the picture.
            tolerance: about the largest difference from the whole picture that each step may bring through
                what it does not see, in levels of 255, in float32 (in bfloat16 rounding adds its own). How
                many pixels of context that takes is estimated at two places of the scene, the first time
                it is asked for; elsewhere up to 1.5 times the tolerance was seen. 0 takes all that the
                networks reach. Steps add up, and in bfloat16 sharp edges may differ by tens of levels.

        Raises OurganError for an unknown size, CropError for a window that is not within the picture.
        """
        if size not in SIZES:
            raise OurganError(f"size '{size}': use one of {', '.join(SIZES)}")
        scene = self._scene(seed, width)
        steps = []
        for step in range(3, SIZES[size] + 2):
            network, found = self.network(step)
            key = (seed, width, found.sha256, tolerance)
            if key not in self._contexts:
                self._contexts[key] = measured_context(network, scene, tolerance, sha256=found.sha256)
            steps.append((self._step(step), self._contexts[key]))
        return crop(scene, seed, steps, box)

    def _scene(self, seed: int, width: int | None) -> Tensor:
        """The picture of step 2; the last few are remembered."""
        key = (seed, width)
        image = self._scenes.pop(key, None)
        if image is None:
            image = self.step(self.sample(seed, width=width), seed, 2, method="stream", progress=False)
        self._scenes[key] = image
        if len(self._scenes) > SCENES:
            del self._scenes[next(iter(self._scenes))]  # the one not asked for longest
        return image

    def _step(self, step: int) -> Step:
        return Step(step, self.network(step)[0], self.super_resolution.noise_std)

    def _ways(
        self, steps: Iterable[int], height: int, width: int, method: str, memory_budget: int | None
    ) -> list[Way]:
        if method not in METHODS:
            raise OurganError(f"method '{method}': use one of {', '.join(METHODS)}")
        ways, why = choose_ways(
            [self._step(step) for step in steps],
            height,
            width,
            method=method,
            overlap=self.super_resolution.overlap,
            budget_bytes=self._activation_budget(memory_budget),
        )
        log.info("%s", why)
        return ways

    def _activation_budget(self, memory_budget: int | None) -> int:
        if memory_budget is None:
            return self.super_resolution.tile_memory_mb * 2**20
        return memory_budget - PROCESS_BYTES

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
            model=to_table(self.facts),
            super_resolution=to_table(self.super_resolution),
            weights={
                f"step {step}": {"name": found.name, "source": found.source, "sha256": found.sha256}
                for step, found in used.items()
            },
            size=size,
            **what,
        )


def _described(way: Way) -> str:
    if isinstance(way, Bands):
        return f"bands of {way.band} rows in {way.step.dtype}"
    plan = way.plan
    return f"tiles of {plan.tile_height}x{plan.tile_width}, overlap {plan.overlap}, in {way.step.dtype}"
