"""The explorer's widgets without a browser: what a person does, and what they show then."""

from __future__ import annotations

import dataclasses
import datetime
import gc
import html
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import psutil
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from PIL import Image
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.explorer import Explorer, Scene
from ourgan.explorer.state.background import ByteCache
from ourgan.explorer.state.scene import draw
from ourgan.explorer.state.session import Session
from ourgan.explorer.state.switches import Switches, project
from ourgan.explorer.widgets.base import Panel, report_errors, walk
from ourgan.io.pixels import from_uint8, to_uint8
from ourgan.pipeline import OurGAN

Until = Callable[[Callable[[], object]], None]


class Person:
    """Somebody at an explorer, who waits until it has answered."""

    def __init__(self, explorer: Explorer, until: Until) -> None:
        self.explorer = explorer
        self._until = until

    def find(self, name: str) -> Any:
        within = [widget for widget in walk(self.explorer) if f"ourgan-{name}" in widget._dom_classes]
        assert len(within) == 1, name
        return within[0]

    def set(self, name: str, value: object) -> None:
        self.find(name).value = value
        self.wait()

    def press(self, name: str) -> None:
        self.find(name).click()
        self.wait()

    def wait(self) -> None:
        self._until(lambda: not self.explorer.context.worker.busy() and self.explorer.export.render is None)

    def picture(self) -> Tensor:
        with Image.open(io.BytesIO(self.find("picture").data)) as shown:
            return from_uint8(np.asarray(shown))

    def shows(self, model: OurGAN, scene: Scene) -> bool:
        return bool((to_uint8(self.picture()) == to_uint8(draw(model, scene))).all())


def uploaded(data: bytes) -> tuple[dict[str, object], ...]:
    """What the browser hands over, under a name that is markup."""
    now = datetime.datetime.now(datetime.UTC)
    file = {"name": "<b>.png", "type": "image/png", "size": len(data), "last_modified": now}
    return ({**file, "content": memoryview(data)},)


@pytest.fixture
def open_explorer(tmp_path: Path, until: Until) -> Iterator[Callable[..., Person]]:
    opened: list[Explorer] = []

    def make(model: Any, other: Any = None, **options: Any) -> Person:
        opened.append(Explorer(model, other, out=tmp_path / "out", **options))
        person = Person(opened[-1], until)
        person.wait()
        return person

    yield make
    for explorer in opened:
        explorer.close()


@pytest.fixture
def person(open_explorer: Callable[..., Person], toy: OurGAN, twin: OurGAN) -> Person:
    return open_explorer(toy, twin, seed=3)


def test_the_scene_follows_what_a_person_does(person: Person, toy: OurGAN, twin: OurGAN) -> None:
    assert person.shows(toy, Scene(3))
    picture = person.find("picture")
    assert picture.alt == "Scene of seed 3, 160 x 120 pixels" and person.find("busy").value == ""
    person.set("seed", 4)
    assert person.shows(toy, Scene(4))
    person.set("width", 2.0)
    assert person.shows(toy, Scene(4, 320)) and list(picture.pixels) == [320, 120]
    person.set("strength-1", 3.0)
    assert person.shows(toy, Scene(4, 320, (1.0, 3.0, 1.0)))
    person.press("as-trained")
    assert person.shows(toy, Scene(4, 320)) and person.find("strength-1").value == 1
    person.set("coordinate", False)
    assert person.shows(twin, Scene(4, 320))
    person.set("coordinate", True)
    person.set("towards", 9)
    person.set("share", 5)
    assert person.shows(toy, Scene(4, 320, to_seed=9, fraction=1 / 3))
    for _ in range(5):
        person.press("undo")
    assert person.shows(toy, Scene(3)) and person.find("width").value == 1 and person.find("seed").value == 3
    assert person.find("share").value == 0
    person.press("undo")
    assert "nothing to undo" in person.explorer.view.message.value
    person.press("draw")
    assert person.explorer.session.scene.seed != 3


