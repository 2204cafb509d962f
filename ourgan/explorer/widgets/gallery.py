"""A contact sheet of scenes to choose from."""

from __future__ import annotations

import dataclasses
import functools

import ipywidgets as widgets

from ourgan.explorer.state.scene import Scene
from ourgan.explorer.state.session import Session
from ourgan.explorer.widgets.base import DESCRIBED, Desk, Panel, button, guarded, named, row, whenever
from ourgan.explorer.widgets.pictures import Sheet, thumbnail

KINDS = {"seeds": "seeds", "favourites": "favourites", "more like this": "like this"}


class Gallery(Panel):
    """Pages of samples; their pictures appear one after the other."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.number = 0
        self.scenes: list[Scene] = []
        self._asked: tuple[object, ...] | None = None
        self.which = named(
            widgets.Dropdown(options=list(KINDS), description="Show", style=DESCRIBED), "which"
        )
        self.which.layout.width = "200px"
        last = len(self.session.model.generator.sizes) - 1
        self.stage = named(
            widgets.BoundedIntText(
                value=1, min=1, max=last, description="fresh from stage", style=DESCRIBED,
                layout={"width": "170px"},
            ),
            "like-stage",
        )  # fmt: skip
        self.page = widgets.Label()
        self.sheet = named(Sheet(layout={"width": "100%"}), "gallery")
        whenever(self.which, lambda _: self._turn_to(0))
        whenever(self.stage, lambda _: self._turn_to(0))
        self.sheet.on_choose(self._choose)
        before = button("Previous", "previous", lambda: self._turn_to(self.number - 1))
        after = button("Next", "next", lambda: self._turn_to(self.number + 1))
        self.fill(row(self.which, self.stage, before, self.page, after), self.sheet)

    @guarded
    def _turn_to(self, number: int) -> None:
        scenes = self.session.page(KINDS[self.which.value], max(0, number), self.stage.value)
        if not scenes and number > 0:
            self.say("This is the last page.")
            return
        self.number = max(0, number)
        self.sync()

    @guarded
    def _choose(self, index: int) -> None:
        self.session.pick(KINDS[self.which.value], self.scenes[index])
        self.desk.changed()

    def sync(self) -> None:
        """Show the page's scenes, and mark the one shown; nothing is drawn again that is there.

        Behind another panel nothing is drawn: it would only slow down what one looks at.
        """
        if self.desk.front is not self:
            self._asked = None
            self.desk.worker.drop("gallery")
            return
        kind = KINDS[self.which.value]
        self.stage.layout.display = None if kind == "like this" else "none"
        try:
            scenes = self.session.page(kind, self.number, self.stage.value)
            kept = self.session.favourites.scenes()
        except Exception as error:
            self.fail(error)
            return
        self.page.value = f"page {self.number + 1}"
        self.sheet.label = f"Samples: {self.which.value}, page {self.number + 1}"
        items = [self._item(scene, scene in kept) for scene in scenes]
        asked = (self.session.coordinate, tuple(scenes))
        if asked == self._asked:
            self.sheet.items = items
            return
        self._asked, self.scenes = asked, scenes
        self.sheet.clear(items)
        if not scenes:
            self.say("No scene is kept yet: ☆ Keep does that.")
        works = [functools.partial(_drawn, self.session, scene) for scene in scenes]
        self.desk.worker.each("gallery", works, self.sheet.fill, self._failed)

    def _failed(self, error: Exception) -> None:
        self._asked = None
        self.fail(error)

    def _item(self, scene: Scene, kept: bool) -> dict[str, object]:
        caption = f"noise {scene.resample_seed}" if scene.resample_from else f"seed {scene.seed}"
        own = self.session.scene
        shown = scene in (own, dataclasses.replace(own, width=None))
        return {"caption": caption, "alt": f"Sample, {caption}", "chosen": shown, "kept": kept}


def _drawn(session: Session, scene: Scene) -> bytes:
    return thumbnail(session.thumbnail(scene))
