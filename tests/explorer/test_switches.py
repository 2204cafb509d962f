"""What decides how scenes are shown and rendered, and the line that says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ourgan._core.errors import OurganError
from ourgan.explorer.state.scene import Scene
from ourgan.explorer.state.switches import Switches, decide, project
from ourgan.io.pixels import from_uint8, to_uint8
from ourgan.pipeline import OurGAN

PHOTO = Path(__file__).parents[2] / "data" / "photos" / "picos-de-europa.jpg"


def test_the_photo_is_taken_where_it_is_at_hand(photographed: OurGAN) -> None:
    ours = decide(photographed)
    assert ours == Switches("projected", "photo")
    assert ours.line == (
        "Scene redrawn from photo.jpg, detail from the photo, too: the model has its photo. "
        "Its pixels are the photo's: A. Person, CC BY 4.0."
    )
    assert ours.options() == {"scene": "projected", "detail": "photo", "photo": None}


def test_else_it_is_the_papers_way_and_a_line_says_why(
    toy: OurGAN, photographed: OurGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = decide(toy)
    assert paper == Switches() and "\n" not in paper.line
    assert (
        "as drawn by step 1" in paper.line
        and "The model's photo, a photo without a name, is not at hand" in paper.line
    )
    with monkeypatch.context() as changed:
        changed.setenv("OURGAN_KERNELS", "numpy")
        slow = decide(photographed)
    assert slow == Switches() and "Numba" in slow.line and "is not installed" in slow.line


@pytest.mark.parametrize(
    ("scene", "detail", "words"),
    [
        ("drawn", "network", "as drawn by step 1, detail from the network: the paper's way, as you chose."),
        ("projected", "network", "redrawn from photo.jpg, detail from the network: as you chose."),
        ("projected", "photo", "redrawn from photo.jpg, detail from the photo, too: as you chose."),
    ],
)
def test_what_is_chosen_is_taken(photographed: OurGAN, scene: str, detail: str, words: str) -> None:
    chosen = decide(photographed, scene, detail)
    assert (chosen.scene, chosen.detail) == (scene, detail) and words in chosen.line


def test_what_cannot_be_had_is_refused(toy: OurGAN, photographed: OurGAN, tmp_path: Path) -> None:
    cases = [
        (toy, ("projected", "network", None), "is not at hand"),
        (toy, ("projected", "photo", None), "is not at hand"),
        (photographed, ("drawn", "photo", None), "does not go with scene drawn"),
        (photographed, ("painted", "network", None), "scene 'painted': use one of"),
        (photographed, ("auto", "auto", tmp_path / "none.jpg"), "none.jpg: cannot be read"),
    ]
    for model, wanted, words in cases:
        with pytest.raises(OurganError, match=words) as caught:
            decide(model, *wanted)
        assert "\n" not in str(caught.value)


def test_a_photo_that_is_given_stays_given(toy: OurGAN) -> None:
    named = decide(toy, "projected", "photo", PHOTO)  # a model that does not know which its photo is
    assert named.options()["photo"] == PHOTO
    drawn = decide(toy, "drawn", "network", PHOTO)
    assert drawn.photo == PHOTO and drawn.options()["photo"] is None


def test_any_scene_can_be_redrawn(photographed: OurGAN) -> None:
    wide = photographed.sample(3, width=90)
    image = wide[:, :, 30:75].contiguous()  # of another size than the model's
    redrawn = project(photographed, image)
    assert redrawn.shape == image.shape and torch.equal(redrawn, project(photographed, image))
    assert torch.equal(redrawn, from_uint8(to_uint8(redrawn))) and not torch.equal(redrawn, image)
    with pytest.raises(OurganError, match="too small to be redrawn"):
        project(photographed, wide[:, :16, :16].contiguous())
    assert Scene().to_json() == "{}"  # a scene knows nothing of it
