"""A picture of any size in a notebook: OpenSeadragon asks, the kernel answers with tiles."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from jaxtyping import Float
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.explorer.deep_zoom.file import PictureSource
from ourgan.explorer.deep_zoom.source import CACHE_BYTES, SceneSource, Tile, TileSource
from ourgan.explorer.deep_zoom.worker import TileWorker
from ourgan.explorer.state.background import ByteCache
from ourgan.pipeline import OurGAN

STATIC = Path(__file__).parent / "static"
MOST_TILES = 4096  # that a view may want at once: a screen of 8K holds some 700


def _text(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _module() -> str:
    """Return the front end as one module, so that nothing is fetched from anywhere."""
    library = _text("openseadragon.min.js").partition("//# sourceMappingURL")[0]
    # Where a page has a loader of modules, as Voila's, the library would register with that one instead.
    hidden = "(function (define, module, exports) {\n" + library + "\nreturn OpenSeadragon;\n}).call({})"
    return f"const OpenSeadragon = {hidden};\n{_text('deep_zoom.js')}"


class DeepZoom(anywidget.AnyWidget):
    """From a whole picture down to its single pixels, in JupyterLab, Voila and the like.

    `DeepZoom(model, seed=7)` shows the 16K picture of that seed without its ever being made: only what one
    looks at is computed (`OurGAN.crop`), small levels first, and remembered in up to CACHE_BYTES of memory.
    `DeepZoom.from_file("scene.tif")` shows a finished picture.

    Args:
        model: draws; None for a view of files.
        seed: of the scene shown first.
        size: "1k", "4k" or "16k".
        width: of the scene in pixels of step 1; the photo's own when None.
        image: a picture in [0, 1] to be upscaled in place of the scene that the seed draws.
        scene: "drawn" by step 1, "projected", or "auto", see `OurGAN.synthesize`.
        detail: by the "network", of the "photo", or "auto".
        photo: file of the model's photo.

    Raises:
        OurganError: for an unknown size, an unreadable file, a scene and a detail that cannot be had.

    Attributes:
        error: why tiles are missing, in one line; "" if none are.
        place: (x, y, zoom) in the middle of the last view that moved: pixels of the picture, and screen
            pixels for each of these; empty while the whole is in view.
    """

    _esm = _module()
    _css = _text("deep_zoom.css")

    scene = traitlets.Int(0).tag(sync=True)  # counts what was shown; tiles of an earlier one are not wanted
    shapes: traitlets.List[list[int]] = traitlets.List().tag(sync=True)
    tile = traitlets.Int(1).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)
    place: traitlets.List[float] = traitlets.List().tag(sync=True)

    def __init__(
        self,
        model: OurGAN | None = None,
        seed: int = 7,
        size: str = "16k",
        width: int | None = None,
        image: Float[Tensor, "3 h w"] | None = None,
        **way: Any,
    ) -> None:
        self._model, self._cache = model, ByteCache(CACHE_BYTES)
        self._worker: TileWorker | None = None
        super().__init__()
        self.add_class("ourgan-deepzoom-widget")
        self.on_msg(self._on_message)
        if model is not None:
            self.show(seed, size, width=width, image=image, **way)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> DeepZoom:
        """Show a finished picture; see `show_file`."""
        zoom = cls()
        zoom.show_file(path)
        return zoom

    def show(
        self,
        seed: int = 7,
        size: str = "16k",
        *,
        width: int | None = None,
        image: Float[Tensor, "3 h w"] | None = None,
        scene: str = "drawn",
        detail: str = "network",
        photo: str | os.PathLike[str] | None = None,
    ) -> None:
        """Show another scene of the model, at the same place if it is as large; see `DeepZoom`."""
        if self._model is None:
            raise OurganError("this view has no model; make it with DeepZoom(model)")
        source = SceneSource(
            self._model, seed, size, self._cache,
            width=width, image=image, scene=scene, detail=detail, photo=photo,
        )  # fmt: skip
        self._open(source, f"scene {seed}")

    def show_file(self, path: str | os.PathLike[str]) -> None:
        """Show a tiled TIFF with its smaller levels, as `OurGAN.synthesize` writes it."""
        self._open(PictureSource(path, self._cache), Path(path).name)

    def close(self) -> None:
        """Stop the work and free the memory."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        self._cache = ByteCache(CACHE_BYTES)
        super().close()

    def _open(self, source: TileSource, name: str) -> None:
        if self._worker is not None:
            self._worker.close()
        scene, shapes = self.scene + 1, [list(shape) for shape in source.shapes]
        answer = functools.partial(self._answer, scene)
        self._worker = TileWorker(source, answer, functools.partial(self._fail, scene))
        height, width = shapes[-1]
        with self.hold_sync():
            if shapes != self.shapes:
                self.place = []
            self.shapes, self.tile, self.note, self.error = shapes, source.tile, source.note, ""
            self.label = f"{name}, {width:,} x {height:,} pixels"
            self.scene = scene

    def _on_message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Receive {"want": [[level, x, y], ...], "view": name, "scene": number, "again": bool}."""
        if self._worker is None or content.get("scene") != self.scene:
            return
        tiles: list[Tile] = [(int(level), int(x), int(y)) for level, x, y in content["want"][:MOST_TILES]]
        if content.get("again"):
            self.error = ""
        self._worker.want(str(content["view"]), tiles)

    def _answer(self, scene: int, tile: Tile, png: bytes) -> None:
        self.send({"scene": scene, "tile": list(tile)}, buffers=[png])

    def _fail(self, scene: int, tile: Tile, why: str) -> None:
        if scene == self.scene:
            self.error = why
            self.send({"scene": scene, "tile": list(tile), "failed": why})
