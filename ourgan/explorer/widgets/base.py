"""What all panels share: the desk they stand on, a line for messages, and errors that never vanish."""

from __future__ import annotations

import contextlib
import functools
import html
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import ipywidgets as widgets

from ourgan._core.errors import OurganError
from ourgan.explorer.state.session import Session
from ourgan.explorer.state.worker import Deliver, Worker

log = logging.getLogger(__name__)

Method = TypeVar("Method", bound=Callable[..., None])

DESCRIBED = {"description_width": "initial"}


class Desk:
    """One explorer's session and worker, and its panels.

    `front`: the panel that is open beside the scene. `syncing`: whether widgets are being set from the
    state, so that what they report is no person's doing.
    """

    def __init__(self, session: Session, deliver: Deliver) -> None:
        self.session, self.deliver = session, deliver
        self.worker = Worker(deliver)
        self.panels: list[Panel] = []
        self.front: Panel | None = None
        self.syncing = False

    def changed(self) -> None:
        """Let all panels show the scene as it is now."""
        with self.quiet():
            for panel in self.panels:
                panel.sync()

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Widgets that change meanwhile are not answered."""
        before, self.syncing = self.syncing, True
        try:
            yield
        finally:
            self.syncing = before


class Panel:
    """A box of widgets with a line for messages.

    `box`: what is shown; subclasses put their widgets above the line with `fill`.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk, self.session = desk, desk.session
        self.message = named(widgets.HTML(), "message")
        self.box = widgets.VBox(layout={"width": "100%"})
        desk.panels.append(self)

    def fill(self, *children: widgets.Widget) -> None:
        """Set the widgets of the panel."""
        self.box.children = (*children, self.message)

    def say(self, text: str) -> None:
        """Show a line, read out by screen readers; "" clears it."""
        self.message.value = f"<span role='status'>{html.escape(text)}</span>" if text else ""

    def fail(self, error: Exception) -> None:
        """Show an error in one line; what is no person's to mend goes to the log whole."""
        text = str(error)
        if not isinstance(error, OurganError):
            log.error("error in the explorer", exc_info=error)
            text = f"{type(error).__name__}: {text}"
        first = text.splitlines()[0] if text else type(error).__name__
        self.message.value = f"<strong role='alert'>{html.escape(first)}</strong>"

    def sync(self) -> None:
        """Show the state as it is now; called after every change, whoever made it."""

    def close(self) -> None:
        """Stop what the panel began."""


def guarded(method: Method) -> Method:
    """For a panel's answers to its widgets: errors appear in the panel, and none while `Desk.quiet` holds."""

    @functools.wraps(method)
    def answer(self: Panel, *args: Any) -> None:
        if self.desk.syncing:
            return
        self.say("")
        try:
            method(self, *args)
        except Exception as error:
            self.fail(error)

    return cast(Method, answer)


def named(widget: Any, *names: str) -> Any:
    """The widget with the classes `ourgan-NAME`, by which tests and style sheets find it."""
    for name in names:
        widget.add_class(f"ourgan-{name}")
    return widget


def row(*children: widgets.Widget) -> widgets.Box:
    """Widgets side by side, going on in the next line where the window is narrow."""
    box: widgets.Box = named(widgets.Box(children), "row")
    return box


def all_within(widget: widgets.Widget) -> list[widgets.Widget]:
    """The widget and all that are in it, however deep."""
    return [widget, *(inner for child in getattr(widget, "children", ()) for inner in all_within(child))]


def button(text: str, name: str, press: Callable[[], None], tooltip: str = "") -> widgets.Button:
    """A button as wide as its text."""
    made = widgets.Button(description=text, tooltip=tooltip or text, layout={"width": "auto"})
    made.on_click(lambda _: press())
    return named(made, name)


def whenever(widget: widgets.Widget, answer: Callable[[Any], None]) -> None:
    """Call `answer(value)` when the widget's value changes."""
    widget.observe(lambda change: answer(change["new"]), "value")
