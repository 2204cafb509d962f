"""The two switches under the scene, and the line that says which way was taken and why."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets

from ourgan.explorer.state.switches import PAPER, Photo, Switches, decide
from ourgan.explorer.widgets.base import ExplorerContext, Panel, on_change, report_errors, with_class

SCENES = {"As drawn by step 1 (the paper)": "drawn", "Redrawn from the photo": "projected"}
DETAILS = {"network (the paper)": "network", "photo": "photo"}
SCENE_TIPS = [
    "What the generator paints",
    "The same scene, painted with patches of the photo: crisp, and made of its pixels",
]
DETAIL_TIPS = [
    "Renderings and the deep zoom enlarge the scene with the networks of steps 2 to 4",
    "Renderings and the deep zoom are made of the photo's own pixels; the scene is then redrawn from it",
]


class SwitchPanel(Panel):
    """What the scene is made of, and where the detail of larger pictures is from."""

    def __init__(self, context: ExplorerContext) -> None:
        super().__init__(context)
        self._photo: Photo = None
        self._projected = Switches("projected")  # as it was last: where the first switch goes back to
        self.scene = self._switch("Scene", "scene-switch", SCENES, SCENE_TIPS)
        self.detail = self._switch("Detail", "detail-switch", DETAILS, DETAIL_TIPS)
        on_change(self.scene, self._set_scene)
        on_change(self.detail, self._set_detail)
        self.line = with_class(widgets.HTML(), "taken")
        self.fill(self.scene, self.detail, self.line)

    def _switch(self, text: str, name: str, options: dict[str, str], tips: list[str]) -> Any:
        made = widgets.ToggleButtons(
            options=list(options.items()), value=None, description=text, tooltips=tips
        )
        made.style.button_width = "auto"
        made.style.description_width = "50px"
        return with_class(made, "switch", name)

    def begin(self, scene: str, detail: str, photo: Photo) -> None:
        """Set the switches as `decide` says, for the model shown; until then scenes are as drawn."""
        self._photo = photo
        self._ask(scene, detail)

    @report_errors
    def _set_scene(self, scene: str) -> None:
        self._ask(scene, "network" if scene == "drawn" else self._projected.detail)

    @report_errors
    def _set_detail(self, detail: str) -> None:
        self._ask("projected" if detail == "photo" else self.session.switches.scene, detail)

    def _ask(self, scene: str, detail: str) -> None:
        model, photo = self.session.model, self._photo
        self.context.worker.submit(
            "switches", lambda: decide(model, scene, detail, photo), self._decided, self._refused
        )

    def _decided(self, switches: Switches) -> None:
        self.session.switches = switches
        if switches.scene == "projected":
            self._projected = switches
        self.context.sync()

    def _refused(self, error: Exception) -> None:
        self.fail(error)
        if not self.session.switches.line:
            self.session.switches = Switches(photo=self._photo, line=f"{PAPER}.")
        with self.context.quiet():
            self.sync()  # the buttons go back

    def sync(self) -> None:
        """Show the switches; none is pressed until it is known whether the photo is at hand."""
        switches = self.session.switches
        if switches.line:
            self.scene.value, self.detail.value = switches.scene, switches.detail
        self.line.value = f"<span role='status'>{html.escape(switches.line)}</span>"
