"""The scene that is looked at, and the gallery: a contact sheet of scenes to choose from."""

from __future__ import annotations

import dataclasses
import functools
import io
import random

import ipywidgets as widgets

from ourgan.explorer.state.scene import MAX_SEED, Scene
from ourgan.explorer.state.session import Session
from ourgan.explorer.state.switches import Switches
from ourgan.explorer.widgets.base import (
    ExplorerContext,
    Panel,
    Picture,
    Sheet,
    button,
    control,
    on_change,
    report_errors,
    row,
    with_class,
)
from ourgan.io.pixels import encode_png, preview

THUMBNAIL = 160  # pixels of a sample in the sheet
KINDS = {"seeds": "seeds", "favourites": "favourites", "more like this": "like this"}


class View(Panel):
    """Seed, undo, and the picture; `picture.box` is the rectangle of the panel Edit."""

    def __init__(self, context: ExplorerContext) -> None:
        super().__init__(context)
        self.picture = with_class(Picture(), "picture")
        self.busy = with_class(widgets.HTML(), "busy")
        self.seed = control(widgets.BoundedIntText, "Seed", "seed", "160px", min=0, max=MAX_SEED)
        on_change(self.seed, self._set_seed)
        another = button("Another scene", "draw", self._another)
        self.undo = button("Undo", "undo", self._undo)
        self.keep = button("☆ Keep", "favourite", self._keep, "Keep this scene among the favourites")
        self.fill(row(self.seed, another, self.undo, self.keep), self.picture, self.busy)
        self._shown: tuple[bool, Scene, Switches] | None = None

    @report_errors
    def _set_seed(self, seed: int) -> None:
        self.session.change(seed=seed)
        self.context.sync()

    @report_errors
    def _another(self) -> None:
        seed = random.randrange(MAX_SEED)
        self.session.change(seed=seed, resample_from=0, to_seed=None, fraction=0.0, edits=())
        self.context.sync()

    @report_errors
    def _undo(self) -> None:
        if not self.session.undo():
            self.say("There is nothing to undo.")
        self.context.sync()

    @report_errors
    def _keep(self) -> None:
        kept = self.session.favourites.toggle(self.session.scene)
        note = self.session.favourites.note
        self.say(f"{'Kept' if kept else 'No longer kept'}. {note}".strip())
        self.context.sync()

    def sync(self) -> None:
        """Draw the scene, if another one is shown."""
        session, scene = self.session, self.session.scene
        self.seed.value = scene.seed
        now = (session.coordinate, scene, session.switches)
        if self._shown == now:
            return
        self._shown = now
        self.context.worker.drop("redrawn")
        redrawn = session.switches.scene == "projected" and session.is_redrawn(session.model, scene)
        self._show_as(session.switches if redrawn else Switches())

    def _show_as(self, switches: Switches) -> None:
        """Draw the scene, and then redraw it if it is shown that way: one sees something after a second."""
        session, model, scene, now = self.session, self.session.model, self.session.scene, self._shown
        size, redrawn = (session.width, session.height), switches.scene == "projected"
        doing = "Redrawing from the photo" if redrawn else "Drawing"
        self.busy.value = f"<span role='status'>{doing}, {size[0]} x {size[1]} pixels …</span>"

        def work() -> bytes:
            return encode_png(session.show_as(switches, model, scene))

        def show(data: bytes) -> None:
            # As large as fits twice the photo's own width; a panorama one to one.
            zoom = max(1.0, 2 * session.own_width / max(size[0], session.own_width))
            self.picture.show(data, size, describe(scene, size, redrawn), zoom=zoom)
            if self._shown != now:
                return
            self.busy.value = ""
            if switches.scene != session.switches.scene:
                self._show_as(session.switches)

        def fail(error: Exception) -> None:
            self.busy.value, self._shown = "", None
            self.fail(error)

        self.context.worker.submit("redrawn" if redrawn else "scene", work, show, fail)


