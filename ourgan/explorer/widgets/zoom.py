"""Where the deep zoom appears when somebody asks for it."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from ourgan.config import SIZES
from ourgan.explorer.widgets.base import DESCRIBED, Desk, Panel, button, guarded, named, row

HELP = (
    "From the whole scene down to single pixels of a picture that is never made as a whole: only what you "
    "look at is computed. Coarse first, then sharp; the first sharp window takes about a minute on two cores."
)


class ZoomPanel(Panel):
    """A button, and the view of the scene that was shown when it was pressed."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.view: Any = None
        self.size = named(
            widgets.Dropdown(options=list(SIZES), value="16k", description="Size", style=DESCRIBED),
            "zoom-size",
        )
        self.size.layout.width = "120px"
        self.place = named(widgets.VBox(), "zoom")
        look = button("Look into this scene", "zoom-open", self._open)
        self.fill(widgets.HTML(HELP), row(self.size, look), self.place)

    @guarded
    def _open(self) -> None:
        scene, session, size = self.session.scene, self.session, self.size.value
        model = session.model
        self.say("Drawing the scene …")

        def opened(image: Any) -> None:
            from ourgan.explorer.deep_zoom.viewer import (
                DeepZoom,  # a viewer of half a megabyte, when it is wanted
            )

            self.close()
            self.view = DeepZoom(model, seed=scene.seed, size=size, width=scene.width, image=image)
            self.place.children = (self.view,)
            self.say("")

        self.desk.worker.ask("zoom", lambda: session.drawn(model, scene), opened, self.fail)

    def close(self) -> None:
        """End the view and its work."""
        if self.view is not None:
            self.place.children = ()
            self.view.close()
            self.view = None
