"""What leaves the explorer: names, animations, and renderings that are cancelled and go on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ourgan._core.errors import OurganError
from ourgan.explorer.state.edits import Edit
from ourgan.explorer.state.export import (
    FRAMES,
    Cancelled,
    Render,
    frames,
    free_path,
    safe_name,
    save_animation,
    short_digest,
)
from ourgan.explorer.state.scene import Scene, draw
from ourgan.explorer.state.session import Session
from ourgan.explorer.state.switches import Switches
from ourgan.pipeline import OurGAN


class Watcher:
    """Keeps what a rendering reports; `at`: rows from which it is cancelled."""

    def __init__(self, session: Session, size: str, name: str = "scene", at: int | None = None) -> None:
        self.rows: list[tuple[int, int]] = []
        self.end: tuple[Path | None, Exception | None] | None = None
        self._at = at
        self.render = Render(session, size, name, lambda call: call(), self._progress, self._ended)
        self.render.start()
        self.render.wait()

    def _progress(self, rows: int, of: int) -> None:
        self.rows.append((rows, of))
        if self._at is not None and rows >= self._at:
            self.render.cancel()

    def _ended(self, path: Path | None, error: Exception | None) -> None:
        self.end = path, error


def test_a_rendering_is_that_of_its_picture(toy: OurGAN, tmp_path: Path) -> None:
    session = Session(toy, out=tmp_path / "made" / "here")
    session.change(seed=2, width=40, edits=(Edit("mirror", (0, 0, 20, 90), scale=1),))
    found = Watcher(session, "1k", "../my scene!")
    assert found.end is not None and found.end[1] is None and not found.render.running()
    path = found.end[0]
    assert path == tmp_path / "made" / "here" / f"my-scene-{short_digest(session.picture())}-1k.tif"
    expected = toy.synthesize(2, "1k", width=40, image=draw(toy, session.scene), progress=False)
    assert (tifffile.imread(path, key=0) == expected).all()
    assert found.rows[-1] == (480, 480)
    assert json.loads(path.with_suffix(".json").read_text())["seed"] == 2
    again = Watcher(session, "1k", "../my scene!").end
    assert again is not None and again[0] is None and "there already" in str(again[1])


def test_what_was_cancelled_goes_on_to_the_same_pixels(
    toy: OurGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ourgan.explorer.state.export.PAUSE", 0.0)
    session = Session(toy, out=tmp_path)
    session.change(seed=3, width=16)
    stopped = Watcher(session, "4k", at=300)
    assert stopped.end is not None and isinstance(stopped.end[1], Cancelled)
    assert stopped.rows[-1][0] < stopped.rows[-1][1] == 1920
    assert not list(tmp_path.glob("*.tif")) and list(tmp_path.glob(".*.unfinished"))
    found = Watcher(session, "4k")
    assert found.end is not None and found.end[0] is not None
    record = json.loads(found.end[0].with_suffix(".json").read_text())
    assert record["rows_from_an_earlier_run"] > 0
    expected = toy.synthesize(3, "4k", width=16, progress=False)
    assert (tifffile.imread(found.end[0], key=0) == expected).all()


def test_a_rendering_is_made_as_the_switches_say(photographed: OurGAN, tmp_path: Path) -> None:
    session = Session(photographed, out=tmp_path)
    session.change(seed=2, width=40, edits=(Edit("mirror", (0, 0, 20, 90), scale=1),))
    image, made = draw(photographed, session.scene), {}
    for scene, detail in (("drawn", "network"), ("projected", "network"), ("projected", "photo")):
        session.switches = Switches(scene, detail)
        end = Watcher(session, "1k").end
        assert end is not None and end[0] is not None, end
        made[end[0].name] = tifffile.imread(end[0], key=0)
        expected = photographed.synthesize(
            2, "1k", width=40, image=image, scene=scene, detail=detail, progress=False
        )
        assert (made[end[0].name] == expected).all()
        record = json.loads(end[0].with_suffix(".json").read_text())
        assert (record["scene"], record["detail"]) == (scene, detail)
    assert len(made) == 3  # beside one another
    session.switches = Switches("projected", "photo", tmp_path / "none.jpg")
    end = Watcher(session, "1k", "other").end
    assert end is not None and "none.jpg" in str(end[1])
    assert not list(tmp_path.glob("other*")) and not list(tmp_path.glob(".other*"))


def test_a_rendering_that_fails_says_why(toy: OurGAN, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OurganError, match="cannot be made"):
        Watcher(Session(toy, out=tmp_path / "file"), "1k")
    session = Session(toy, out=tmp_path)
    session.change(edits=(Edit("mirror", (0, 0, 9, 9), scale=7),))
    end = Watcher(session, "1k").end
    assert end is not None and end[0] is None and "scales 1 to 2" in str(end[1])


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_way_between_seeds_as_a_moving_picture(toy: OurGAN, tmp_path: Path, kind: str) -> None:
    scenes = frames(Scene(1, 32), 5)
    assert scenes[0] == Scene(1, 32) and scenes[-1] == Scene(1, 32, to_seed=5, fraction=1.0)
    pictures = [draw(toy, scene) for scene in scenes]
    path = save_animation(pictures, tmp_path, "1/5", kind)
    assert path == tmp_path / f"1-5.{kind}"
    with Image.open(path) as animation:
        # There and back.
        assert animation.n_frames == 2 * FRAMES - 2 and animation.size == (32, 120)
        assert animation.info["loop"] == 0
    with pytest.raises(OurganError, match="use one of gif, webp"):
        save_animation(pictures, tmp_path, "a", "mp4")
    with pytest.raises(OurganError, match="cannot be written"):
        save_animation(pictures, path, "a", kind)


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_a_name_stays_in_its_directory(text: str) -> None:
    directory = Path("/somewhere/out")
    path = free_path(directory, text, ".png")
    assert path.parent == directory and os.path.normpath(path) == str(path)
    assert 1 <= len(safe_name(text)) <= 60 and not path.name.startswith((".", "-"))


def test_nothing_is_written_over(tmp_path: Path) -> None:
    for expected in ("a-b.png", "a-b-2.png", "a-b-3.png"):
        path = free_path(tmp_path, "../a/b", ".png")
        assert path == tmp_path / expected
        path.touch()
