"""The scenes that a person keeps: beside the weights, or in memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ourgan._core.errors import OurganError
from ourgan.explorer.state.edits import Edit
from ourgan.explorer.state.favourites import FAVOURITES_FILE, MAX_FAVOURITES, Favourites
from ourgan.explorer.state.scene import Scene
from ourgan.explorer.state.session import Session
from ourgan.pipeline import OurGAN


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
