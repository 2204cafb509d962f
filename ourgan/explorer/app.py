"""The explorer as one widget: the scene on the left, the panels on the right, below it where it is narrow."""

from __future__ import annotations

import os
from pathlib import Path

import ipywidgets as widgets

from ourgan.explorer.state.background import dispatch_to_loop
from ourgan.explorer.state.scene import Scene
from ourgan.explorer.state.session import Session
from ourgan.explorer.state.switches import Photo
from ourgan.explorer.widgets.base import ExplorerContext, Panel, on_change, walk, with_class
from ourgan.explorer.widgets.controls import Between, Controls
from ourgan.explorer.widgets.edit import EditPanel
from ourgan.explorer.widgets.export import ExportPanel
from ourgan.explorer.widgets.switches import SwitchPanel
from ourgan.explorer.widgets.upscaling import SeamPanel, ZoomPanel
from ourgan.explorer.widgets.view import Gallery, View
from ourgan.pipeline import OurGAN
from ourgan.upscale.detail import Wish

Source = OurGAN | str | os.PathLike[str]


class Explorer(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Look at a model's scenes, change them, and save them.

    Close it at the end (`close`): a rendering that still runs is cancelled.

    Args:
        model: a model, its directory, or a Hub repository.
        other: its twin without the vertical coordinate (or with it), to switch between the two.
        seed: of the scene shown first.
        out: directory for all that is saved; runs/explorer here when None.
        scene: shown "drawn" by step 1 or "projected": redrawn from the photo; "auto": as `ourgan synthesize`
            does it, projected where the model has its photo. A switch below the scene changes it.
        detail: of renderings and the deep zoom, by the "network" or of the "photo"; "auto" as above.
        photo: file of the model's photo; None: in the model's directory, or in data/photos.

    Attributes:
        session: what the explorer knows, without its widgets.

    Raises:
        OurganError: in one line for models that cannot be loaded or do not belong together.
    """

    def __init__(
        self,
        model: Source,
        other: Source | None = None,
        *,
        seed: int = 0,
        out: str | os.PathLike[str] | None = None,
        scene: str = "auto",
        detail: str = "auto",
        photo: Photo = None,
    ) -> None:
        Wish(scene, detail)  # a misspelt one is refused before anything is loaded
        self.session = Session(
            _load(model), None if other is None else _load(other), None if out is None else Path(out)
        )
        self.session.scene = Scene(seed=seed)
        self.context = ExplorerContext(self.session, dispatch_to_loop())
        self.view = View(self.context)
        self.switches = SwitchPanel(self.context)
        self.gallery = Gallery(self.context)
        self.controls = Controls(self.context)
        self.between = Between(self.context)
        self.editing = EditPanel(self.context, self.view.picture)
        self.seams = SeamPanel(self.context)
        self.zoom = ZoomPanel(self.context)
        self.export = ExportPanel(self.context)
        super().__init__([self._columns()])
        with_class(self, "explorer")
        self._open(0)
        self.switches.begin(scene, detail, photo)

    def _columns(self) -> widgets.Box:
        """Lay out the scene beside the tabs."""
        panels: dict[str, Panel] = {
            "Gallery": self.gallery,
            "Noise and width": self.controls,
            "Two seeds": self.between,
            "Edit": self.editing,
            "Seam lab": self.seams,
            "Deep zoom": self.zoom,
            "Take away": self.export,
        }
        self._panels = list(panels.values())
        # Buttons and not a widgets.Tab: they go on in the next line where it is narrow.
        self.tabs = with_class(widgets.ToggleButtons(options=list(panels)), "tabs")
        self.tabs.style.button_width = "auto"
        on_change(self.tabs, lambda _: self._open(self.tabs.index))
        self.stack = widgets.Stack([panel.box for panel in self._panels], selected_index=0)
        self.stack.layout.width = "100%"
        left = with_class(widgets.VBox([self.view.box, self.switches.box]), "left")
        right = with_class(widgets.VBox([self.tabs, self.stack]), "right")
        return with_class(widgets.Box([left, right]), "columns")

    def _open(self, index: int) -> None:
        self.stack.selected_index = index
        self.context.front = self._panels[index]
        self.context.sync()

    def close(self) -> None:
        """End all work, and remove the widgets, the deep zoom's too."""
        if not hasattr(self, "context"):  # the model could not be loaded; this is called nevertheless
            return
        self.context.worker.close()
        for panel in self.context.panels:
            panel.close()
        whole, *within = walk(self)
        for widget in within:
            widget.close()
        for widget in (whole, *within):
            for part in ("layout", "style"):  # widgets of their own, which would stay in the kernel
                if part in widget.trait_names():
                    getattr(widget, part).close()
        super().close()


def _load(source: Source) -> OurGAN:
    return source if isinstance(source, OurGAN) else OurGAN.from_pretrained(source)
