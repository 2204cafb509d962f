"""The scene that is looked at, with what one does to it most."""

from __future__ import annotations

import random

import ipywidgets as widgets

from ourgan.explorer.state.scene import MAX_SEED, Scene
from ourgan.explorer.widgets.base import DESCRIBED, Desk, Panel, button, guarded, named, row, whenever
from ourgan.explorer.widgets.pictures import Picture, png


class View(Panel):
    """Seed, undo, and the picture; `picture.box` is the rectangle of the panel Edit."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.picture = named(Picture(), "picture")
        self.busy = named(widgets.HTML(), "busy")
        self.seed = named(
            widgets.BoundedIntText(
                min=0, max=MAX_SEED, description="Seed", style=DESCRIBED, layout={"width": "160px"}
            ),
            "seed",
        )
        whenever(self.seed, self._set_seed)
        another = button("Another scene", "draw", self._another)
        self.undo = button("Undo", "undo", self._undo)
        self.keep = button("☆ Keep", "favourite", self._keep, "Keep this scene among the favourites")
        self.fill(row(self.seed, another, self.undo, self.keep), self.picture, self.busy)
        self._shown: tuple[bool, Scene] | None = None

    @guarded
    def _set_seed(self, seed: int) -> None:
        self.session.change(seed=seed)
        self.desk.changed()

    @guarded
    def _another(self) -> None:
        self.session.change(
            seed=random.randrange(MAX_SEED), resample_from=0, to_seed=None, fraction=0.0, edits=()
        )
        self.desk.changed()

    @guarded
    def _undo(self) -> None:
        if not self.session.undo():
            self.say("There is nothing to undo.")
        self.desk.changed()

    @guarded
    def _keep(self) -> None:
        kept = self.session.favourites.toggle(self.session.scene)
        note = self.session.favourites.note
        self.say(f"{'Kept' if kept else 'No longer kept'}. {note}".strip())
        self.desk.changed()

    def sync(self) -> None:
        """Draw the scene, if another one is shown."""
        session, model, scene = self.session, self.session.model, self.session.scene
        self.seed.value = scene.seed
        if self._shown == (session.coordinate, scene):
            return
        self._shown = (session.coordinate, scene)
        size = (session.width, session.height)
        self.busy.value = f"<span role='status'>Drawing {size[0]} x {size[1]} pixels …</span>"

        def drawn(data: bytes) -> None:
            # As large as fits twice the photo's own width; a panorama one to one.
            zoom = max(1.0, 2 * session.own_width / max(size[0], session.own_width))
            self.picture.show(data, size, described(scene, size), zoom=zoom)
            if self._shown == (session.coordinate, scene):
                self.busy.value = ""

        def failed(error: Exception) -> None:
            self.busy.value, self._shown = "", None
            self.fail(error)

        self.desk.worker.ask("scene", lambda: png(session.drawn(model, scene)), drawn, failed)


def described(scene: Scene, size: tuple[int, int]) -> str:
    """One sentence about a scene, for those who cannot see it and for tests."""
    text = f"Scene of seed {scene.seed}"
    if scene.to_seed is not None:
        text += f", {scene.fraction:.0%} of the way to seed {scene.to_seed}"
    if scene.resample_from:
        text += f", fresh noise {scene.resample_seed} from stage {scene.resample_from}"
    if scene.edits:
        text += f", {len(scene.edits)} edits"
    return f"{text}, {size[0]} x {size[1]} pixels"
