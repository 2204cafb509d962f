"""OurGAN: one trained model, from a seed to a picture (Fig. 5). The file to open first.

Step 1, the generator, draws a small scene; steps 2 to 4, the upscaler, each make it four times as large.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ourgan import hub
from ourgan._core import provenance
from ourgan._core.devices import best_device
from ourgan._core.strict_toml import to_dict
from ourgan.config import steps_of
from ourgan.io import model_dir
from ourgan.io.canvas import open_canvas
from ourgan.io.pixels import digest, reflect, resize
from ourgan.models.generator import Generator
from ourgan.models.training_free import TrainingFree
from ourgan.upscale.crop import Box
from ourgan.upscale.detail import Look, Windows, Wish
from ourgan.upscale.noise import scene_noise
from ourgan.upscale.parts import Parts
from ourgan.upscale.upscaler import Upscaler


@dataclass(frozen=True, eq=False)
class OurGAN:
    """A model trained on one photo. It never changes: `using` makes another with other settings.

    Attributes:
        generator: step 1, in float32.
        upscaler: steps 2 to 4, their networks and settings.
        metadata: where the model is from.
        steps: how each fine-tuned step got its weights.
        directory: where the model lies; None for one that is in memory alone.
    """

    generator: Generator
    upscaler: Upscaler = field(default_factory=Upscaler)
    metadata: model_dir.ModelMetadata = field(default_factory=model_dir.ModelMetadata)
    steps: Mapping[int, model_dir.StepMetadata] = field(default_factory=dict)
    directory: Path | None = None
    _windows: Windows = field(default_factory=Windows, init=False, repr=False)

    def __post_init__(self) -> None:
        # float32: step 1 costs a second, and its samples should not depend on the processor.
        self.generator.to(self.upscaler.device, torch.float32).eval().requires_grad_(False)
        self.generator.compute_dtype = torch.float32

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
    ) -> OurGAN:
        """Load a model directory, or "user/repo" from the Hub or its cache.

        Args:
            source: a directory of that name here comes before a repository.
            revision: commit, tag or branch on the Hub.
            device: where to compute; None: the GPU if there is one.

        Raises ModelError or HubError in one line when something is missing, wrong or out of reach.
        """
        directory = Path(source)
        if not directory.is_dir():
            if not hub.looks_like_repository(str(source)):
                raise model_dir.ModelError(
                    f"{source}: no such model directory; train one with `ourgan train PHOTO --out DIR`"
                )
            directory = hub.download_model(str(source), revision=revision)
        generator, settings, metadata, steps = model_dir.read_model(directory)
        device = torch.device(device) if device else best_device()
        upscaler = Upscaler(settings, model_dir.fine_tuned_files(directory, steps), device)
        return cls(generator, upscaler, metadata, steps, directory)

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Write a model directory: config.json, global.safetensors, the steps' own weights; not the photo."""
        settings, fine_tuned = self.upscaler.settings, self.upscaler.fine_tuned
        contents = self.generator, settings, self.metadata, self.steps, fine_tuned
        model_dir.write_model(Path(directory), *contents)

    def push_to_hub(self, repository: str, *, private: bool = False, photo: bool = False) -> str:
        """Put the model's directory into "user/repo" on the Hub; return the commit's address.

        `photo`: publish the photo, too. Needs a login (`hf auth login`). Raises ModelError for a model that
        lies in no directory, HubError in one line for what the Hub refuses.
        """
        if isinstance(self.generator, TrainingFree) and not photo:
            raise model_dir.ModelError("this model holds its photo, which would be published: say photo=True")
        if self.directory is None:
            why = "this model lies in no directory: save_pretrained(DIR), then from_pretrained(DIR)"
            raise model_dir.ModelError(why)
        return hub.upload_model(self.directory, repository, private=private, photo=photo)

    def using(self, **changes: Any) -> OurGAN:
        """Return this model with other settings of steps 2 to 4, such as `dtype="float32"`.

        It shares the generator. `changes`: fields of SuperResolutionConfig, see `Upscaler.using`.
        """
        return replace(self, upscaler=self.upscaler.using(**changes))

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
    ) -> Float[Tensor, "3 h w"]:
        """Draw a scene in [0, 1], step 1 only; a seed gives the same scene whatever else is drawn.

        Args:
            seed: of the noise.
            width: in pixels of step 1; wider than the photo gives a panorama.
            margin: pixels drawn at the left and right beyond the scene and cut off. Zero padding makes the
                outermost columns look different to the networks from all others, which shows as streaks;
                None takes the generator's own (none without networks), 0 gives the scene as it was trained.
            noise_scales: factor on the noise of each scale, 1 as trained.
            inject_at: (scale, image): begin at this scale, 1 or above, with `image` (3, h, w) in [0, 1] in
                place of what the scales below would draw. The margin continues it by reflection.
            noise: `noise(scale, channels, h, w)`, standard normal, in place of the seed's.
        """
        height, width = self.generator.scene_size(width)
        margin = self.generator.margin if margin is None else margin
        if inject_at is not None:
            margin = min(margin, width - 1)
            injected = resize(inject_at[1], (height, width)).to(self.upscaler.device)
            inject_at = (inject_at[0], reflect(injected, margin) * 2 - 1)
        noise, width = noise or scene_noise(seed, self.upscaler.device), width + 2 * margin
        image = self.generator.draw(noise, width=width, noise_scales=noise_scales, inject_at=inject_at)[0]
        return image[:, :, margin : width - margin].mul(0.5).add(0.5).clamp(0, 1).cpu().contiguous()

    def synthesize(
        self,
        seed: int = 0,
        size: str = "4k",
        out: str | os.PathLike[str] | None = None,
        *,
        width: int | None = None,
        image: Float[Tensor, "3 h w"] | None = None,
        memory_budget: int | None = None,
        method: str = "auto",
        overlap: int | str | None = None,
        resume: bool = False,
        overwrite: bool = False,
        parts: Parts | None = None,
        progress: bool = True,
        watch: Callable[[int, int], object] | None = None,
        scene: str = "drawn",
        detail: str = "network",
        photo: str | os.PathLike[str] | None = None,
        novelty: float | None = None,
    ) -> NDArray[np.uint8] | Path:
        """Make a picture from a seed: (H, W, 3) uint8; or, with `out`, that file, whose path is returned.

        Args:
            seed: of the scene and of the noise in all steps.
            size: "1k", "4k" or "16k": one, two or three steps of x4 from step 1.
            out: a .tif or .png, written as it is made: the picture is never in memory as a whole.
            width: of the scene in pixels of step 1, as in `sample`.
            image: a picture in [0, 1] in place of the scene that the seed draws.
            memory_budget: bytes for the process (on a GPU: there); None: `tile_memory_mb` for a step at work.
            method: "stream": bands, equal to the whole image; "tile": the paper's; "auto": bands if they fit.
            overlap: of tiles: LR pixels, "erf" or "tolerance=1", see `resolve_overlap`; None: the model's.
            resume: go on with what a killed run has left beside `out`; the pixels are the same.
            overwrite: replace a file that exists.
            parts: let workers make the rows; what is unfinished beside `out` is continued.
            progress: show a progress bar.
            watch: called with the rows made so far and all; what it raises ends the work, to be resumed.
            scene: "drawn" by step 1, the paper's; "projected": redrawn from the photo's patches; or "auto".
            detail: by the "network", the paper's; the "photo"'s own pixels, enlarged if too few; or "auto".
            photo: file of the model's photo; default: in the model's directory, or in data/photos.
            novelty: of a projected scene, from 0, large pieces of the photo, to 1, new arrangements; as 0.5.

        Raises OurganError before any work when `out` cannot be written, or was begun with other settings.
        """
        start, steps = time.monotonic(), steps_of(size)
        # 1. What it is made of, and where the pixels go: what cannot be is refused before any work.
        options = {"method": method, "memory_budget": memory_budget, "overlap": overlap}
        own, count = self.generator.scene_size(width, image), parts.count if parts else None
        look = self.look(Wish(scene, detail, photo, novelty), own, steps, parts=parts, **options)
        height, wide = (4 ** len(steps) * side for side in own)
        canvas = open_canvas(out, height, wide, resume=resume, overwrite=overwrite, parts=count)
        drawn = look.begin(self._scene(seed, width, image))  # 2. Step 1: the scene.
        # 3. How it is enlarged: from the photo; or by steps 2 to 4 within the memory, in bands or in tiles.
        made = look.rows(self.upscaler, drawn, seed, steps, parts, **options)
        # 4. Row by row, on from what a stopped run has left; then the file, its preview and its record.
        decisive = {"seed": seed, **look.describe(), **made.describe()}
        first = canvas.begin(decisive | {"step 1": digest(drawn)})
        for pixels in made.rows(first, canvas.directory, progress):
            canvas.append(pixels)
            if watch:
                watch(canvas.rows, height)
        what = decisive | {"size": size, "parts": count or 1, "rows_from_an_earlier_run": first}
        return canvas.finish(self._record(look, start, **what))

    def crop(
        self,
        seed: int = 0,
        size: str = "16k",
        box: Box = (0, 0, 512, 512),
        *,
        width: int | None = None,
        image: Float[Tensor, "3 h w"] | None = None,
        tolerance: float = 1.0,
        scene: str = "drawn",
        detail: str = "network",
        photo: str | os.PathLike[str] | None = None,
        novelty: float | None = None,
    ) -> Float[Tensor, "3 _ _"]:
        """Return pixels of the picture that `synthesize` makes, in [0, 1], without the rest of it.

        `box`: (x, y, w, h), pixels of the picture; `tolerance`: of the network, see `WindowSource.crop`; the
        others as in `synthesize`. Raises OurganError, CropError for a window that is not within the picture.
        """
        steps, key = steps_of(size), (seed, width, None if image is None else digest(image))
        look = self.look(Wish(scene, detail, photo, novelty), self.generator.scene_size(width, image), steps)
        draw = functools.partial(self._scene, seed, width, image)
        return self._windows.crop(look, self.upscaler, key, draw, seed, steps, box, tolerance)

    def _scene(self, seed: int, width: int | None, image: Tensor | None) -> Tensor:
        return self.sample(seed, width=width) if image is None else image.detach().float().cpu()

    def _record(self, look: Look, start: float, **what: Any) -> dict[str, Any]:
        what |= {"scene": look.scene, "detail": look.detail, "seconds": round(time.monotonic() - start, 1)}
        return provenance.record(device=str(self.upscaler.device), model=to_dict(self.metadata), **what)

    def look(self, wish: Wish, size: tuple[int, int], steps: range, **asked: Any) -> Look:
        """Decide what a picture of a scene of `size` = (height, width) is made of; see `Wish.decide`."""
        sizes = self.generator.sizes[-1], size
        return wish.decide(self.metadata, self.directory, sizes, steps, self.upscaler, **asked)
