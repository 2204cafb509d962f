"""A sample becomes a picture of the photo's patches, and keeps its layout; the same bits everywhere."""

import numpy as np
import pytest

from ourgan.projection.project import Schedule, coarse_to_fine, project, refine
from ourgan.projection.search import Distance, resized


@pytest.fixture
def blurred(small):
    """A photo turned left to right and blurred: a scene that the photo does not hold."""
    photo = small()[:, ::-1]
    return resized(resized(np.ascontiguousarray(photo), (16, 24)), (64, 96))


def sharpness(picture):
    return np.abs(np.diff(picture.astype(int), axis=1)).mean()


def test_a_projection_has_the_layout_of_the_sample_and_the_paint_of_the_photo(small, blurred):
    photo = small()
    found = project(blurred, photo, Schedule(start=0.4))
    assert found.picture.shape == blurred.shape and found.photo_size == (64, 96)
    assert sharpness(found.picture) > 0.7 * sharpness(photo) > 1.4 * sharpness(blurred)
    coarse = [resized(picture, (8, 12)).astype(int) for picture in (blurred, found.picture, photo)]
    assert np.abs(coarse[1] - coarse[0]).mean() < 0.6 * np.abs(coarse[2] - coarse[0]).mean()


def test_the_photo_itself_comes_back(small):
    photo = small()
    found = project(photo, photo, Schedule(start=0.7))
    assert np.abs(found.picture.astype(int) - photo).mean() < 1.5


def test_every_size_is_to_be_had_and_the_last_is_the_projection(small, blurred):
    photo, schedule = small(), Schedule(start=0.5, passes=1, sweeps=1)
    first, second, last = coarse_to_fine(blurred, photo, schedule)
    assert [each.picture.shape[:2] for each in (first, second, last)] == [(36, 54), (48, 72), (64, 96)]
    assert all(each.photo_size == each.picture.shape[:2] for each in (first, second, last))
    expected = project(blurred, photo, schedule)
    np.testing.assert_array_equal(last.field, expected.field)
    np.testing.assert_array_equal(last.picture, expected.picture)


def test_a_wide_scene_and_a_large_photo(small):
    photo = small(size=(128, 192))
    wide = np.concatenate([small(), small()[:, ::-1]], 1)
    found = project(wide, photo, Schedule(passes=1, sweeps=1))
    assert found.picture.shape == (64, 192, 3) and found.photo_size == (64, 96)
    assert (found.field >= 0).all()
    assert (found.field[..., 0] <= 57).all() and (found.field[..., 1] <= 89).all()


def test_refined_it_is_sharp_at_the_larger_size(small, blurred):
    photo = small(size=(128, 192))
    found = project(blurred, photo)
    large = refine(found, photo, factor=2)
    assert large.picture.shape == (128, 192, 3) and large.photo_size == (128, 192)
    assert np.abs(resized(large.picture, (64, 96)).astype(int) - found.picture).mean() < 12
    assert sharpness(large.picture) > 1.3 * sharpness(resized(found.picture, (128, 192)))


@pytest.mark.parametrize("mirror", [False, True])
def test_same_bits_without_numba_and_on_two_threads(small, otherwise, blurred, mirror):
    photo, schedule = small(size=(128, 192)), Schedule(Distance(mirror=mirror), passes=2, sweeps=2, seed=7)
    expected = project(blurred, photo, schedule)
    found = otherwise(project, blurred, photo, schedule)
    np.testing.assert_array_equal(found.field, expected.field)
    np.testing.assert_array_equal(found.picture, expected.picture)
    larger, other = (
        refine(expected, photo, schedule, factor=2),
        otherwise(refine, found, photo, schedule, factor=2),
    )
    np.testing.assert_array_equal(other.field, larger.field)
    np.testing.assert_array_equal(other.picture, larger.picture)


def test_the_seed_is_the_searchs_and_counts(small, blurred):
    one, again, other = (project(blurred, small(), Schedule(seed=seed)).picture for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_novelty_cuts_the_photo_into_smaller_pieces(small):
    sample, photo = small("picos-de-europa"), small()

    def coherent(novelty):
        field = project(sample, photo, Schedule(novelty=novelty)).field
        return (field[:, 1:] - field[:, :-1] == [0, 1, 0]).all(2).mean()

    assert Schedule().settled() == Schedule()
    assert coherent(0.0) > coherent(0.5) + 0.02 > coherent(1.0) + 0.04, [coherent(n) for n in (0.0, 0.5, 1.0)]


def test_however_small_a_picture_it_begins_at_a_size_that_has_a_layout(small):
    small_first, *_ = coarse_to_fine(small(size=(24, 36)), small(), Schedule(passes=1, sweeps=1))
    first, *_ = coarse_to_fine(small(size=(96, 144)), small(size=(96, 144)), Schedule(passes=1, sweeps=1))
    assert len(small_first.picture) == 24 and len(first.picture) == round(96 * 0.75**5)


def test_even_a_grey_sample_gives_a_picture(small):
    found = project(np.full((40, 60, 3), 128, np.uint8), small())
    assert found.picture.shape == (40, 60, 3)


def test_too_few_pixels_are_refused(small):
    with pytest.raises(ValueError, match="too few"):
        project(np.zeros((12, 40, 3), np.uint8), small())
    with pytest.raises(ValueError, match="too few"):
        project(small(), small(size=(64, 12)))
