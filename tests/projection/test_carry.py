"""Pieces at any size: exact, windows of one picture, seams without steps, no islands."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ourgan.projection.carry import Pieces, bands, carry, components, pieces_of, windows_needed
from ourgan.projection.project import Projection, Schedule, project, refine
from ourgan.projection.search import Distance, resized


def of_columns(photo, ways, mirror=0):
    """A projection that shows columns x + ways[x] of a photo."""
    height, width = photo.shape[0], len(ways)
    y, x = np.mgrid[0 : height - 6, 0 : width - 6]
    field = np.stack([y, x + np.asarray(ways)[3:-3], np.full(y.shape, mirror)], 2).astype(np.int16)
    return Projection(photo[:, np.arange(width) + ways], field, photo.shape[:2])


@pytest.fixture(scope="module")
def pieces(small):
    photo, other = small(size=(128, 192)), small("picos-de-europa")
    schedule = Schedule(Distance(mirror=True), passes=1, sweeps=2)
    return pieces_of(refine(project(other, photo, schedule), photo, schedule, factor=2), photo)


def test_within_a_piece_the_pixels_are_the_photos(small):
    photo = small()
    pieces = pieces_of(of_columns(photo, np.full(90, 6)), photo)
    assert (pieces.labels == [0, 6, 0]).all() and (pieces.added == 0).all()
    for factor in (1, 3, 4):
        large = resized(photo, (64 * factor, 96 * factor))
        np.testing.assert_array_equal(carry(pieces, large, factor), large[:, 6 * factor :])


def test_a_mirrored_piece_is_the_mirrored_photos(small):
    photo = small()
    pieces = pieces_of(of_columns(np.ascontiguousarray(photo[:, ::-1]), np.full(90, 6), mirror=1), photo)
    large = resized(photo, (256, 384))
    np.testing.assert_array_equal(carry(pieces, large, 4), large[:, ::-1][:, 24:])


@given(st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_window_is_the_window_of_the_whole(small, pieces, data):
    factor = data.draw(st.sampled_from([1, 2, 4, 5]))
    photo = resized(small(size=(128, 192)), (128 * factor, 192 * factor))
    whole = carry(pieces, photo, factor)
    top, left = (data.draw(st.integers(0, length - 1)) for length in whole.shape[:2])
    height = data.draw(st.integers(1, min(40, whole.shape[0] - top)))
    width = data.draw(st.integers(1, min(40, whole.shape[1] - left)))
    part = carry(pieces, photo, factor, (top, left, height, width))
    np.testing.assert_array_equal(part, whole[top : top + height, left : left + width])


@pytest.mark.parametrize("rows", [1, 37, 64, 1000])
def test_bands_are_the_whole(small, pieces, rows):
    photo = resized(small(size=(128, 192)), (256, 384))
    whole = carry(pieces, photo, 2)
    made = list(bands(pieces, photo, 2, rows=rows))
    assert all(len(band) == rows for band in made[:-1])
    np.testing.assert_array_equal(np.concatenate(made), whole)
    np.testing.assert_array_equal(
        np.concatenate(list(bands(pieces, photo, 2, rows=rows, first=100))), whole[100:]
    )


def test_a_photo_mapped_from_a_file_serves(small, pieces, tmp_path):
    photo = resized(small(size=(128, 192)), (256, 384))
    np.save(tmp_path / "photo.npy", photo)
    mapped = np.load(tmp_path / "photo.npy", mmap_mode="r")
    np.testing.assert_array_equal(carry(pieces, mapped, 2), carry(pieces, photo, 2))


@given(st.data())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_window_reads_only_what_it_names(small, pieces, data):
    photo = resized(small(size=(128, 192)), (384, 576))
    top, left = data.draw(st.integers(0, 360)), data.draw(st.integers(0, 550))
    box = (top, left, 24, 26)
    known = np.zeros_like(photo)
    for y, x, height, width in windows_needed(pieces, 3, box, 40):
        known[y : y + height, x : x + width] = photo[y : y + height, x : x + width]
    np.testing.assert_array_equal(carry(pieces, known, 3, box), carry(pieces, photo, 3, box))


def test_same_bits_without_numba_and_on_two_threads(small, otherwise, pieces):
    photo = small(size=(128, 192))
    schedule = Schedule(Distance(mirror=True), passes=1, sweeps=2)
    large = refine(project(small("picos-de-europa"), photo, schedule), photo, schedule, factor=2)
    found = otherwise(pieces_of, large, photo)
    np.testing.assert_array_equal(found.labels, pieces.labels)
    np.testing.assert_array_equal(found.added, pieces.added)
    assert (pieces.labels[..., 2] == 1).any() and (pieces.added != 0).any()
    for factor in (1, 3):
        near = resized(photo, (128 * factor, 192 * factor))
        np.testing.assert_array_equal(otherwise(carry, pieces, near, factor), carry(pieces, near, factor))


def test_a_sky_of_two_pieces_has_no_step():
    sky = np.broadcast_to((60 + np.arange(200) // 4)[None, :, None], (100, 200, 3)).astype(np.uint8)
    ways = np.where(np.arange(120) < 60, 0, 60)  # 15 levels brighter from column 60 on
    pieces = pieces_of(of_columns(sky, ways), sky)
    plain = carry(Pieces(pieces.labels, np.zeros_like(pieces.added), pieces.photo_size), sky)
    even = carry(pieces, sky)
    assert np.abs(np.diff(plain[..., 0].astype(int), axis=1)).max() >= 12
    assert np.abs(np.diff(even[..., 0].astype(int), axis=1)).max() <= 2


def test_an_edge_is_no_step():
    ground = np.full((100, 200, 3), 40, np.uint8)
    ground[:, 100:] = 200
    pieces = pieces_of(of_columns(ground, np.where(np.arange(120) < 60, 0, 80)), ground)
    assert np.abs(pieces.added).max() < 64


def test_islands_go_and_pieces_stay(small):
    photo = small()
    field = of_columns(photo, np.full(90, 6)).field.copy()
    field[20:23, 40:43] += np.array([9, 9, 0], np.int16)  # 9 pixels of another piece
    field[20:30, 10:20] += np.array([9, 9, 0], np.int16)  # 100 pixels
    picture = carry(Pieces(*_labelled(field, photo)), photo)
    pieces = pieces_of(Projection(picture, field, photo.shape[:2]), photo)
    assert (pieces.labels[18:32, 35:55] == [0, 6, 0]).all()
    assert (pieces.labels[..., 0] == 9).sum() > 50


def _labelled(field, photo):
    labels = field.copy()
    labels[..., 0] -= np.arange(field.shape[0], dtype=np.int16)[:, None]
    labels[..., 1] -= np.arange(field.shape[1], dtype=np.int16)
    labels = np.pad(labels, ((3, 3), (3, 3), (0, 0)), mode="edge")
    return labels, np.zeros_like(labels), photo.shape[:2]


def test_components_are_connected_pixels_of_one_label():
    plan = np.array([[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [2, 2, 1, 1]])
    labels = np.stack([plan, plan, plan], 2)
    assert components(labels).tolist() == [[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [2, 2, 3, 3]]


def test_what_does_not_fit_is_refused(small, pieces):
    photo = small(size=(128, 192))
    with pytest.raises(ValueError, match="384x256 are wanted"):
        carry(pieces, photo, 2)
    for box in ((0, 0, 0, 4), (-1, 0, 4, 4), (120, 0, 20, 4)):
        with pytest.raises(ValueError, match="is not inside"):
            carry(pieces, photo, 1, box)


def test_bands_take_the_memory_of_a_band_however_high_the_picture(small, pieces):
    photo = resized(small(size=(128, 192)), (512, 768))
    peaks = []
    for copies in (1, 8):
        # The same rows again and again, each looking into the photo from further below.
        labels = np.concatenate([pieces.labels - np.array([64 * n, 0, 0], np.int16) for n in range(copies)])
        high = Pieces(labels, np.concatenate([pieces.added] * copies), pieces.photo_size)
        next(bands(high, photo, 4, rows=16))
        tracemalloc.start()
        for _ in bands(high, photo, 4, rows=16):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 4 * 16 * 768 * 3
