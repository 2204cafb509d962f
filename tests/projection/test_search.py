"""PatchMatch finds what is there, counts the height, flees repeats, and gives the same bits everywhere."""

import dataclasses

import numpy as np
import pytest

from ourgan.projection import plain_search
from ourgan.projection.kernels import CHOICE
from ourgan.projection.search import (
    Distance,
    contrast,
    enlarged_field,
    random_field,
    reuse_price,
    sources_of,
    sweep,
    uses,
    vote,
)

PLAIN = Distance(vertical=0.0, reuse=0.0, alone=0.0)
RADII = [128, 64, 32, 16, 8, 4, 2, 1]


def searched(query, photo, distance=PLAIN, sweeps=12, **settings):
    field = random_field(query.shape[:2], photo.shape[:2], 0, distance.mirror)
    sources = sources_of(photo, distance.mirror)
    for turn in range(1, sweeps + 1):
        field, cost = sweep(query, sources, field, distance, radii=RADII, turn=turn, **settings)
    return field, cost


def test_a_piece_of_the_photo_is_found_where_it_lies(small):
    photo = small()
    field, cost = searched(photo[20:50, 30:80], photo)
    y, x = np.mgrid[20:44, 30:74]
    assert (cost == 0).mean() > 0.99
    assert ((field[..., 0] == y) & (field[..., 1] == x)).mean() > 0.99


def test_a_mirrored_piece_is_found_in_the_mirror_alone(small):
    photo = small()
    piece = np.ascontiguousarray(photo[20:50, 30:80][:, ::-1])
    field, cost = searched(piece, photo, dataclasses.replace(PLAIN, mirror=True))
    assert (cost == 0).mean() > 0.99 and (field[..., 2] == 1).mean() > 0.99
    assert searched(piece, photo)[1].mean() > 1000


def test_costs_are_sums_of_squares_and_near_the_least(small):
    photo, query = small(size=(32, 48)), small("picos-de-europa", (24, 30))
    field, cost = searched(query, photo)
    patches = np.lib.stride_tricks.sliding_window_view(photo.astype(int), (7, 7), (0, 1)).reshape(26 * 42, -1)
    asked = np.lib.stride_tricks.sliding_window_view(query.astype(int), (7, 7), (0, 1)).reshape(18 * 24, -1)
    every = ((asked[:, None] - patches[None]) ** 2).sum(2)
    chosen = field[..., 0].astype(int) * 42 + field[..., 1]
    np.testing.assert_array_equal(cost.ravel(), every[np.arange(len(every)), chosen.ravel()])
    assert (cost.ravel() == every.min(1)).mean() > 0.8
    assert every.min(1).mean() <= cost.mean() < 1.03 * every.min(1).mean()


def test_no_match_gets_worse(small):
    photo, query = small(), small("picos-de-europa")
    field = random_field(query.shape[:2], photo.shape[:2], 0, False)
    last = None
    for turn in range(4):
        field, cost = sweep(query, sources_of(photo, False), field, PLAIN, radii=[8, 1], turn=turn)
        assert last is None or (cost <= last).all()
        last = cost


def test_the_vertical_term_keeps_equal_patches_at_their_height(small):
    texture = small(size=(40, 96))
    photo = np.concatenate([texture, texture])  # everything is there twice, high and low
    rows = np.arange(74)[:, None]
    field = random_field((80, 96), (80, 96), 0, False)
    field[..., 0] = (rows + 37) % 74  # a start in the other half
    far = {}
    for vertical in (0.0, 20.0):
        now = field
        for turn in range(6):
            distance = Distance(vertical=vertical, reuse=0.0, alone=0.0)
            now, _ = sweep(photo, sources_of(photo, False), now, distance, radii=RADII, turn=turn)
        far[vertical] = (np.abs(now[..., 0] - rows) > 20).mean()
    assert far[0.0] > 0.5 and far[20.0] < 0.03


def test_repeats_cost_in_proportion_to_what_is_seen(small):
    photo = small()
    everywhere = np.zeros((58, 90, 3), np.int16) + np.array([30, 40, 0], np.int16)
    identity = np.stack([*np.mgrid[0:58, 0:90], np.zeros((58, 90), int)], 2).astype(np.int16)
    seen = contrast(photo)
    assert (reuse_price(identity, seen, 1, 0.3) == 0).all()
    (price,) = reuse_price(everywhere, seen, 2, 0.3)
    assert price[0, 30, 40] > 0 and price[0, 2, 2] == 0
    np.testing.assert_array_equal(price[0], price[1][:, ::-1])
    assert (reuse_price(everywhere, np.zeros_like(seen), 1, 0.3) == 0).all()
    assert uses(everywhere, (58, 90))[30, 40] == 58 * 90


