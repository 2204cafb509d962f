"""What an explorer knows, without a widget: the scene, its history, the gallery, favourites."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.explorer.state.edits import Edit, EditError
from ourgan.explorer.state.scene import Scene, SceneError, draw
from ourgan.explorer.state.session import FAVOURITES_FILE, MAX_FAVOURITES, MAX_UNDO, PAGE, Favourites, Session
from ourgan.pipeline import OurGAN


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Each real drawing: its seed and where it started."""
    calls: list[tuple[object, ...]] = []
    sample = OurGAN.sample

    def counted(self: OurGAN, seed: int = 0, **options: object) -> Tensor:
        calls.append((seed, options.get("inject_at") and options["inject_at"][0]))
        return sample(self, seed, **options)

    monkeypatch.setattr(OurGAN, "sample", counted)
    return calls


def test_what_was_drawn_is_kept(toy: OurGAN, drawn: list[tuple[object, ...]]) -> None:
    session = Session(toy)
    first = session.picture()
    session.change(seed=1)
    session.picture()
    session.edit(Edit("mirror", (0, 0, 40, 40), scale=2))
    session.edit(Edit("mirror", (40, 0, 40, 40), scale=1))
    edited = session.picture()
    # An edit costs one pass, and undoing it none.
    assert drawn == [(0, None), (1, None), (1, 2), (1, 1)]
    while session.undo():
        session.picture()
    assert len(drawn) == 4 and session.picture() is first
    assert torch.equal(edited, draw(toy, Scene(seed=1, edits=(
        Edit("mirror", (0, 0, 40, 40), scale=2), Edit("mirror", (40, 0, 40, 40), scale=1)))))  # fmt: skip


def test_undo_goes_back_step_by_step(toy: OurGAN) -> None:
    session = Session(toy)
    assert not session.undo()
    session.change(seed=1)
    session.change(seed=1)  # nothing changes: nothing to undo
    session.set_width(2.0)
    for fraction in (0.2, 0.4, 0.6):  # one slide
        session.move(9, fraction)
    session.set_noise_scale(1, 3.0)
    assert session.scene == Scene(1, 320, (1.0, 3.0, 1.0), to_seed=9, fraction=0.6)
    seen = []
    while session.undo():
        seen.append(session.scene)
    assert seen == [Scene(1, 320, to_seed=9, fraction=0.6), Scene(1, 320), Scene(1), Scene(0)]
    session.move(9, 0.5)
    session.undo()
    session.move(9, 0.5)  # a slide after an undo is one of its own
    session.undo()
    assert session.scene == Scene(0)
    for seed in range(1, 3 * MAX_UNDO):
        session.change(seed=seed)
    steps = 0
    while session.undo():
        steps += 1
    assert steps == MAX_UNDO


def test_width_and_noise(toy: OurGAN) -> None:
    session = Session(toy)
    session.set_width(0.5)
    assert session.scene.width == session.width == 80 and session.picture().shape == (3, 120, 80)
    session.set_width(1.0)
    assert session.scene == Scene() and session.width == session.own_width == 160
    for factor in (0.25, 4.5, float("nan")):
        with pytest.raises(SceneError, match="width factor"):
            session.set_width(factor)
    session.set_noise_scale(0, 0.5)
    session.set_noise_scale(0, 1.0)
    assert session.scene == Scene()  # as trained is as trained, however one came back to it
    with pytest.raises(OurganError, match="noise_scales are"):
        session.set_noise_scale(0, -1.0)


def test_a_wrong_edit_changes_nothing(toy: OurGAN) -> None:
    session = Session(toy)
    with pytest.raises(EditError, match="outside the picture of 160 x 120"):
        session.edit(Edit("mirror", (160, 0, 8, 8)))
    assert session.scene == Scene() and not session.undo()


