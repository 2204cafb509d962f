"""OurGAN: one trained model, from a seed to a picture (Fig. 5)."""

from __future__ import annotations

import logging
import os
import time
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
from ourgan.synthesis.canvas import check_output, save_picture
from ourgan.synthesis.directory import Contents, ModelError, ModelFacts, StepFacts, read_model, write_model
from ourgan.synthesis.networks import (
    BYTES_PER_OUTPUT_PIXEL,
    Network,
    fine_tuned_file,
    fine_tuned_network,
    starting_network,
)
from ourgan.synthesis.noise import scene_noise
from ourgan.synthesis.streaming import choose_band, stream
from ourgan.synthesis.tiling import TilePlan, add_noise, choose_plan, upscale
from ourgan.tables import to_table

log = logging.getLogger(__name__)

METHODS = ("auto", "stream", "tile")
SIZES = {"1k": 1, "4k": 2, "16k": 3}  # steps of x4 after step 1
MAX_WIDTH_FACTOR = 16  # of a scene against the photo's own width
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
            dtype = compute_dtype(settings.dtype, self.device)
            self._networks[key] = network.to(self.device, dtype, memory_format=torch.channels_last), found  # type: ignore[call-overload]
        return self._networks[key]

    def _file(self, step: int) -> Path:
        if self.directory is None:
            raise ModelError(f"step {step} has facts and no directory with its weights")
        return self.directory / fine_tuned_file(step)

    def plan(self, height: int, width: int, memory_budget: int | None = None, *, step: int = 2) -> TilePlan:
        """How an image of `height` x `width` LR pixels is cut; the budget is bytes for one subregion."""
        network, _ = self.network(step)
        overlap = self.super_resolution.overlap
        return choose_plan(
            height,
            width,
            scale=network.scale,
            overlap=overlap + -overlap % network.multiple,
            budget_bytes=memory_budget or self.super_resolution.tile_memory_mb * 2**20,
            bytes_per_output_pixel=BYTES_PER_OUTPUT_PIXEL[next(network.parameters()).dtype],
            multiple=network.multiple,
        )

    def step(
        self,
        image: Tensor,
        seed: int,
        step: int,
        *,
        out: NDArray[np.uint8] | None = None,
        memory_budget: int | None = None,
        method: str = "tile",
        progress: bool = True,
    ) -> Tensor:
        """One step of x4 (Eq. 4 to 7): (3, H, W) in [0, 1] to (3, 4H, 4W) in [0, 1].

        Noise is added to the whole image before it is split. "tile": in subregions that overlap; a picture
        that fits the budget is not split. "stream": in bands, equal to the whole image, no seam.
        """
        network, _ = self.network(step)
        std = self.super_resolution.noise_std
        noisy = add_noise(image, seed, step, std) if std else image
        if method == "stream":
            return self._streamed(network, noisy, step, out, memory_budget, progress)
        plan = self.plan(image.shape[1], image.shape[2], memory_budget, step=step)
        log.info("step %d: %d x %d subregions, overlap %d", step, plan.rows, plan.columns, plan.overlap)
        upscaled = upscale(network, noisy, plan, progress=progress, out=out)
        return upscaled if out is not None else upscaled.clamp_(0, 1)

    def _streamed(
        self,
        network: Network,
        image: Tensor,
        step: int,
        out: NDArray[np.uint8] | None,
        memory_budget: int | None,
        progress: bool,
    ) -> Tensor:
        height, width = image.shape[1:]
        budget = memory_budget or self.super_resolution.tile_memory_mb * 2**20
        band = choose_band(network, width, budget, next(network.parameters()).dtype)
        log.info("step %d: bands of %d rows", step, band)
        shape = (4 * height, 4 * width)
        made = torch.empty(3, *shape) if out is None else torch.from_numpy(out).permute(2, 0, 1)
        top = 0
        with tqdm(total=height, desc=f"step {step}", unit="row", disable=not progress) as bar:
            for piece in stream(network, [image], height, width, band=band):
                bottom = top + piece.shape[1]
                if out is None:
                    made[:, top:bottom] = piece.clamp_(0, 1)
                else:
                    out[top:bottom] = to_uint8(piece)
                bar.update((bottom - top) // 4)
                top = bottom
        return made

    def synthesize(
        self,
        seed: int = 0,
        size: str = "4k",
        out: str | os.PathLike[str] | None = None,
        *,
        width: int | None = None,
        memory_budget: int | None = None,
        method: str = "auto",
        overwrite: bool = False,
        progress: bool = True,
    ) -> NDArray[np.uint8]:
        """From a seed to a picture: (H, W, 3) uint8, and in the file `out` (.tif or .png) if given.

        Args:
            size: "1k", "4k" or "16k": one, two or three steps of x4 from step 1.
            width: of the scene in pixels of step 1, as in `sample`.
            memory_budget: bytes that the activations of one subregion may take; the model's own when None.
            method: "tile", overlapping subregions as in the paper; "stream", bands, equal to the whole image;
                "auto": bands on a CPU, where they take less time and memory, tiles elsewhere.
            overwrite: replace a file that exists.

        Raises OurganError before any work when `out` cannot be written.
        """
        if size not in SIZES:
            raise OurganError(f"size '{size}': use one of {', '.join(SIZES)}")
        if method not in METHODS:
            raise OurganError(f"method '{method}': use one of {', '.join(METHODS)}")
        if method == "auto":
            method = "stream" if self.device.type == "cpu" else "tile"
            log.info("method %s: %s", method, "no seam, nothing twice" if method == "stream" else "on a GPU")
        started = time.monotonic()
        height, own = self.generator.sizes[-1]
        factor = 4 ** SIZES[size]
        shape = (height * factor, (width or own) * factor, 3)
        if out is not None:
            check_output(out, overwrite=overwrite, expected_bytes=int(np.prod(shape)) * 3 // 2)
        image = self.sample(seed, width=width)
        pixels = np.empty(shape, np.uint8)
        last = SIZES[size] + 1
        for step in range(2, last + 1):
            target = pixels if step == last else None
            image = self.step(
                image, seed, step, out=target, memory_budget=memory_budget, method=method, progress=progress
            )
        if out is not None:
            save_picture(
                out,
                pixels,
                self.record(
                    seed=seed, size=size, method=method, seconds=round(time.monotonic() - started, 1)
                ),
            )
        return pixels

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
