"""The panels about steps 2 to 4: the seam lab (Fig. 8, live), and the deep zoom."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from ourgan.config import SIZES
from ourgan.explorer.state.seam_lab import HEIGHT, MAX_OVERLAP, TILES, WIDTH, SeamLab, Seams
from ourgan.explorer.widgets.base import (
    ExplorerContext,
    Panel,
    Picture,
    button,
    control,
    on_change,
    report_errors,
    row,
    with_class,
)
from ourgan.io.pixels import encode_png

ZOOM_HELP = (
    "From the whole scene down to single pixels of a picture that is never made as a whole: only what you "
    "look at is computed. Coarse first, then sharp; the first sharp window takes about a minute on two cores "
    "with detail from the network, a few seconds from the photo."
)


class SeamPanel(Panel):
    """Where the strip lies, how it is cut, and what that costs in 8-bit levels."""

    def __init__(self, context: ExplorerContext) -> None:
        super().__init__(context)
        session = self.session
        self.lab = SeamLab(session.model.upscaler)
        width, height = session.own_width, session.height
        self.tile = control(widgets.Dropdown, "Tile", "tile", "110px", options=TILES, value=64)
        self.overlap = self._slider("Overlap α", "overlap", MAX_OVERLAP, 10)
        self.corner = (
            self._slider("x of the strip", "place-x", max(0, width - WIDTH), max(0, width - WIDTH) // 2),
            self._slider("y of the strip", "place-y", max(0, height - HEIGHT), height // 2),
        )
        on_change(self.tile, lambda _: self._measure())
        self.picture = with_class(Picture(), "seam-picture")
        self.number = with_class(widgets.HTML(), "seam-number")
        start = button("Measure", "measure", self._measure)
        intro = widgets.HTML(
            f"A strip of {WIDTH} x {HEIGHT} pixels of the scene as step 1 drew it, enlarged by the network "
            "of step 2 in tiles and in exact bands, in float32. The network is loaded the first time."
        )
        self.fill(intro, row(self.tile, self.overlap), row(*self.corner, start), self.number, self.picture)

    def _slider(self, text: str, name: str, largest: int, value: int) -> widgets.IntSlider:
        slider = control(
            widgets.IntSlider, text, name, "250px", value=value, min=0, max=largest, continuous_update=False
        )
        on_change(slider, lambda _: self._measure())
        return slider

    @report_errors
    def _measure(self) -> None:
        session, lab, scene, model = self.session, self.lab, self.session.scene, self.session.model
        # The choices of overlap end with the tile: more would take far longer than two seconds.
        with self.context.quiet():
            self.overlap.max = min(self.tile.value, MAX_OVERLAP)
        tile, overlap = self.tile.value, self.overlap.value
        x, y = (slider.value for slider in self.corner)
        self.number.value = "<span role='status'>Measuring …</span>"

        def work() -> tuple[Seams, bytes, tuple[int, int]]:
            seams = lab.measure(lab.strip(session.draw(model, scene), x, y), tile, overlap)
            sheet = seams.sheet()
            return seams, encode_png(sheet), sheet.size

        self.context.worker.submit("seams", work, self._show, self._failed)

    def _show(self, result: tuple[Seams, bytes, tuple[int, int]]) -> None:
        seams, png, size = result
        difference, plan = seams.difference, seams.plan
        self.number.value = (
            f"{plan.columns} tiles of {plan.tile_width}, overlap {plan.overlap}: "
            f"<b>{difference.mean_in_band:.2f}</b> 8-bit levels on average within 16 px of a seam, "
            f"{difference.largest:.1f} at most, {difference.changed:.1%} of the pixels change in 8 bits"
        )
        alt = f"The strip in tiles, in bands, and where they differ, at most {difference.largest:.1f} levels"
        self.picture.show(png, size, alt, zoom=1.0)

    def _failed(self, error: Exception) -> None:
        self.number.value = ""
        self.fail(error)


class ZoomPanel(Panel):
    """A button, and the deep zoom of the scene that was shown when it was pressed."""

    def __init__(self, context: ExplorerContext) -> None:
        super().__init__(context)
        self.view: Any = None
        self.size = control(widgets.Dropdown, "Size", "zoom-size", "120px", options=list(SIZES), value="16k")
        self.frame = with_class(widgets.VBox(), "zoom")
        look = button("Look into this scene", "zoom-open", self._open)
        self.fill(widgets.HTML(ZOOM_HELP), row(self.size, look), self.frame)

    @report_errors
    def _open(self) -> None:
        scene, session, size = self.session.scene, self.session, self.size.value
        model, way = session.model, session.switches.options()
        self.say("Drawing the scene …")

        def show(image: Any) -> None:
            # A viewer of half a megabyte, when it is wanted.
            from ourgan.explorer.deep_zoom.viewer import DeepZoom

            self.close()
            self.view = DeepZoom(model, scene.seed, size, scene.width, image, **way)
            self.frame.children = (self.view,)
            self.say("")

        self.context.worker.submit("zoom", lambda: session.draw(model, scene), show, self.fail)

    def close(self) -> None:
        """End the view and its work."""
        if self.view is not None:
            self.frame.children = ()
            self.view.close()
            self.view = None
