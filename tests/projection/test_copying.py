"""The photo, its mirror and a shuffled photo, between which every picture lies."""

import numpy as np
import pytest

from ourgan.projection.copying import CALIBRATION, WIDTH, calibration, copying, correspondences, measured


@pytest.fixture(scope="module")
def photo(small):
    return small(size=(128, 192))


def test_the_photo_and_its_mirror_are_copies(photo):
    for picture in (photo, np.ascontiguousarray(photo[:, ::-1])):
        found = copying(picture, photo)
        assert found.coherent > 0.99 and found.largest > 0.97
        assert 1 <= found.use < 1.05 and found.diversity < 0.02


def test_shuffled_pixels_are_no_copy(photo):
    shuffled = np.random.default_rng(0).permutation(photo.reshape(-1, 3)).reshape(photo.shape)
    found = copying(shuffled, photo)
    assert found.coherent < 0.4 and found.largest < 0.01
    assert found.diversity > 0.5 and found.use_99 > 2


def test_what_calibrates_it_is_the_photo_at_the_size_of_the_search(small):
    photo = small(size=(96, 384))
    made = calibration(photo)
    itself, mirrored, shuffled = (made[name] for name in CALIBRATION)
    assert {picture.shape for picture in made.values()} == {(64, WIDTH, 3)}
    np.testing.assert_array_equal(mirrored, itself[:, ::-1])
    assert not np.array_equal(shuffled, itself)
    colours = [np.sort(picture.reshape(-1, 3).view("u1,u1,u1"), 0) for picture in (itself, shuffled)]
    np.testing.assert_array_equal(*colours)
    np.testing.assert_array_equal(calibration(photo)[CALIBRATION[2]], shuffled)  # the same at every call
    found = [copying(picture, photo) for picture in (itself, mirrored, shuffled)]
    assert min(found[0].coherent, found[1].coherent) > 0.99 and found[2].coherent < 0.4


def test_two_pieces_are_two(photo):
    halves = np.concatenate([photo[:, 96:], photo[:, :96]], 1)
    found = copying(halves, photo)
    assert found.coherent > 0.9 and 0.4 < found.largest < 0.6


def test_one_patch_everywhere_is_used_by_all(photo):
    field = np.zeros((50, 60, 3), np.int16)
    found = measured(field, (64, 96))
    assert found.coherent == 0 and found.use == 3000


def test_same_bits_without_numba_and_on_two_threads(small, otherwise):
    query, photo = small("picos-de-europa", (40, 60)), small(size=(40, 60))
    np.testing.assert_array_equal(otherwise(correspondences, query, photo), correspondences(query, photo))
