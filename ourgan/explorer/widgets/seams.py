"""The seam lab: two sliders against a map of differences (Fig. 8, live)."""

from __future__ import annotations

import io

import ipywidgets as widgets

from ourgan.explorer.state.seam_lab import HEIGHT, MAX_OVERLAP, TILES, WIDTH, SeamLab, Seams
from ourgan.explorer.widgets.base import DESCRIBED, Desk, Panel, button, guarded, named, row, whenever
from ourgan.explorer.widgets.pictures import Picture
from ourgan.reproduce.figures.explorer import seam_sheet


class SeamPanel(Panel):
    """Where the strip lies, how it is cut, and what that costs in levels of 255."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        session = self.session
        self.lab = SeamLab(lambda: session.model.network(2)[0])
        width, height = session.own_width, session.height
        self.tile = named(
            widgets.Dropdown(options=TILES, value=64, description="Tile", style=DESCRIBED), "tile"
        )
        self.tile.layout.width = "110px"
        self.overlap = self._slider("Overlap α", "overlap", MAX_OVERLAP, 10)
        self.place = (
            self._slider("x of the strip", "place-x", max(0, width - WIDTH), max(0, width - WIDTH) // 2),
            self._slider("y of the strip", "place-y", max(0, height - HEIGHT), height // 2),
        )
        whenever(self.tile, lambda _: self._measure())
        self.picture = named(Picture(), "seam-picture")
        self.number = named(widgets.HTML(), "seam-number")
        start = button("Measure", "measure", self._measure)
        intro = widgets.HTML(
            f"A strip of {WIDTH} x {HEIGHT} pixels of the scene, enlarged by the network of step 2 in tiles "
            "and in exact bands, in float32. The network is loaded the first time."
        )
        self.fill(intro, row(self.tile, self.overlap), row(*self.place, start), self.number, self.picture)

    def _slider(self, text: str, name: str, largest: int, value: int) -> widgets.IntSlider:
        slider = widgets.IntSlider(
            value=value, min=0, max=largest, description=text, continuous_update=False, style=DESCRIBED,
            layout={"width": "250px"},
        )  # fmt: skip
        whenever(slider, lambda _: self._measure())
        return named(slider, name)

    @guarded
    def _measure(self) -> None:
        session, lab, scene = self.session, self.lab, self.session.scene
        # The choices of overlap end with the tile: more would take far longer than two seconds.
        with self.desk.quiet():
            self.overlap.max = min(self.tile.value, MAX_OVERLAP)
        tile, overlap = self.tile.value, self.overlap.value
        x, y = (slider.value for slider in self.place)
        self.number.value = "<span role='status'>Measuring …</span>"

        def work() -> tuple[Seams, bytes]:
            seams = lab.measure(lab.strip(session.picture(scene), x, y), tile, overlap)
            buffer = io.BytesIO()
            sheet = seam_sheet(seams)
            sheet.save(buffer, format="png")
            return seams, buffer.getvalue()

        self.desk.worker.ask("seams", work, self._show, self._failed)

    def _show(self, result: tuple[Seams, bytes]) -> None:
        seams, data = result
        found, plan = seams.difference, seams.plan
        text = (
            f"{plan.columns} tiles of {plan.tile_width}, overlap {plan.overlap}: "
            f"<b>{found.mean_in_band:.2f}</b> levels of 255 on average within 16 px of a seam, "
            f"{found.largest:.1f} at most, {found.changed:.1%} of the pixels change in 8 bits"
        )
        self.number.value = text
        height, width = int.from_bytes(data[20:24]), int.from_bytes(data[16:20])  # of the PNG's header
        alt = f"The strip in tiles, in bands, and where they differ, at most {found.largest:.1f} levels"
        self.picture.show(data, (width, height), alt, zoom=1.0)

    def _failed(self, error: Exception) -> None:
        self.number.value = ""
        self.fail(error)