def test_in_a_wide_picture_use_counts_within_the_photos_width(small):
    photo = small()
    identity = np.stack([*np.mgrid[0:58, 0:90], np.zeros((58, 90), int)], 2).astype(np.int16)
    twice = identity.copy()
    twice[:, 45:, 1] -= 45  # the photo's left half again
    prices = reuse_price(np.concatenate([identity] * 2 + [twice] * 2, 1), contrast(photo), 1, 0.3)
    assert len(prices) == 7 and (prices[:3] == 0).all()
    assert (prices[4:, 0, :, :30] > 0).any((1, 2)).all() and (prices[4:, 0, :, 60:] == 0).all()
    # A query is priced by the page in whose middle it lies.
    field = random_field((64, 366), (64, 96), 0, False)
    far = np.zeros_like(prices)
    far[5:] = 2**24
    columns = np.arange(360)
    for name in ("numba", "numpy"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(CHOICE, name)
            _, cost = sweep(
                np.tile(photo, (1, 4, 1))[:, :366], sources_of(photo, False), field, PLAIN, price=far
            )
        assert ((cost >= 2**24).all(0) == ((columns - 22) // 45 >= 5)).all()


def test_a_price_makes_a_search_use_more_of_the_photo(small):
    photo, query = small("picos-de-europa"), small()
    field, _ = searched(query, photo, sweeps=4)
    price = reuse_price(field, contrast(photo), 1, 1.0)
    priced, _ = sweep(query, sources_of(photo, False), field, PLAIN, price=price, radii=RADII, turn=9)
    assert (uses(priced, (58, 90)) > 0).sum() > (uses(field, (58, 90)) > 0).sum()


def test_the_price_of_standing_alone_makes_larger_pieces(small):
    photo, query = small("picos-de-europa"), small()

    def coherent(alone):
        field, _ = searched(query, photo, dataclasses.replace(PLAIN, alone=alone), sweeps=8)
        return (field[:, 1:] - field[:, :-1] == [0, 1, 0]).all(2).mean()

    assert coherent(0.05) > coherent(0.0) + 0.05


def test_an_enlarged_field_keeps_its_ways():
    field = np.stack([*(np.mgrid[0:14, 0:24] + 3), np.zeros((14, 24), int)], 2).astype(np.int16)
    double = enlarged_field(field, (20, 30), (40, 60), (40, 50), (80, 100))
    y, x = np.mgrid[0:34, 0:54]
    assert (double[..., 0] - y == 6).all() and (double[..., 1] - x == 6).all()


def test_a_vote_of_one_piece_is_that_piece_whatever_the_costs(small):
    photo = small()
    field = np.stack([*(np.mgrid[0:20, 0:30] + 11), np.zeros((20, 30), int)], 2).astype(np.int16)
    for cost in (np.zeros((20, 30), np.int32), np.full((20, 30), 2**31 - 1, np.int32)):
        np.testing.assert_array_equal(vote(sources_of(photo, False), field, cost), photo[11:37, 11:47])


def test_without_costs_all_patches_of_a_vote_count_alike(small):
    sources, field = sources_of(small(), False), random_field((26, 36), (64, 96), 0, False)
    same, other = (np.full((20, 30), 7, np.int32) for _ in range(2))
    other[:, :15] = 99
    np.testing.assert_array_equal(vote(sources, field), vote(sources, field, same))
    assert (vote(sources, field) != vote(sources, field, other)).any()


@pytest.mark.parametrize("mirror", [False, True])
def test_same_bits_without_numba_and_on_two_threads(small, otherwise, mirror):
    photo, query = small("picos-de-europa"), small()
    distance = Distance(mirror=mirror)
    field = random_field(query.shape[:2], photo.shape[:2], 2**62 + 5, mirror)
    price = reuse_price(field, contrast(photo), 1 + mirror, 0.5)
    arguments = (query, sources_of(photo, mirror), field, distance)
    settings = {"price": price, "radii": RADII, "seed": 2**62 + 5, "turn": 3}
    expected, cost = sweep(*arguments, **settings)
    found, costs = otherwise(sweep, *arguments, **settings)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(costs, cost)
    sources = sources_of(photo, mirror)
    np.testing.assert_array_equal(otherwise(vote, sources, found, costs), vote(sources, expected, cost))


def test_random_bits_are_splitmix_and_one_function():
    compiled = pytest.importorskip("ourgan.projection.compiled_search")
    y, x = np.array([0, 1, 70000, 3]), np.array([5, 0, 123, 3])
    for seed, turn, draw in ((0, 0, 0), (2**63 - 1, 100000, 129)):
        bits = plain_search.mixed(seed, turn, y, x, draw)
        assert [compiled.mixed(seed, turn, *at, draw) for at in zip(y, x, strict=True)] == bits.tolist()
        assert len(set(bits.tolist())) == 4
    values = plain_search.within(np.arange(0, 2**32, 2**20, dtype=np.uint64), 3)
    assert np.bincount(values + 3).min() > 500 and set(values.tolist()) == set(range(-3, 4))
