"""What all panels share: the explorer's context, a line for messages, and small widgets."""

from __future__ import annotations

import contextlib
import functools
import html
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import anywidget
import ipywidgets as widgets
import traitlets

from ourgan._core.errors import OurganError
from ourgan.explorer.state.background import Dispatch, Worker
from ourgan.explorer.state.session import Session

log = logging.getLogger(__name__)

Method = TypeVar("Method", bound=Callable[..., None])

FRONT = Path(__file__).parent / "front"


class ExplorerContext:
    """One explorer's session, worker and panels.

    Args:
        session: what the explorer knows.
        dispatch: runs the worker's answers; see `ourgan.explorer.state.background.dispatch_to_loop`.

    Attributes:
        front: the panel that is open beside the scene.
        syncing: whether widgets are being set from the state, so that no person has changed them.
    """

    def __init__(self, session: Session, dispatch: Dispatch) -> None:
        self.session, self.dispatch = session, dispatch
        self.worker = Worker(dispatch)
        self.panels: list[Panel] = []
        self.front: Panel | None = None
        self.syncing = False

    def sync(self) -> None:
        """Let all panels show the scene as it is now."""
        with self.quiet():
            for panel in self.panels:
                panel.sync()

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Set widgets in the block without an answer of their panels."""
        before, self.syncing = self.syncing, True
        try:
            yield
        finally:
            self.syncing = before


class Panel:
    """A box of widgets with a line for messages.

    Args:
        context: the explorer that the panel belongs to.

    Attributes:
        box: what is shown; subclasses put their widgets above the line with `fill`.
    """

    def __init__(self, context: ExplorerContext) -> None:
        self.context, self.session = context, context.session
        self.message = with_class(widgets.HTML(), "message")
        self.box = widgets.VBox(layout={"width": "100%"})
        context.panels.append(self)

    def fill(self, *children: widgets.Widget) -> None:
        """Set the widgets of the panel."""
        self.box.children = (*children, self.message)

    def say(self, text: str) -> None:
        """Show a line, read out by screen readers; "" clears it."""
        self.message.value = f"<span role='status'>{html.escape(text)}</span>" if text else ""

    def fail(self, error: Exception) -> None:
        """Show an error in one line; one that is a bug goes to the log with its traceback."""
        text = str(error)
        if not isinstance(error, OurganError):
            log.error("error in the explorer", exc_info=error)
            text = f"{type(error).__name__}: {text}"
        first = text.splitlines()[0] if text else type(error).__name__
        self.message.value = f"<strong role='alert'>{html.escape(first)}</strong>"

    def sync(self) -> None:
        """Show the state as it is now; called after every change, by whichever panel."""

    def close(self) -> None:
        """Stop the panel's work."""


def report_errors(method: Method) -> Method:
    """Wrap a panel's answer to its widgets: errors appear in the panel; quiet widgets are not answered."""

    @functools.wraps(method)
    def answer(self: Panel, *args: Any) -> None:
        if self.context.syncing:
            return
        self.say("")
        try:
            method(self, *args)
        except Exception as error:
            self.fail(error)

    return cast(Method, answer)


def with_class(widget: Any, *names: str) -> Any:
    """Give a widget the classes `ourgan-NAME`, by which tests and style sheets find it; return it."""
    for name in names:
        widget.add_class(f"ourgan-{name}")
    return widget


def row(*children: widgets.Widget) -> widgets.Box:
    """Put widgets side by side, going on in the next line where the window is narrow."""
    box: widgets.Box = with_class(widgets.Box(children), "row")
    return box


def walk(widget: widgets.Widget) -> list[widgets.Widget]:
    """Return the widget and all that are in it, however deep."""
    return [widget, *(inner for child in getattr(widget, "children", ()) for inner in walk(child))]


def control(kind: Any, text: str, name: str, width: str, **options: Any) -> Any:
    """Make a widget with a description beside it.

    Args:
        kind: its class, of ipywidgets.
        text: the description.
        name: its class in the page, after "ourgan-".
        width: in CSS.
        options: of `kind`.
    """
    options = {"style": {"description_width": "initial"}} | options
    return with_class(kind(description=text, layout={"width": width}, **options), name)


def button(text: str, name: str, press: Callable[[], None], tooltip: str = "") -> widgets.Button:
    """Make a button as wide as its text.

    Args:
        text: on it.
        name: its class, after "ourgan-".
        press: called when it is pressed.
        tooltip: the text again when "".
    """
    made = widgets.Button(description=text, tooltip=tooltip or text, layout={"width": "auto"})
    made.on_click(lambda _: press())
    return with_class(made, name)


def on_change(widget: widgets.Widget, answer: Callable[[Any], None]) -> None:
    """Call `answer(value)` when the widget's value changes."""
    widget.observe(lambda change: answer(change["new"]), "value")


class Picture(anywidget.AnyWidget):
    """A picture, and a rectangle in it that the mouse or the arrow keys move.

    Attributes:
        data: an encoded picture; empty bytes show nothing.
        format: of the data, "png" or "jpeg".
        alt: one sentence for those who cannot see it.
        pixels: its (width, height).
        zoom: screen pixels for each of its pixels, where there is room.
        select: whether the rectangle is shown.
        box: the rectangle, (x, y, w, h) in pixels of the picture.
    """

    _esm = FRONT / "picture.js"
    _css = FRONT / "explorer.css"
    data = traitlets.Bytes(b"").tag(sync=True)
    format = traitlets.Unicode("png").tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)
    pixels: traitlets.List[int] = traitlets.List([4, 3]).tag(sync=True)
    zoom = traitlets.Float(2.0).tag(sync=True)
    select = traitlets.Bool(False).tag(sync=True)
    box: traitlets.List[int] = traitlets.List([0, 0, 1, 1]).tag(sync=True)

    def show(self, png: bytes, size: tuple[int, int], alt: str, *, zoom: float) -> None:
        """Show a PNG.

        Args:
            png: its bytes.
            size: its (width, height) in pixels.
            alt: one sentence for those who cannot see it.
            zoom: screen pixels for each of its pixels.
        """
        with self.hold_sync():
            self.pixels, self.zoom, self.alt, self.data = list(size), zoom, alt, png


class Sheet(anywidget.AnyWidget):
    """Buttons with a picture each; keyboard and screen readers find them as buttons.

    Attributes:
        label: of all of them, for screen readers.
        items: for each its caption, its alt text, whether it is chosen and whether it is kept.
        pictures: for each its JPEG, or empty bytes until it is drawn.
    """

    _esm = FRONT / "sheet.js"
    _css = FRONT / "explorer.css"
    label = traitlets.Unicode("Samples").tag(sync=True)
    items: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    pictures: traitlets.List[bytes] = traitlets.List().tag(sync=True)

    def on_choose(self, choose: Callable[[int], None]) -> None:
        """Call `choose(index)` when a button is pressed."""

        def receive(_widget: Any, content: Any, _buffers: Any) -> None:
            index = content.get("chosen") if isinstance(content, dict) else None
            if type(index) is int and 0 <= index < len(self.items):
                choose(index)

        self.on_msg(receive)

    def fill(self, index: int, picture: bytes) -> None:
        """Show the picture of one button."""
        self.pictures = [*self.pictures[:index], picture, *self.pictures[index + 1 :]]

    def clear(self, items: Sequence[dict[str, Any]]) -> None:
        """Show other buttons, without pictures yet."""
        with self.hold_sync():
            self.items, self.pictures = list(items), [b""] * len(items)