def test_the_coordinate_is_a_twin_of_the_same_size(toy: OurGAN, twin: OurGAN) -> None:
    session = Session(toy, twin)
    on = session.picture()
    session.set_coordinate(False)
    assert session.model is twin
    assert torch.equal(session.picture(), twin.sample(0)) and not torch.equal(session.picture(), on)
    session.set_coordinate(True)
    assert session.picture() is on
    with pytest.raises(SceneError, match="twin"):
        Session(toy).set_coordinate(False)
    for other in (toy, OurGAN(twin.generator)):
        other.generator.sizes, sizes = other.generator.sizes[:-1], other.generator.sizes
        try:
            with pytest.raises(SceneError, match="the same size"):
                Session(OurGAN(toy.generator) if other is not toy else toy, other)
        finally:
            other.generator.sizes = sizes


def test_pages_of_the_gallery(toy: OurGAN) -> None:
    session = Session(toy)
    session.set_noise_scale(1, 2.0)
    noise_scales = session.scene.noise_scales
    assert session.page("seeds", 1) == [
        Scene(seed, noise_scales=noise_scales) for seed in range(PAGE, 2 * PAGE)
    ]
    assert session.page("seeds", -3) == session.page("seeds", 0)
    assert len(session.page("seeds", (2**31 - 1) // PAGE)) == 2**31 % PAGE
    assert session.page("seeds", 2**31) == []
    session.set_width(2.0)
    session.edit(Edit("mirror", (0, 0, 9, 9)))
    like = session.page("like this", 0, scale=2)
    assert {(s.seed, s.resample_from, s.width, s.edits) for s in like} == {(0, 2, None, ())}
    assert len({s.resample_seed for s in like + session.page("like this", 1, scale=2)}) == 2 * PAGE
    session.pick("like this", like[3])
    assert session.scene.width == 320 and session.scene.resample_seed == like[3].resample_seed
    assert session.thumbnail(session.scene).shape == (3, 120, 160)
    with pytest.raises(OurganError, match="gallery of 'moods'"):
        session.page("moods", 0)


def test_favourites_lie_beside_the_weights(saved: Path) -> None:
    session = Session(OurGAN.from_pretrained(saved, device="cpu"))
    kept = Scene(7, 96, edits=(Edit("mirror", (0, 0, 9, 9)),))
    assert session.favourites.toggle(kept) and session.favourites.toggle(Scene(8))
    # Another explorer sees them, and what it keeps does not drop them.
    other = Favourites(saved)
    assert other.scenes() == [kept, Scene(8)]
    assert not other.toggle(Scene(8))
    assert session.page("favourites", 0) == [kept] and session.page("favourites", 1) == []
    session.pick("favourites", kept)
    assert session.scene == kept and session.favourites.note == ""
    assert json.loads((saved / FAVOURITES_FILE).read_text())["scenes"][0]["seed"] == 7


@pytest.mark.parametrize("text", ["{", "[]", '{"scenes": 3}', '{"scenes": [{"sed": 1}]}', '{"scenes": [4]}'])
def test_a_damaged_file_is_left_as_it_is(saved: Path, text: str) -> None:
    (saved / FAVOURITES_FILE).write_text(text)
    with pytest.raises(OurganError, match="damaged") as caught:
        Favourites(saved).toggle(Scene(1))
    assert str(saved) in str(caught.value) and "\n" not in str(caught.value)
    assert (saved / FAVOURITES_FILE).read_text() == text


def test_where_nothing_can_be_written_they_stay_in_memory(saved: Path, toy: OurGAN) -> None:
    favourites = Favourites(saved)
    favourites.toggle(Scene(1))
    shutil.rmtree(saved)
    assert favourites.toggle(Scene(2))
    assert "cannot be written" in favourites.note and favourites.scenes() == [Scene(2)]
    nowhere = Session(toy).favourites
    assert "lies in no directory" in nowhere.note
    assert nowhere.toggle(Scene(3)) and nowhere.scenes() == [Scene(3)] and not nowhere.toggle(Scene(3))
    for seed in range(MAX_FAVOURITES):
        nowhere.toggle(Scene(seed))
    with pytest.raises(OurganError, match="drop one first"):
        nowhere.toggle(Scene(10_000))
