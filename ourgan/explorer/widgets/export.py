"""The panel that saves a scene: as code, as JSON, as PNG, or rendered at its full size."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as widgets

from ourgan._core import files
from ourgan.config import SIZES
from ourgan.explorer.state.export import Cancelled, Render, free_path, safe_name
from ourgan.explorer.widgets.base import (
    ExplorerContext,
    Panel,
    button,
    control,
    on_change,
    report_errors,
    row,
    with_class,
)
from ourgan.io.pixels import write_image


class ExportPanel(Panel):
    """Everything is saved in the session's directory, under a name that is made safe first."""

    def __init__(self, context: ExplorerContext) -> None:
        super().__init__(context)
        self.render: Render | None = None
        self.name = control(widgets.Text, "Name", "name", "220px", value="scene")
        on_change(self.name, lambda _: self.sync())
        self.code = control(widgets.Textarea, "As code", "code", "100%", rows=4)
        png = button("Save PNG", "save-png", self._save_png)
        scene = button("Save JSON", "save-json", self._save_json)
        self.size = control(widgets.Dropdown, "Size", "size", "120px", options=list(SIZES), value="4k")
        self.start = button("Render", "render", self._render)
        self.stop = button("Cancel", "cancel", self._cancel)
        self.stop.disabled = True
        self.progress = with_class(widgets.IntProgress(max=1, layout={"width": "200px"}), "progress")
        self.fill(row(self.name, png, scene), self.code, row(self.size, self.start, self.stop, self.progress))

    @report_errors
    def _save_png(self) -> None:
        scene, session = self.session.scene, self.session
        path = free_path(self.session.directory(), self.name.value, ".png")

        def work() -> Path:
            write_image(path, session.picture(scene))
            return path

        self.context.worker.submit("png", work, lambda saved: self.say(f"Saved {saved}"), self.fail)

    @report_errors
    def _save_json(self) -> None:
        path = free_path(self.session.directory(), self.name.value, ".json")
        with files.refuse_unwritable(path):
            files.write_bytes(path, f"{self.session.scene.to_json()}\n".encode())
        self.say(f"Saved {path}")

    @report_errors
    def _render(self) -> None:
        if self.render is not None:
            self.say("A picture is being rendered; cancel it first.")
            return
        self.stop.disabled, self.start.disabled = False, True
        self.progress.value, self.progress.max = 0, 1
        self.say("Rendering; the first rows take a moment.")
        self.render = Render(
            self.session, self.size.value, self.name.value, self.context.dispatch, self._progress, self._ended
        )
        self.render.start()

    @report_errors
    def _cancel(self) -> None:
        if self.render is not None:
            self.render.cancel()
            self.say("Stopping after the rows that are being computed …")

    def _progress(self, rows: int, of: int) -> None:
        self.progress.max, self.progress.value = of, rows
        self.progress.description = f"{rows / of:.0%}"

    def _ended(self, path: Path | None, error: Exception | None) -> None:
        self.render = None
        self.stop.disabled, self.start.disabled = True, False
        if isinstance(error, Cancelled):
            self.say(str(error).capitalize())
        elif error is not None:
            self.fail(error)
        else:
            self.say(f"Saved {path}")

    def sync(self) -> None:
        """Show the scene as one line of code."""
        directory = self.session.model.directory
        file = self.session.out / f"{safe_name(self.name.value)}.json"
        switches = self.session.switches
        photo = None if switches.photo is None else str(switches.photo)
        self.code.value = self.session.scene.to_code(
            str(directory or "MODEL"), str(file), projected=switches.scene == "projected", photo=photo
        )

    def close(self) -> None:
        """Stop the rendering; what is done of it stays on the disk."""
        if self.render is not None:
            self.render.cancel()
