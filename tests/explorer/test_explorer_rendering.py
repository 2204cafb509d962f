"""What an explorer makes and saves: pictures at full size, moving pictures, and the seam lab's strips."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.explorer.state.edits import Edit
from ourgan.explorer.state.export import FRAMES, Cancelled, Render, frames, save_animation, short_digest
from ourgan.explorer.state.scene import Scene, draw
from ourgan.explorer.state.seam_lab import HEIGHT, WIDTH, SeamError, SeamLab
from ourgan.explorer.state.session import Session
from ourgan.io.pixels import to_uint8
from ourgan.pipeline import OurGAN
from ourgan.reproduce.figures.explorer import edit_sheet, paint_landscape


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


# -- the seam lab ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(toy: OurGAN) -> SeamLab:
    return SeamLab(lambda: toy.network(2)[0])


def test_enough_overlap_leaves_no_difference(lab: SeamLab, photo: Callable[..., Tensor]) -> None:
    image = photo(width=160)
    strip = lab.strip(image, 20, 60)
    assert torch.equal(strip, image[:, 60 : 60 + HEIGHT, 20 : 20 + WIDTH])
    without, with_some = lab.measure(strip, 32, 0), lab.measure(strip, 32, 32)
    assert without.tiled.shape == without.banded.shape == (3, 4 * HEIGHT, 4 * WIDTH)
    assert without.plan.columns == 4 and without.plan.rows == 1
    assert without.difference.mean_in_band > 0.1 > 0.01 > with_some.difference.largest
    assert with_some.banded is without.banded  # computed once for all choices


def test_a_strip_lies_within_the_scene(lab: SeamLab, photo: Callable[..., Tensor]) -> None:
    image = photo(width=160)
    assert torch.equal(lab.strip(image, 999, 999), image[:, -HEIGHT:, -WIDTH:])
    assert torch.equal(lab.strip(image, -5, -5), image[:, :HEIGHT, :WIDTH])
    small = photo(width=20)
    assert lab.strip(small, 5, 5).shape == (3, small.shape[1], 20)


@pytest.mark.parametrize(
    ("tile", "overlap", "words"),
    [(48, 0, "use one of 16, 32, 64"), (16, 17, "0 to 16"), (64, 49, "0 to 48"), (64, -1, "0 to 48")],
)
def test_a_choice_that_takes_too_long_is_refused(lab: SeamLab, tile: int, overlap: int, words: str) -> None:
    with pytest.raises(SeamError, match=words):
        lab.measure(torch.rand(3, HEIGHT, WIDTH), tile, overlap)


def test_the_network_runs_in_float32_whatever_the_model_does(toy: OurGAN) -> None:
    half = SeamLab(lambda: toy.network(2)[0].bfloat16())
    strip = torch.rand(3, HEIGHT, 40)
    try:
        assert half.measure(strip, 64, 0).difference.largest < 0.01  # one tile: nothing but rounding
    finally:
        toy.network(2)[0].float()


def test_pictures_of_the_panels(lab: SeamLab, photo: Callable[..., Tensor]) -> None:
    image = photo(width=160)
    seams = lab.measure(lab.strip(image, 20, 60), 64, 10)
    sheet = seams.sheet()
    assert sheet.width > 4 * WIDTH and sheet.height > 3 * 4 * HEIGHT
    edit = Edit("mirror", (10, 20, 50, 40))
    shown = edit_sheet(image, edit, image)
    assert shown.getpixel((6 + 10, 6 + 20)) == (255, 255, 255)  # the rectangle's corner
    left = 6 + 160 + 6
    inner = to_uint8(edit.apply(image))[30, 20]
    assert shown.getpixel((left + 20, 6 + 30)) == tuple(inner)
    rough = paint_landscape(60, 80)
    assert rough.shape == (3, 60, 80) and rough[2, 2, 40] > rough[2, 55, 40]  # blue above, green below
