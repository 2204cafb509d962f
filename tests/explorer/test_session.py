"""What an explorer knows, without a widget: the scene, its history, the gallery, favourites."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.explorer.state.edits import Edit, EditError
from ourgan.explorer.state.scene import Scene, SceneError, draw
from ourgan.explorer.state.session import MAX_UNDO, PAGE, Session
from ourgan.explorer.state.switches import Switches, project
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


def test_scenes_are_shown_as_the_switches_say(
    photographed: OurGAN, drawn: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(photographed)
    session.change(width=40, edits=(Edit("mirror", (0, 0, 20, 90), scale=1),))
    scene, ours = session.scene, Switches("projected", "photo")
    plain = session.picture()
    session.switches = ours
    assert not session.is_redrawn(photographed, scene)
    redrawn = session.picture()
    assert torch.equal(redrawn, project(photographed, plain)) and not torch.equal(redrawn, plain)
    assert session.is_redrawn(photographed, scene) and session.picture() is redrawn
    assert session.thumbnail(ours, scene) is redrawn and session.thumbnail(Switches(), scene) is plain
    session.undo()  # the switches are no part of the scene, nor of its history
    assert session.switches == ours
    # Another edit is made to the scene as step 1 drew it.
    session.show(dataclasses.replace(scene, edits=(*scene.edits, Edit("mirror", (0, 0, 9, 9), scale=1))))
    assert torch.equal(session.picture(), project(photographed, draw(photographed, session.scene)))
    assert len(drawn) == 3 + 3  # each pass once; the last line draws all of them again


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
    assert session.thumbnail(session.switches, session.scene).shape == (3, 120, 160)
    with pytest.raises(OurganError, match="gallery of 'moods'"):
        session.page("moods", 0)
