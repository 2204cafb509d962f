"""What notebook 08 draws: patches where they are, and places of the photo in their colours."""

from __future__ import annotations

import numpy as np
import pytest

from ourgan.projection.carry import Pieces
from ourgan.projection.project import Projection
from ourgan.reproduce import figures
from ourgan.reproduce.chapter import as_picture
from ourgan.reproduce.figures.photo_detail import CORNERS


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 96, np.uint8)  # shows a tint as it is


def field_of(height: int, width: int, source: int = 0) -> np.ndarray:
    """Every patch's match is the patch of its own place; in the mirrored photo, that of its mirror image."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, source)], 2).astype(np.int16)


def test_patches_are_drawn_with_their_own_pixels() -> None:
    scene, photo = grey(20, 30), grey(24, 36)
    matches = {
        "pixels alone": [((3, 5), 0.5), ((12, 20), 1.0)],
        "with the height": [((4, 6), 2.0), ((0, 0), 3.0)],
    }
    figure = figures.draw_matches(scene, photo, (8, 9), matches)
    left, right, *cells = figure.axes
    assert [patch.get_xy() for patch in left.patches] == [(8.5, 7.5)]
    assert [patch.get_xy() for patch in right.patches] == [(4.5, 2.5), (19.5, 11.5), (5.5, 3.5), (-0.5, -0.5)]
    shown = [(axes.get_ylim()[1] + 0.5, axes.get_xlim()[0] + 0.5) for axes in cells]
    assert shown == [(8, 9), (3, 5), (12, 20), (8, 9), (4, 6), (0, 0)]
    titles = [axes.get_title(loc="left") for axes in cells]
    assert titles == ["the patch", "pixels alone: 0.50", "1.00", "the patch", "with the height: 2.00", "3.00"]
    assert as_picture(figure).width > 300


def test_a_search_is_drawn_above_what_is_exact() -> None:
    axes = figures.draw_search({"this notebook": [3.0, 2.0], "the package": [3.0, 1.5]}, 1.0).axes[0]
    assert [list(line.get_ydata()) for line in axes.lines] == [[3.0, 2.0], [3.0, 1.5], [1.0, 1.0]]


@pytest.mark.parametrize("source", [0, 1])
def test_a_pixel_has_the_colour_of_the_place_it_is_from(source: int) -> None:
    made = Projection(grey(46, 66), field_of(40, 60, source), (46, 66))
    sheet = figures.source_sheet(grey(80, 120), {"it": made}, 80)
    assert sheet.size == (258, 214)  # two columns, two rows, each with its caption
    photo, picture = (np.asarray(sheet)[110:190, left : left + 120] for left in (6, 132))
    for row, corners in ((0, CORNERS[0]), (-1, CORNERS[1])):
        for column, corner in zip((0, -1), corners, strict=True):
            assert np.abs(photo[row, column] - 0.75 * np.array(corner)).max() < 8
    inner = picture.astype(float)[8:-8, 8:-8]
    expected = photo.astype(float)[8:-8, 8:-8]
    if source:  # its columns are those of the mirror, and every other stripe is dark
        expected, striped = expected[:, ::-1], inner.sum(2) < 0.5 * expected[:, ::-1].sum(2)
        assert 0.4 < striped.mean() < 0.6
        inner, expected = inner[~striped], expected[~striped]
    assert np.abs(inner - expected).mean() < 25


def test_pieces_and_what_is_added() -> None:
    labels, added = np.zeros((40, 60, 3), np.int16), np.zeros((40, 60, 3), np.int16)
    labels[:, 30:, 1] = -5
    added[:, 30:] = 5 * 64
    sheet = np.asarray(figures.pieces_sheet(Pieces(labels, added, (40, 60)), grey(80, 120)))
    pieces, plus = sheet[6:46, 6:66], sheet[6:46, 72:132]
    assert (pieces[:, :30] == pieces[0, 0]).all() and (pieces[:, 30:] == pieces[0, -1]).all()
    assert (pieces[0, 0] != pieces[0, -1]).any()
    assert (plus[:, :30] == 128).all() and (plus[:, 30:] == 128 + 8 * 5).all()
    bare, evened = sheet[70:110, 6:66].astype(int), sheet[70:110, 72:132].astype(int)
    assert (bare == bare[0, 0]).all()
    assert (evened[0, -1] - evened[0, 0] == 3 * 5).all()  # three times the contrast
