"""Rough changes by hand, harmonised by the generator."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from ourgan.explorer.state.edits import Edit, cover, encode_picture, read_upload
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

OPERATIONS = {
    "move it": "move",
    "duplicate it": "duplicate",
    "mirror it": "mirror",
    "paste my picture into it": "paste",
}
HELP = (
    "Draw a rectangle on the scene with the mouse, or type it; say what to do with it and from which scale "
    "the generator goes on. A low scale makes up more, a high one keeps what you did."
)


class EditPanel(Panel):
    """The rectangle, what to do with it, and an upload.

    Args:
        context: the explorer that the panel belongs to.
        picture: shows the scene, and the rectangle in it.
    """

    def __init__(self, context: ExplorerContext, picture: Picture) -> None:
        super().__init__(context)
        self.picture = picture
        self.select = with_class(widgets.Checkbox(description="show the rectangle", indent=False), "select")
        self.select.layout.width = "auto"
        on_change(self.select, self._set_select)
        self.numbers = [control(widgets.IntText, name, name, "90px") for name in "xywh"]
        self.to = [control(widgets.IntText, f"to {name}", f"to-{name}", "90px") for name in "xy"]
        for number in self.numbers:
            on_change(number, lambda _: self._typed())
        picture.observe(lambda _: self._drawn(), "box")
        self.operation = control(widgets.Dropdown, "Then", "operation", "240px", options=list(OPERATIONS))
        on_change(self.operation, lambda _: self.sync())
        last = self.session.model.generator.last_scale
        self.scale = control(
            widgets.IntSlider, "from scale", "stage", "240px", value=min(3, last), min=1, max=last
        )
        self.upload = with_class(
            widgets.FileUpload(accept=".png,.jpg,.jpeg,.webp,.tif,.tiff", description="My picture"), "upload"
        )
        on_change(self.upload, self._uploaded)
        self._picture: Any = None
        apply = button("Apply", "apply", self._apply)
        self.fill(
            widgets.HTML(HELP),
            row(self.select, *self.numbers),
            row(self.operation, *self.to, self.upload),
            row(self.scale, apply),
        )
        size = (self.session.width, self.session.height)
        self._put([size[0] // 8, size[1] // 4, size[0] // 4, size[1] // 3])

    def _put(self, box: list[int]) -> None:
        with self.context.quiet():
            self.picture.box = box
            for number, value in zip(self.numbers, box, strict=True):
                number.value = value

    @report_errors
    def _set_select(self, on: bool) -> None:
        self.picture.select = on

    @report_errors
    def _typed(self) -> None:
        self.select.value = True
        self._put([number.value for number in self.numbers])

    @report_errors
    def _drawn(self) -> None:
        self._put([int(value) for value in self.picture.box])

    @report_errors
    def _uploaded(self, files: Any) -> None:
        if not files:
            return
        with self.context.quiet():
            self.upload.value = ()  # the bytes are not kept twice, and the same file can be chosen again
        self._picture = read_upload(bytes(files[-1]["content"]))
        with self.context.quiet():
            self.operation.value = "paste my picture into it"
            self._put([0, 0, self.session.width, self.session.height])
        self.sync()
        self.say("Your picture goes into the rectangle, now the whole scene. Choose a scale and apply.")

    @report_errors
    def _apply(self) -> None:
        x, y, w, h = self.picture.box
        operation, embedded = OPERATIONS[self.operation.value], ""
        if operation == "paste":
            if self._picture is None:
                self.say("Choose your picture first.")
                return
            # No larger than the scene: what is embedded should stay small.
            w, h = min(w, self.session.width), min(h, self.session.height)
            embedded = encode_picture(cover(self._picture, (max(1, h), max(1, w))))
        to = (self.to[0].value, self.to[1].value) if operation in ("move", "duplicate") else (0, 0)
        self.session.edit(Edit(operation, (x, y, w, h), to, self.scale.value, embedded))
        self.say(f"Applied; the generator goes on from scale {self.scale.value}. Undo takes it back.")
        self.context.sync()

    def sync(self) -> None:
        """Show the fields that the operation needs."""
        operation = OPERATIONS[self.operation.value]
        for number in self.to:
            number.layout.display = None if operation in ("move", "duplicate") else "none"
        self.upload.layout.display = None if operation == "paste" else "none"
