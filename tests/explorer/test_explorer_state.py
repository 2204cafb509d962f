"""What an explorer knows, without a widget: the session, favourites, uploads, cache and worker."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import blank_png
from PIL import Image
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.explorer.state.background import ByteCache, Worker, dispatch_to_loop
from ourgan.explorer.state.edits import MAX_UPLOAD, Edit, EditError, read_upload
from ourgan.explorer.state.export import free_path, safe_name
from ourgan.explorer.state.scene import Scene, SceneError, draw
from ourgan.explorer.state.session import FAVOURITES_FILE, MAX_FAVOURITES, MAX_UNDO, PAGE, Favourites, Session
from ourgan.io.pixels import to_uint8
from ourgan.io.read import ImageError
from ourgan.pipeline import OurGAN

Until = Callable[[Callable[[], object]], None]


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
    session.set_width(2)
    for fraction in (0.2, 0.4, 0.6):  # one slide
        session.move(9, fraction)
    session.set_noise_scale(1, 3)
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


def test_width_and_strength(toy: OurGAN) -> None:
    session = Session(toy)
    session.set_width(0.5)
    assert session.scene.width == session.width == 80 and session.picture().shape == (3, 120, 80)
    session.set_width(1)
    assert session.scene == Scene() and session.width == session.own_width == 160
    for factor in (0.25, 4.5, float("nan")):
        with pytest.raises(SceneError, match="width factor"):
            session.set_width(factor)
    session.set_noise_scale(0, 0.5)
    session.set_noise_scale(0, 1)
    assert session.scene == Scene()  # as trained is as trained, however one came back to it
    with pytest.raises(OurganError, match="noise_scales are"):
        session.set_noise_scale(0, -1)


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
    for other in (toy, OurGAN(twin.generator, device="cpu")):
        other.generator.sizes, sizes = other.generator.sizes[:-1], other.generator.sizes
        try:
            with pytest.raises(SceneError, match="the same size"):
                Session(OurGAN(toy.generator, device="cpu") if other is not toy else toy, other)
        finally:
            other.generator.sizes = sizes


def test_pages_of_the_gallery(toy: OurGAN) -> None:
    session = Session(toy)
    session.set_noise_scale(1, 2)
    noise_scales = session.scene.noise_scales
    assert session.page("seeds", 1) == [
        Scene(seed, noise_scales=noise_scales) for seed in range(PAGE, 2 * PAGE)
    ]
    assert session.page("seeds", -3) == session.page("seeds", 0)
    assert len(session.page("seeds", (2**31 - 1) // PAGE)) == 2**31 % PAGE
    assert session.page("seeds", 2**31) == []
    session.set_width(2)
    session.edit(Edit("mirror", (0, 0, 9, 9)))
    like = session.page("like this", 0, scale=2)
    assert {(s.seed, s.resample_from, s.width, s.edits) for s in like} == {(0, 2, None, ())}
    assert len({s.resample_seed for s in like + session.page("like this", 1, scale=2)}) == 2 * PAGE
    session.pick("like this", like[3])
    assert session.scene.width == 320 and session.scene.resample_seed == like[3].resample_seed
    assert session.thumbnail(session.scene).shape == (3, 120, 160)
    with pytest.raises(OurganError, match="gallery of 'moods'"):
        session.page("moods", 0)


# -- favourites -----------------------------------------------------------------------------------


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


# -- uploads and names ----------------------------------------------------------------------------


def test_an_upload_is_read_under_the_policy(tmp_path: Path, photo: Callable[..., Tensor]) -> None:
    small = photo(width=40)
    picture = Image.fromarray(to_uint8(small))
    picture.save(tmp_path / "a.png")
    assert torch.equal(read_upload((tmp_path / "a.png").read_bytes()), small)
    picture.putalpha(0)
    picture.save(tmp_path / "b.png")
    assert (read_upload((tmp_path / "b.png").read_bytes()) == 1).all()  # transparent on white


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file"),
        (b"<svg onload=alert(1)>", "the file"),
        (bytes(MAX_UPLOAD + 1), "8.0 MiB; use one of 8 at most"),
        (blank_png(6000, 4001), "6000 x 4001 pixels; make it smaller"),
        (blank_png(40_000, 40_000), "the file"),
    ],
)
def test_an_upload_out_of_bounds_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_upload(data)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert "/tmp" not in str(caught.value)


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


# -- cache and worker -----------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 12)), max_size=60))
def test_a_cache_never_holds_more_than_its_limit(asked: list[tuple[int, int]]) -> None:
    cache, lengths, order = ByteCache(4 * 20), {}, []
    for key, length in asked:
        known = key in cache
        value = cache.find_or_make(key, lambda n=length: torch.zeros(n))
        assert known == (len(value) == lengths.get(key) and known)
        lengths[key] = len(value)
        order = [other for other in order if other != key] + [key]
        kept = [other for other in order if other in cache]
        assert cache.currsize == 4 * sum(lengths[other] for other in kept) <= cache.maxsize
        assert key in cache and order[len(order) - len(kept) :] == kept and len(cache) == len(kept)


def test_a_cache_does_not_keep_what_is_too_large() -> None:
    cache = ByteCache(8)
    assert len(cache.find_or_make("a", lambda: torch.zeros(9))) == 9
    assert "a" not in cache and cache.currsize == 0


def test_of_many_wishes_the_last_is_done(until: Until) -> None:
    worker, gate, results = Worker(), threading.Event(), []
    worker.submit("other", gate.wait, lambda _: None, results.append)
    for wish in range(50):
        worker.submit("slider", lambda wish=wish: wish, results.append, results.append)
    worker.submit("button", lambda: "pressed", results.append, results.append)
    assert worker.busy()
    gate.set()
    until(lambda: not worker.busy())
    assert results == [49, "pressed"]
    worker.close()


def test_others_come_in_between(until: Until) -> None:
    worker, done = Worker(), []

    def one(index: int, result: str) -> None:
        done.append(result)
        if index == 1:
            worker.submit("slider", lambda: "slider", done.append, done.append)

    worker.submit_each("gallery", [lambda n=n: f"sample {n}" for n in range(4)], one, done.append)
    until(lambda: not worker.busy())
    assert sorted(done) == ["sample 0", "sample 1", "sample 2", "sample 3", "slider"]
    assert done.index("slider") <= 3
    worker.close()


def test_another_row_or_a_drop_ends_the_first(until: Until) -> None:
    worker, done, gate = Worker(), [], threading.Event()
    worker.submit_each(
        "row", [lambda: gate.wait() and "a", lambda: "b"], lambda _, r: done.append(r), done.append
    )
    until(lambda: worker._computing)
    worker.submit_each("row", [lambda: "c", lambda: "d"], lambda _, r: done.append(r), done.append)
    gate.set()
    until(lambda: not worker.busy())
    assert done == ["c", "d"]
    gate.clear()
    worker.submit_each(
        "row", [lambda: gate.wait() and "e", lambda: "f"], lambda _, r: done.append(r), done.append
    )
    until(lambda: worker._computing)
    worker.drop("row")
    gate.set()
    until(lambda: not worker.busy())
    assert done == ["c", "d"]
    worker.close()


def test_an_error_is_handed_back_and_the_worker_goes_on(until: Until) -> None:
    worker, done, failed = Worker(), [], []
    worker.submit("a", lambda: 1 / 0, done.append, failed.append)
    worker.submit_each("b", [lambda: 1, lambda: [][0], lambda: 3], lambda _, r: done.append(r), failed.append)
    until(lambda: not worker.busy())
    worker.submit("c", lambda: 4, done.append, failed.append)
    worker.submit("d", lambda: 5, lambda result: {}[result], failed.append)  # the answer itself goes wrong
    until(lambda: not worker.busy())
    assert done == [1, 4]
    assert [type(error) for error in failed] == [ZeroDivisionError, IndexError, KeyError]
    worker.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ourgan-explorer") and _alive(t)]


def _alive(thread: threading.Thread) -> bool:
    thread.join(5)
    return thread.is_alive()


def test_answers_come_in_the_loop_that_runs() -> None:
    async def notebook() -> tuple[threading.Thread, list[object]]:
        worker, answers = Worker(dispatch_to_loop()), []
        worker.submit("a", lambda: threading.current_thread(), answers.append, answers.append)
        worker.submit("b", lambda: 0, lambda _: answers.append(threading.current_thread()), answers.append)
        for _ in range(500):
            await asyncio.sleep(0.01)
            if len(answers) == 2:
                break
        worker.close()
        return threading.current_thread(), answers

    own, (worked, answered) = asyncio.run(notebook())
    assert worked is not own and answered is own
