"""The explorer as one widget: the scene on the left, the panels on the right, below it where it is narrow."""

from __future__ import annotations

import os
from pathlib import Path

import ipywidgets as widgets

from ourgan.explorer.state.scene import Scene
from ourgan.explorer.state.session import Session
from ourgan.explorer.state.worker import into_this_loop
from ourgan.explorer.widgets.base import Desk, Panel, all_within, named, whenever
from ourgan.explorer.widgets.controls import Between, Controls
from ourgan.explorer.widgets.edit import Editing
from ourgan.explorer.widgets.export import TakeAway
from ourgan.explorer.widgets.gallery import Gallery
from ourgan.explorer.widgets.seams import SeamPanel
from ourgan.explorer.widgets.view import View
from ourgan.explorer.widgets.zoom import ZoomPanel
from ourgan.pipeline import OurGAN

Source = OurGAN | str | os.PathLike[str]


class Explorer(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Look at a model's scenes, change them, and take them away.

    Args:
        model: a model, its directory, or a Hub repository.
        other: its twin without the vertical coordinate (or with it), to switch between the two.
        seed: of the scene shown first.
        out: directory for all that is saved; runs/explorer here when None.

    `session` is its state. Raises OurganError in one line for models that cannot be loaded or do not belong
    together. Close it when it is done with (`close`): a rendering that still runs is cancelled.
    """

    def __init__(
        self,
        model: Source,
        other: Source | None = None,
        *,
        seed: int = 0,
        out: str | os.PathLike[str] | None = None,
    ) -> None:
        self.session = Session(
            _loaded(model), None if other is None else _loaded(other), None if out is None else Path(out)
        )
        self.session.scene = Scene(seed=seed)
        self.desk = Desk(self.session, into_this_loop())
        self.view = View(self.desk)
        self.gallery = Gallery(self.desk)
        self.controls = Controls(self.desk)
        self.between = Between(self.desk)
        self.editing = Editing(self.desk, self.view.picture)
        self.seams = SeamPanel(self.desk)
        self.zoom = ZoomPanel(self.desk)
        self.take_away = TakeAway(self.desk)
        named_panels: dict[str, Panel] = {
            "Gallery": self.gallery,
            "Noise and width": self.controls,
            "Two seeds": self.between,
            "Edit": self.editing,
            "Seam lab": self.seams,
            "Deep zoom": self.zoom,
            "Take away": self.take_away,
        }
        # Buttons and not a widgets.Tab: they go on in the next line where it is narrow.
        self.tabs = named(widgets.ToggleButtons(options=list(named_panels)), "tabs")
        self.tabs.style.button_width = "auto"
        self.stack = widgets.Stack([panel.box for panel in named_panels.values()], selected_index=0)
        self._panels = list(named_panels.values())
        whenever(self.tabs, lambda _: self._open(self.tabs.index))
        self.stack.layout.width = "100%"
        left = named(widgets.VBox([self.view.box]), "left")
        right = named(widgets.VBox([self.tabs, self.stack]), "right")
        super().__init__([named(widgets.Box([left, right]), "columns")])
        named(self, "explorer")
        self._open(0)

    def _open(self, index: int) -> None:
        self.stack.selected_index = index
        self.desk.front = self._panels[index]
        self.desk.changed()

    def close(self) -> None:
        """End all work, and take the widgets away, the deep zoom's too."""
        if not hasattr(self, "desk"):  # the model could not be loaded; this is called nevertheless
            return
        self.desk.worker.close()
        for panel in self.desk.panels:
            panel.close()
        held, *within = all_within(self)
        for widget in within:
            widget.close()
        for widget in (held, *within):
            for part in ("layout", "style"):  # widgets of their own, which would stay in the kernel
                if part in widget.trait_names():
                    getattr(widget, part).close()
        super().close()


def _loaded(source: Source) -> OurGAN:
    return source if isinstance(source, OurGAN) else OurGAN.from_pretrained(source)