def describe(scene: Scene, size: tuple[int, int], redrawn: bool = False) -> str:
    """Return one sentence about a scene of `size` = (width, height), for screen readers and tests."""
    text = f"Scene of seed {scene.seed}"
    if scene.to_seed is not None:
        text += f", {scene.fraction:.0%} of the way to seed {scene.to_seed}"
    if scene.resample_from:
        text += f", fresh noise {scene.resample_seed} from scale {scene.resample_from}"
    if scene.edits:
        text += f", {len(scene.edits)} edits"
    return f"{text}, {size[0]} x {size[1]} pixels" + (", redrawn from the photo" if redrawn else "")


class Gallery(Panel):
    """Pages of samples; their pictures appear one after the other, first as drawn, then redrawn."""

    def __init__(self, context: ExplorerContext) -> None:
        super().__init__(context)
        self.number = 0
        self.scenes: list[Scene] = []
        self._requested: tuple[object, ...] | None = None
        self.which = control(widgets.Dropdown, "Show", "which", "200px", options=list(KINDS))
        last = len(self.session.model.generator.sizes) - 1
        self.scale = control(
            widgets.BoundedIntText, "fresh from scale", "like-stage", "170px", value=1, min=1, max=last
        )
        self.page = widgets.Label()
        self.sheet = with_class(Sheet(layout={"width": "100%"}), "gallery")
        on_change(self.which, lambda _: self._turn_to(0))
        on_change(self.scale, lambda _: self._turn_to(0))
        self.sheet.on_choose(self._choose)
        before = button("Previous", "previous", lambda: self._turn_to(self.number - 1))
        after = button("Next", "next", lambda: self._turn_to(self.number + 1))
        self.fill(row(self.which, self.scale, before, self.page, after), self.sheet)

    @report_errors
    def _turn_to(self, number: int) -> None:
        scenes = self.session.page(KINDS[self.which.value], max(0, number), self.scale.value)
        if not scenes and number > 0:
            self.say("This is the last page.")
            return
        self.number = max(0, number)
        self.sync()

    @report_errors
    def _choose(self, index: int) -> None:
        self.session.pick(KINDS[self.which.value], self.scenes[index])
        self.context.sync()

    def sync(self) -> None:
        """Show the page's scenes, and mark the one shown; nothing that is there is drawn again.

        Behind another panel nothing is drawn: it would only slow down what one looks at.
        """
        if self.context.front is not self:
            self._requested = None
            self.context.worker.drop("gallery")
            return
        kind = KINDS[self.which.value]
        self.scale.layout.display = None if kind == "like this" else "none"
        try:
            scenes = self.session.page(kind, self.number, self.scale.value)
            kept = self.session.favourites.scenes()
        except Exception as error:
            self.fail(error)
            return
        self.page.value = f"page {self.number + 1}"
        self.sheet.label = f"Samples: {self.which.value}, page {self.number + 1}"
        items = [self._item(scene, scene in kept) for scene in scenes]
        switches = self.session.switches
        request = (self.session.coordinate, switches, tuple(scenes))
        if request == self._requested:
            self.sheet.items = items
            return
        self._requested, self.scenes = request, scenes
        self.sheet.clear(items)
        if not scenes:
            self.say("No scene is kept yet: ☆ Keep does that.")
        ways = [Switches()] if switches.scene == "drawn" else [Switches(), switches]
        works = [
            functools.partial(_encode_thumbnail, self.session, way, scene) for way in ways for scene in scenes
        ]

        def fill(index: int, picture: bytes) -> None:
            self.sheet.fill(index % len(scenes), picture)

        self.context.worker.submit_each("gallery", works, fill, self._failed)

    def _failed(self, error: Exception) -> None:
        self._requested = None
        self.fail(error)

    def _item(self, scene: Scene, kept: bool) -> dict[str, object]:
        caption = f"noise {scene.resample_seed}" if scene.resample_from else f"seed {scene.seed}"
        own = self.session.scene
        shown = scene in (own, dataclasses.replace(own, width=None))
        return {"caption": caption, "alt": f"Sample, {caption}", "chosen": shown, "kept": kept}


def _encode_thumbnail(session: Session, switches: Switches, scene: Scene) -> bytes:
    buffer = io.BytesIO()
    preview(session.thumbnail(switches, scene), THUMBNAIL).save(buffer, format="jpeg", quality=85)
    return buffer.getvalue()