def test_a_person_switches_between_drawn_and_redrawn(
    open_explorer: Callable[..., Person],
    photographed: OurGAN,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ourgan.explorer.state.session.PAGE", 1)
    person = open_explorer(photographed, seed=3)
    scene, detail, line = (person.find(name) for name in ("scene-switch", "detail-switch", "taken"))
    assert (scene.value, detail.value) == ("projected", "photo") and "has its photo" in line.value
    redrawn, plain = project(photographed, draw(photographed, Scene(3))), draw(photographed, Scene(3))
    assert torch.equal(person.picture(), redrawn)
    assert person.find("picture").alt == "Scene of seed 3, 64 x 48 pixels, redrawn from the photo"
    assert "project(model, model.sample(3))" in person.find("code").value
    person.set("detail-switch", "network")
    assert scene.value == "projected" and torch.equal(person.picture(), redrawn)
    person.set("scene-switch", "drawn")
    assert detail.value == "network" and person.shows(photographed, Scene(3))
    assert "the paper's way" in html.unescape(line.value) and "project" not in person.find("code").value
    person.set("scene-switch", "projected")
    assert detail.value == "network"  # as it was
    person.set("scene-switch", "drawn")
    person.set("detail-switch", "photo")  # needs a scene that is redrawn
    assert scene.value == "projected" and torch.equal(person.picture(), redrawn)
    person.set("width", 0.5)
    person.press("save-png")
    with Image.open(tmp_path / "out" / "scene.png") as saved:
        expected = project(photographed, draw(photographed, Scene(3, 32)))
        assert (np.asarray(saved) == to_uint8(expected)).all()
    person.set("size", "1k")
    person.press("render")
    assert "projected-photo.tif" in person.explorer.export.message.value
    person.set("zoom-size", "1k")
    person.press("zoom-open")
    (zoom,) = person.find("zoom").children
    assert "redrawn from the photo" in zoom.note
    assert not torch.equal(plain, redrawn)


def test_the_gallery_is_redrawn_as_its_pictures_become_ready(
    open_explorer: Callable[..., Person], photographed: OurGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[int, str]] = []
    thumbnail = Session.thumbnail

    def watched(self: Session, switches: Switches, scene: Scene) -> Tensor:
        shown.append((scene.seed, switches.scene))
        return thumbnail(self, switches, dataclasses.replace(scene, edits=(), width=40))

    monkeypatch.setattr(Session, "thumbnail", watched)
    monkeypatch.setattr("ourgan.explorer.state.session.PAGE", 3)
    person = open_explorer(photographed, scene="drawn", detail="network")
    assert shown == [(seed, "drawn") for seed in range(3)]
    drawn = list(person.find("gallery").pictures)
    person.set("scene-switch", "projected")
    assert shown[3:] == [(seed, way) for way in ("drawn", "projected") for seed in range(3)]
    redrawn = person.find("gallery").pictures
    assert len(redrawn) == 3 and all(map(bytes.__ne__, drawn, redrawn))


def test_a_switch_that_cannot_be_obeyed_goes_back_and_says_why(
    person: Person, open_explorer: Callable[..., Person], toy: OurGAN, tmp_path: Path
) -> None:
    assert "is not at hand" in person.find("taken").value
    for name, value in (("scene-switch", "projected"), ("detail-switch", "photo")):
        person.set(name, value)
        assert "is not at hand" in person.explorer.switches.message.value
        assert (person.find("scene-switch").value, person.find("detail-switch").value) == ("drawn", "network")
    assert person.shows(toy, Scene(3))
    with pytest.raises(OurganError, match="scene 'painted': use one of"):
        Explorer(toy, scene="painted")
    other = open_explorer(toy, photo=tmp_path / "none.jpg")
    assert "none.jpg: cannot be read" in other.explorer.switches.message.value
    assert other.shows(toy, Scene(0))


def test_the_gallery(person: Person, toy: OurGAN) -> None:
    sheet = person.find("gallery")
    assert [item["caption"] for item in sheet.items] == [f"seed {seed}" for seed in range(12)]
    assert all(data.startswith(b"\xff\xd8") for data in sheet.pictures)
    assert [item["chosen"] for item in sheet.items].index(True) == 3
    person.press("next")
    assert sheet.items[0]["caption"] == "seed 12" and person.explorer.gallery.page.value == "page 2"
    sheet._handle_custom_msg({"chosen": 2}, [])
    person.wait()
    assert person.shows(toy, Scene(14)) and sheet.items[2]["chosen"]
    for wrong in ({"chosen": 99}, {"chosen": -1}, {"chosen": "2"}, {"chosen": True}, {}, [], "x"):
        sheet._handle_custom_msg(wrong, [])
    assert person.explorer.session.scene == Scene(14)
    person.press("favourite")
    assert sheet.items[2]["kept"] and "lies in no directory" in person.explorer.view.message.value
    person.set("which", "favourites")
    assert [item["caption"] for item in sheet.items] == ["seed 14"] and len(sheet.pictures) == 1
    person.press("next")
    assert "last page" in person.explorer.gallery.message.value
    person.set("which", "more like this")
    person.set("like-stage", 2)
    person.explorer.tabs.value = "Take away"
    drawn = len(person.explorer.session.cache)
    person.set("seed", 900)
    assert len(person.explorer.session.cache) == drawn + 1  # behind another panel, no sample is drawn
    person.explorer.tabs.value = "Gallery"
    person.wait()
    assert len({bytes(data) for data in sheet.pictures}) == 12
    sheet._handle_custom_msg({"chosen": 0}, [])
    person.wait()
    assert person.explorer.session.scene.resample_from == 2


@pytest.mark.slow
def test_an_edit_by_mouse_and_by_numbers(person: Person, toy: OurGAN, photo: Callable[..., Tensor]) -> None:
    picture = person.find("picture")
    person.explorer.tabs.value = "Edit"
    assert person.explorer.stack.selected_index == 3
    person.find("select").value = True
    assert picture.select
    picture.box = [10, 20, 30, 40]  # as the mouse does it
    assert [person.find(name).value for name in "xywh"] == [10, 20, 30, 40]
    person.set("w", 50)
    assert list(picture.box) == [10, 20, 50, 40]
    person.set("operation", "duplicate it")
    person.set("to-x", 90)
    person.set("stage", 1)
    person.press("apply")
    (edit,) = person.explorer.session.scene.edits
    assert (edit.operation, edit.box, edit.to, edit.scale) == ("duplicate", (10, 20, 50, 40), (90, 0), 1)
    assert person.shows(toy, person.explorer.session.scene)
    person.set("to-x", 900)
    person.press("apply")
    assert "outside the picture" in person.explorer.editing.message.value
    assert len(person.explorer.session.scene.edits) == 1
    person.set("operation", "paste my picture into it")
    person.press("apply")
    assert "Choose your picture" in person.explorer.editing.message.value
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(photo(width=50))).save(buffer, "png")
    upload = person.find("upload")
    upload.value = uploaded(buffer.getvalue())
    assert upload.value == () and list(picture.box) == [0, 0, 160, 120]
    person.press("apply")
    assert person.explorer.session.scene.edits[-1].operation == "paste"
    assert person.shows(toy, person.explorer.session.scene)
    upload.value = uploaded(b"<script>")
    assert "role='alert'" in person.explorer.editing.message.value
    assert "<script>" not in person.explorer.editing.message.value and upload.value == ()


