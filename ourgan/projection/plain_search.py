"""The functions of `compiled_search` in numpy: the same bits, five to twenty times as slow.

They serve where numba is missing, and its tests: two ways of writing one search must agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]

PATCH = 7
PIECE = 8192  # patches at a time: 1.2 million numbers each of query and source
WORD = np.uint64(0xFFFFFFFF)


def mixed(seed: int, turn: int, y: Array, x: Array, draw: int) -> Array:
    """Return 64 random bits of positions and a turn, as `compiled_search.mixed`."""
    with np.errstate(over="ignore"):  # the products wrap around, as they must
        bits = (y.astype(np.uint64) << np.uint64(32) | x.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        bits = bits + np.uint64(turn * 0xD1B54A32D192ED03 & 2**64 - 1)
        bits = bits + np.uint64((draw * 0x8CB92BA72F3D8DD7 + seed) & 2**64 - 1)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def within(bits: Array, radius: int) -> Array:
    """Return whole numbers from -radius to radius made from 32 random bits each."""
    return (bits * np.uint64(2 * radius + 1) >> np.uint64(32)).astype(np.int64) - radius


def squares(query: Array, sources: Array, y: Array, x: Array, v: Array, u: Array, s: Array) -> Array:
    """Return the sums of squared differences of patches (N,), int64."""
    asked = sliding_window_view(query, (PATCH, 3 * PATCH))
    found = sliding_window_view(sources, (PATCH, 3 * PATCH), axis=(1, 2))
    total = np.empty(len(y), np.int64)
    for start in range(0, len(y), PIECE):
        part = slice(start, start + PIECE)
        apart = asked[y[part], 3 * x[part]].astype(np.int32) - found[s[part], v[part], 3 * u[part]]
        total[part] = (apart * apart).sum((1, 2))
    return total


def beside(old: Array, y: Array, x: Array, v: Array, u: Array, s: Array, alone: int) -> Array:
    """Return `alone` for every one of four neighbours whose match does not continue this one."""
    height, width = old.shape[:2]
    cost = np.zeros(len(y), np.int64)
    for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        ny, nx = np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)
        other = old[ny, nx].astype(np.int64)
        apart = (other[:, 0] - dy != v) | (other[:, 1] - dx != u) | (other[:, 2] != s)
        cost += alone * (apart & (ny == y + dy) & (nx == x + dx))
    return cost


def strayed(
    found: Array, reuse: Array, radius: int, seed: int, turn: int, y: Array, x: Array, draw: int
) -> Array:
    """Return random matches at most `radius` from others, one in four in the other source where there is."""
    tall, wide = reuse.shape[2:]
    bits, candidate = mixed(seed, turn, y, x, draw), found.copy()
    candidate[:, 0] = np.clip(found[:, 0] + within(bits & WORD, radius), 0, tall - 1)
    candidate[:, 1] = np.clip(found[:, 1] + within(bits >> np.uint64(32), radius), 0, wide - 1)
    if reuse.shape[1] > 1:
        turned = mixed(seed, turn, y, x, draw + 64) < np.uint64(1 << 62)
        candidate[turned, 2] = 1 - candidate[turned, 2]
        candidate[turned, 1] = wide - 1 - candidate[turned, 1]
    return candidate


def sweep(
    first: int, last: int, query: Array, sources: Array, old: Array, field: Array, cost: Array,
    query_rows: Array, key_rows: Array, vertical: int, reuse: Array, alone: int, steps: Array, radii: Array,
    seed: int, turn: int,
) -> None:  # fmt: skip
    """Try for every patch the matches of its neighbours, shifted, and then random ones about the best."""
    height, width = old.shape[:2]
    tall, wide = reuse.shape[2:]
    y, x = (axis.ravel() for axis in np.mgrid[first:last, 0:width])
    found = old[y, x].astype(np.int64)
    step = max(1, wide // 2)
    page = np.clip((x - step // 2) // step, 0, len(reuse) - 1)

    def penalty(at: Array, v: Array, u: Array, s: Array) -> Array:
        apart = query_rows[y[at]].astype(np.int64) - key_rows[v]
        height = vertical * apart * apart >> 24
        return height + reuse[page[at], s, v, u] + beside(old, y[at], x[at], v, u, s, alone)

    everywhere = np.arange(len(y))
    best = penalty(everywhere, *found.T) + squares(query, sources, y, x, *found.T)

    def attempt(candidate: Array, valid: Array) -> None:
        valid = valid & (candidate >= 0).all(1) & (candidate[:, 0] < tall) & (candidate[:, 1] < wide)
        at = np.flatnonzero(valid & (candidate != found).any(1))
        extra = penalty(at, *candidate[at].T)
        at, extra = at[extra < best[at]], extra[extra < best[at]]
        now = extra + squares(query, sources, y[at], x[at], *candidate[at].T)
        at, now = at[now < best[at]], now[now < best[at]]
        best[at], found[at] = now, candidate[at]

    for step in steps:
        for dy, dx in ((step, 0), (-step, 0), (0, step), (0, -step)):
            ny, nx = np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)
            attempt(old[ny, nx] - np.array([dy, dx, 0], np.int64), (ny == y + dy) & (nx == x + dx))
    for draw, radius in enumerate(radii):
        attempt(strayed(found, reuse, int(radius), seed, turn, y, x, draw), np.ones(len(y), bool))
    field[first:last], cost[first:last] = found.reshape(-1, width, 3), best.reshape(-1, width)


def vote(
    first: int, last: int, field: Array, weight: Array, window: Array, sources: Array, picture: Array
) -> None:
    """Make every pixel the weighted mean of what the patches over it show; weights are whole numbers."""
    height, width = field.shape[:2]
    pixels = sources.reshape(*sources.shape[:2], -1, 3)
    total = np.zeros((last - first, width + PATCH - 1, 1), np.int64)
    colours = np.zeros((last - first, width + PATCH - 1, 3), np.int64)
    for i in range(PATCH):
        # Patches whose row i lies between `first` and `last`.
        top, bottom = max(0, first - i), min(height, last - i)
        if top >= bottom:
            continue
        rows = slice(top + i - first, bottom + i - first)
        v, u, s = (field[top:bottom, :, k].astype(np.int64) for k in range(3))
        for j in range(PATCH):
            w = (weight[top:bottom].astype(np.int64) * window[i] * window[j])[..., None]
            total[rows, j : j + width] += w
            colours[rows, j : j + width] += w * pixels[s, v + i, u + j]
    picture[first:last] = ((colours + total // 2) // total).reshape(last - first, -1)
