"""OurGAN: one trained model, from a seed to a picture (Fig. 5)."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ourgan import hub
from ourgan._core.devices import best_device
from ourgan._core.errors import OurganError, check_choice
from ourgan.config import SIZES, SuperResolutionConfig
from ourgan.io.canvas import Canvas, check_output
from ourgan.io.model_dir import Contents, ModelError, ModelMetadata, StepMetadata, read_model, write_model
from ourgan.io.pixels import digest, resize, to_uint8
from ourgan.models.pyramid import GlobalGenerator
from ourgan.upscale.crop import Box, crop
from ourgan.upscale.noise import scene_noise
from ourgan.upscale.overlap import measure_margin
from ourgan.upscale.upscaler import Enlarger, describe, identity

log = logging.getLogger(__name__)

MAX_WIDTH_FACTOR = 16  # of a scene against the photo's own width
SCENES = 4  # of step 2 that are remembered, some 10 MB each
MARGIN_SHARE = 8  # of the photo's width, on each side: streaks end there, measured on the shipped model

_Key = tuple[int, int | None, str]


@dataclasses.dataclass(frozen=True)
class _Scene:
    """What windows are cut from: the picture of step 2, (3, 4h, 4w), and what it is known by."""

    key: _Key
    enlarged: Tensor


class OurGAN(Enlarger):
    """A model trained on one photo: `generator` is step 1, the rest steps 2 to 4 (see `Enlarger`)."""

    def __init__(
        self,
        generator: GlobalGenerator,
        super_resolution: SuperResolutionConfig | None = None,
        metadata: ModelMetadata | None = None,
        device: str | torch.device | None = None,
        steps: dict[int, StepMetadata] | None = None,
        directory: Path | None = None,
    ) -> None:
        super().__init__(
            super_resolution or SuperResolutionConfig(noise_std=0.0),
            steps or {},
            directory,
            torch.device(device) if device else best_device(),
            metadata or ModelMetadata(),
        )
        # float32: step 1 costs a second, and its samples should not depend on the processor.
        self.generator = generator.to(self.device, torch.float32).eval().requires_grad_(False)
        self.generator.compute_dtype = torch.float32
        self._remembering = threading.Lock()
        self._scenes: dict[_Key, _Scene] = {}
        self._contexts: dict[tuple[_Key, str, float], int] = {}

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
        return cls(held.generator, held.super_resolution, held.metadata, device, held.steps, directory)

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Write a model directory: config.json, global.safetensors and the steps' own weights."""
        contents = Contents(self.generator, self.super_resolution, self.metadata, self.steps)
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
    def sample(
        self,
        seed: int = 0,
        *,
        width: int | None = None,
        margin: int | None = None,
        noise_scales: Sequence[float] | None = None,
        inject_at: tuple[int, Tensor] | None = None,
        noise: Callable[[int, int, int, int], Tensor] | None = None,
    ) -> Tensor:
        """Draw a scene: (3, h, w) in [0, 1], step 1 only.

        The same seed gives the same picture whatever else is drawn.

        Args:
            width: in pixels of step 1; wider than the photo gives a panorama.
            margin: pixels drawn at the left and right beyond the scene and cut off. Zero padding makes the
                outermost columns look different to the networks from all others, which shows as streaks;
                None takes an eighth of the photo's width, 0 gives the scene as it was trained.
            noise_scales: factor on the noise of each scale, 1 as trained.
            inject_at: (scale, image): begin at this scale, 1 or above, with `image` (3, h, w) in [0, 1] in
                place of what the scales below would draw. Its border is continued by reflection into the
                margin.
            noise: `noise(scale, channels, h, w)`, standard normal, in place of the seed's.
        """
        own = self.generator.sizes[-1][1]
        if width is not None and not 16 <= width <= own * MAX_WIDTH_FACTOR:
            raise OurganError(
                f"width {width}: this model draws 16 to {own * MAX_WIDTH_FACTOR} pixels in step 1"
            )
        width, margin = width or own, own // MARGIN_SHARE if margin is None else margin
        if inject_at is not None:
            scale, injected = inject_at
            injected = resize(injected, (self.generator.sizes[-1][0], width)).to(self.device)
            padding = (min(margin, width - 1),) * 2 + (0, 0)
            padded = torch.nn.functional.pad(injected[None], padding, mode="reflect")[0]
            inject_at = (scale, padded * 2 - 1)
            margin = padding[0]
        image = self.generator.draw(
            noise or scene_noise(seed, self.device),
            width=width + 2 * margin,
            noise_scales=noise_scales,
            inject_at=inject_at,
        )
        return image[0, :, :, margin : margin + width].mul(0.5).add(0.5).clamp(0, 1).cpu().contiguous()

    # -- steps 2 to 4 -----------------------------------------------------------------------------

    def synthesize(
        self,
        seed: int = 0,
        size: str = "4k",
        out: str | os.PathLike[str] | None = None,
        *,
        width: int | None = None,
        image: Tensor | None = None,
        memory_budget: int | None = None,
        method: str = "auto",
        overlap: int | str | None = None,
        resume: bool = False,
        overwrite: bool = False,
        progress: bool = True,
        watch: Callable[[int, int], object] | None = None,
    ) -> NDArray[np.uint8] | Path:
        """From a seed to a picture: (H, W, 3) uint8; or, with `out` (.tif or .png), to that file, its path.

        With `out` the picture is written as it is made and never in memory as a whole.

        Args:
            size: "1k", "4k" or "16k": one, two or three steps of x4 from step 1.
            width: of the scene in pixels of step 1, as in `sample`.
            image: a picture (3, h, w) in [0, 1] to be enlarged in place of the scene that the seed draws.
            memory_budget: bytes that the process (on a GPU: its memory there) may take; when None, the
                activations of a step take what the model's `tile_memory_mb` says.
            method: "stream", bands, equal to the whole image; "tile", overlapping subregions as in the
                paper; "auto": bands, if they fit the budget.
            overlap: of subregions: LR pixels, "erf" or "tolerance=1"; see `overlap.resolve_overlap`. The
                largest that a step asks for serves all; None: the model's own setting.
            resume: go on with what a killed run has left beside `out`; the pixels are the same.
            overwrite: replace a file that exists.
            watch: called with the rows made so far and all; what it raises ends the work, to be resumed.

        Raises OurganError before any work when `out` cannot be written, or was begun with other settings.
        """
        check_choice("size", size, SIZES)
        if out is not None:
            check_output(out, overwrite=overwrite, resume=resume)
        started = time.monotonic()
        image = self.sample(seed, width=width) if image is None else image.detach().float().cpu()
        height, width = image.shape[1:]
        factor = 4 ** SIZES[size]
        steps = range(2, SIZES[size] + 2)
        plans = self._plans(steps, height, width, method, memory_budget, self._overlap(overlap, steps, image))
        if out is None:
            pixels = np.empty((height * factor, width * factor, 3), np.uint8)
            row = 0
            for piece in self._rows(image, plans, seed, 0, progress):
                pixels[row : row + piece.shape[1]] = to_uint8(piece)
                row += piece.shape[1]
                if watch:
                    watch(row, len(pixels))
            return pixels
        record = self.record(seed=seed, size=size, methods=[describe(plan) for plan in plans])
        made_of = identity(record, image)
        canvas = Canvas(out, height * factor, width * factor, made_of, resume=resume, overwrite=overwrite)
        begun = canvas.rows
        if begun:
            log.info("%s: going on from row %d of %d", out, begun, canvas.height)
        if begun < canvas.height:
            for piece in self._rows(image, plans, seed, begun, progress):
                canvas.append(to_uint8(piece))
                if watch:
                    watch(canvas.rows, canvas.height)
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
        image: Tensor | None = None,
        tolerance: float = 1.0,
    ) -> Tensor:
        """Pixels of the picture that `synthesize` makes, without the rest of it: (3, h, w) in [0, 1].

        Steps 1 and 2 are computed whole, once for each of the last few scenes, later ones for the window
        and its surroundings alone.

        Args:
            box: (x, y, w, h), pixels of the picture.
            image: as in `synthesize`.
            tolerance: about the largest difference from the whole picture that each step may bring through
                what it does not see, in 8-bit levels, in float32 (in bfloat16 rounding adds its own). How
                many pixels of context that takes is estimated at two places of the scene, the first time
                it is asked for; elsewhere up to 1.5 times the tolerance was seen. 0 takes all that the
                networks reach. Steps add up, and in bfloat16 sharp edges may differ by tens of levels.

        Raises OurganError for an unknown size, CropError for a window that is not within the picture.
        """
        check_choice("size", size, SIZES)
        with self._remembering:  # a deep zoom asks from a thread of its own
            scene = self._scene(seed, width, image)
            steps = []
            for step in range(3, SIZES[size] + 2):
                network, found = self.network(step)
                key = (scene.key, found.sha256, tolerance)
                if key not in self._contexts:
                    self._contexts[key] = measure_margin(
                        network, scene.enlarged, tolerance, sha256=found.sha256
                    )
                steps.append((self._step(step), self._contexts[key]))
        return crop(scene.enlarged, seed, steps, box)

    def _scene(self, seed: int, width: int | None, image: Tensor | None = None) -> _Scene:
        """A scene with its picture of step 2; the last few are remembered."""
        given = "" if image is None else digest(image)
        key = (seed, width, given)
        scene = self._scenes.pop(key, None)
        if scene is None:
            image = self.sample(seed, width=width) if image is None else image.detach().float().cpu()
            scene = _Scene(key, self.step(image, seed, 2, method="stream", progress=False))
        self._scenes[key] = scene
        if len(self._scenes) > SCENES:
            gone = next(iter(self._scenes))  # the one not asked for longest
            del self._scenes[gone]
            self._contexts = {k: v for k, v in self._contexts.items() if k[0] != gone}
        return scene