def test_the_seam_lab(person: Person) -> None:
    person.press("measure")
    number, picture = person.find("seam-number"), person.find("seam-picture")
    first = number.value
    assert "8-bit levels" in first and picture.data.startswith(b"\x89PNG") and "differ" in picture.alt
    person.set("overlap", 30)
    assert number.value != first
    person.set("tile", 16)
    assert person.find("overlap").max == person.find("overlap").value == 16
    assert "8 tiles of 16, overlap 16" in number.value


def test_take_it_with_you(person: Person, toy: OurGAN, tmp_path: Path) -> None:
    person.set("name", "../../etc/passwd")
    person.set("width", 0.5)
    person.press("save-png")
    person.press("save-json")
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["etc-passwd.json", "etc-passwd.png"]
    assert Scene.from_json((out / "etc-passwd.json").read_text()) == Scene(3, 80)
    with Image.open(out / "etc-passwd.png") as saved:
        assert saved.size == (80, 120)
    assert ".sample(3, width=80)" in person.find("code").value
    person.set("size", "1k")
    person.press("render")
    assert len(list(out.glob("*-1k.tif"))) == 1 and person.find("progress").value == 480
    assert "Saved" in person.explorer.export.message.value and person.find("cancel").disabled
    person.press("render")
    assert "there already" in person.explorer.export.message.value


@pytest.mark.slow
def test_a_rendering_is_cancelled(person: Person, tmp_path: Path, until: Until) -> None:
    panel = person.explorer.export
    person.find("size").value = "16k"
    person.find("render").click()
    assert not person.find("cancel").disabled
    person.find("render").click()
    assert "cancel it first" in panel.message.value
    person.find("cancel").click()
    person.wait()
    assert "Cancelled" in panel.message.value and not list((tmp_path / "out").glob("*.tif"))
    assert not person.find("render").disabled


def test_a_way_is_played_and_saved(person: Person, tmp_path: Path) -> None:
    person.set("width", 0.5)
    person.press("animate-webp")
    assert "seed-3-to-1.webp" in person.explorer.between.message.value
    assert (tmp_path / "out" / "seed-3-to-1.webp").exists()
    assert person.find("animation-progress").layout.visibility == "hidden"


def test_the_deep_zoom_is_of_the_scene_shown(person: Person) -> None:
    person.set("zoom-size", "1k")
    person.set("width", 0.5)
    person.press("zoom-open")
    (first,) = person.find("zoom").children
    assert first.shapes[-1] == [480, 320]
    person.set("width", 1)
    person.press("zoom-open")
    (second,) = person.find("zoom").children
    assert second.shapes[-1] == [480, 640] and first.comm is None  # the first one is closed
    person.explorer.close()
    assert second.comm is None


def test_a_gallery_that_cannot_be_drawn_says_why(
    open_explorer: Callable[..., Person], saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = open_explorer(saved)
    (saved / "favourites.json").write_text("{")
    person.set("which", "favourites")
    assert "damaged" in person.explorer.gallery.message.value
    (saved / "favourites.json").unlink()

    def fail(*_: object, **__: object) -> None:
        raise OurganError("no samples today")

    with monkeypatch.context() as broken:
        broken.setattr(OurGAN, "sample", fail)
        person.set("which", "seeds")
        person.press("next")
    assert "no samples today" in person.explorer.gallery.message.value
    person.press("previous")
    person.press("next")  # and it is tried again
    assert all(person.find("gallery").pictures)


def test_errors_appear_and_are_no_markup(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Panel):
        @report_errors
        def fault(self) -> None:
            raise OurganError("no <b>such</b> file\nand more")

        @report_errors
        def bug(self) -> None:
            raise ZeroDivisionError("by nothing")

    panel = Broken(person.explorer.context)
    panel.fault()
    assert panel.message.value == "<strong role='alert'>no &lt;b&gt;such&lt;/b&gt; file</strong>"
    panel.bug()
    assert "ZeroDivisionError: by nothing" in panel.message.value

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(OurGAN, "sample", fail)  # in the worker, far from any widget
    person.set("seed", 77)
    assert "MemoryError" in person.explorer.view.message.value and person.find("busy").value == ""
    monkeypatch.undo()
    person.set("width", 2)
    assert person.explorer.view.message.value == "" or "MemoryError" in person.explorer.view.message.value
    assert list(person.find("picture").pixels) == [320, 120]


def test_two_explorers_do_not_disturb_each_other(
    open_explorer: Callable[..., Person], toy: OurGAN, person: Person
) -> None:
    other = open_explorer(toy, seed=8)
    before = person.find("picture").data
    other.set("seed", 9)
    other.set("width", 2)
    assert person.find("picture").data == before and person.explorer.session.scene == Scene(3)
    assert other.shows(toy, Scene(9, 320)) and other.find("coordinate").disabled
    other.explorer.close()
    person.set("seed", 5)
    assert person.shows(toy, Scene(5))


@pytest.mark.slow
def test_memory_does_not_grow(person: Person) -> None:
    def interact(count: int, first: int) -> None:
        for number in range(first, first + count):
            person.explorer.view.seed.value = number
            person.explorer.controls.width.value = 0.5 + number % 3 / 2
            person.explorer.between.fraction.value = number % 4
            person.wait()

    person.explorer.session.cache = ByteCache(4 * 2**20)
    interact(15, 100)
    gc.collect()
    count, held = len(_instances), psutil.Process().memory_info().rss
    interact(67, 1000)  # three changes each
    gc.collect()
    assert len(_instances) == count and person.explorer.session.cache.currsize <= 4 * 2**20
    assert psutil.Process().memory_info().rss - held < 20 * 2**20
    assert len(person.explorer.session._before) <= 50


def test_closing_leaves_nothing(open_explorer: Callable[..., Person], toy: OurGAN) -> None:
    before = len(_instances)
    person = open_explorer(toy)
    assert len(_instances) > before + 50
    person.explorer.close()
    assert len(_instances) - before <= 3  # ipywidgets' own defaults
    person._until(lambda: not [t for t in threading.enumerate() if t.name.startswith("ourgan-")])


def test_a_model_by_its_path(open_explorer: Callable[..., Person], saved: Path, tmp_path: Path) -> None:
    person = open_explorer(str(saved))
    person.press("favourite")
    assert (saved / "favourites.json").exists() and person.explorer.view.message.value.count("Kept.") == 1
    with pytest.raises(OurganError, match="no such model directory"):
        Explorer(tmp_path / "nothing")


def test_keyboard_and_screen_readers(person: Person) -> None:
    for widget in walk(person.explorer):
        if isinstance(widget, widgets.Button):
            assert widget.description and widget.tooltip
        elif isinstance(widget, widgets.ToggleButtons) and "ourgan-tabs" not in widget._dom_classes:
            assert widget.description and len(widget.tooltips) == len(widget.options)
        elif isinstance(widget, (widgets.FloatSlider, widgets.IntText, widgets.Dropdown, widgets.Text)):
            assert widget.description, widget._dom_classes
    assert torch.is_tensor(person.picture())
