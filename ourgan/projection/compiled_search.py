"""The loops of the search and of the vote, compiled by numba; `plain_search` is the same in numpy.

Pictures are uint8 arrays (height, 3 * width), several of one size (sources, height, 3 * width). A field is
an int16 array (height, width, 3): for the upper left corner of every patch of the query the row, the column
and the source of the upper left corner of its match. Every function fills rows `first` to `last` of its
output and reads nothing that another row writes, so any number of threads gives the same bits.
"""

# numba takes the types from the arguments of a call.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

PATCH = 7

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function at its first call, to run without the interpreter's lock; kept on disk."""
    njit: Any = numba.njit
    try:
        result: Any = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no directory can be written: compiled once in each process
        return cast(Function, njit(nogil=True)(function))
    keep = result._cache.save_overload

    def keep_if_possible(*arguments: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk
            keep(*arguments)

    result._cache.save_overload = keep_if_possible
    return cast(Function, result)


@compiled
def mixed(seed, turn, y, x, draw):
    """Return 64 random bits of a position and a turn (a counter through the finaliser of splitmix64)."""
    bits = (np.uint64(y) << np.uint64(32) | np.uint64(x)) * np.uint64(0x9E3779B97F4A7C15)
    bits += np.uint64(turn) * np.uint64(0xD1B54A32D192ED03) + np.uint64(draw) * np.uint64(0x8CB92BA72F3D8DD7)
    bits += np.uint64(seed)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@compiled
def within(bits, radius):
    """Return a whole number from -radius to radius made from 32 random bits."""
    return np.int64(bits * np.uint64(2 * radius + 1) >> np.uint64(32)) - np.int64(radius)


@compiled
def squares(query, source, y, x, v, u, most):
    """Return the sum of squared differences of two patches, or a number >= `most` once it has come so far."""
    total = np.int32(0)
    for i in range(PATCH):
        row = np.int32(0)
        for j in range(PATCH * 3):
            d = np.int16(np.int16(query[y + i, x * 3 + j]) - np.int16(source[v + i, u * 3 + j]))
            row = np.int32(row + np.int32(np.int32(d) * np.int32(d)))
        total = np.int32(total + row)
        if total >= most:
            break
    return total


@compiled
def beside(old, y, x, v, u, s, alone):
    """Return `alone` for every one of four neighbours whose match does not continue this one."""
    height, width = old.shape[:2]
    cost = np.int64(0)
    if y > 0 and (old[y - 1, x, 0] + 1 != v or old[y - 1, x, 1] != u or old[y - 1, x, 2] != s):
        cost += alone
    if y + 1 < height and (old[y + 1, x, 0] - 1 != v or old[y + 1, x, 1] != u or old[y + 1, x, 2] != s):
        cost += alone
    if x > 0 and (old[y, x - 1, 0] != v or old[y, x - 1, 1] + 1 != u or old[y, x - 1, 2] != s):
        cost += alone
    if x + 1 < width and (old[y, x + 1, 0] != v or old[y, x + 1, 1] - 1 != u or old[y, x + 1, 2] != s):
        cost += alone
    return cost


@compiled
def page_of(x, reuse):
    """Return which prices are for a column of the query: its page's, half the photo's width apart."""
    step = max(1, reuse.shape[3] // 2)
    return min(max((x - step // 2) // step, 0), len(reuse) - 1)


@compiled
def penalty(old, y, x, v, u, s, query_rows, key_rows, vertical, reuse, alone):
    """Return what a match costs beside its pixels: its height, its use elsewhere, standing alone."""
    apart = np.int64(query_rows[y]) - np.int64(key_rows[v])
    height = np.int64(vertical) * apart * apart >> np.int64(24)
    return height + np.int64(reuse[page_of(x, reuse), s, v, u]) + beside(old, y, x, v, u, s, alone)


@compiled
def strayed(v, u, s, reuse, radius, seed, turn, y, x, draw):
    """Return a random match at most `radius` from another, one in four in the other source where there is."""
    tall, wide = reuse.shape[2:]
    bits = mixed(seed, turn, y, x, draw)
    v = min(max(v + within(bits & np.uint64(0xFFFFFFFF), radius), 0), tall - 1)
    u = min(max(u + within(bits >> np.uint64(32), radius), 0), wide - 1)
    if reuse.shape[1] > 1 and mixed(seed, turn, y, x, draw + 64) < np.uint64(1 << 62):
        return v, wide - 1 - u, 1 - s
    return v, u, s


@compiled
def sweep(
    first, last, query, sources, old, field, cost, query_rows, key_rows, vertical, reuse, alone, steps, radii,
    seed, turn,
):  # fmt: skip
    """Try for every patch the matches of its neighbours, shifted, and then random ones about the best.

    PatchMatch (Barnes et al. 2009) with all neighbours read from the field `old`, so that the order of the
    patches does not count; `steps`: how far away neighbours are asked; `radii`: of the random search.
    """
    height, width = old.shape[:2]
    tall, wide = reuse.shape[2:]
    count = 4 * len(steps)
    for y in range(first, last):
        for x in range(width):
            v, u, s = np.int64(old[y, x, 0]), np.int64(old[y, x, 1]), np.int64(old[y, x, 2])
            best = penalty(old, y, x, v, u, s, query_rows, key_rows, vertical, reuse, alone)
            best += np.int64(squares(query, sources[s], y, x, v, u, np.int32(2147483647)))
            for candidate in range(count + len(radii)):
                if candidate < count:
                    step, side = steps[candidate // 4], candidate % 4
                    dy = step if side == 0 else (-step if side == 1 else 0)
                    dx = step if side == 2 else (-step if side == 3 else 0)
                    if y + dy < 0 or y + dy >= height or x + dx < 0 or x + dx >= width:
                        continue
                    cv = np.int64(old[y + dy, x + dx, 0]) - dy
                    cu = np.int64(old[y + dy, x + dx, 1]) - dx
                    cs = np.int64(old[y + dy, x + dx, 2])
                else:
                    draw = candidate - count
                    cv, cu, cs = strayed(v, u, s, reuse, radii[draw], seed, turn, y, x, draw)
                if cv < 0 or cv >= tall or cu < 0 or cu >= wide or (cv == v and cu == u and cs == s):
                    continue
                extra = penalty(old, y, x, cv, cu, cs, query_rows, key_rows, vertical, reuse, alone)
                if extra < best:
                    now = extra + np.int64(squares(query, sources[cs], y, x, cv, cu, np.int32(best - extra)))
                    if now < best:
                        best, v, u, s = now, cv, cu, cs
            field[y, x, 0], field[y, x, 1], field[y, x, 2] = v, u, s
            cost[y, x] = best


@compiled
def vote(first, last, field, weight, window, sources, picture):
    """Make every pixel the weighted mean of what the patches over it show; weights are whole numbers."""
    height, width = field.shape[:2]
    for y in range(first, last):
        for x in range(width + PATCH - 1):
            total = red = green = blue = np.int64(0)
            for i in range(max(0, y - height + 1), min(PATCH, y + 1)):
                for j in range(max(0, x - width + 1), min(PATCH, x + 1)):
                    w = np.int64(weight[y - i, x - j]) * window[i] * window[j]
                    v = np.int64(field[y - i, x - j, 0]) + i
                    u = 3 * (np.int64(field[y - i, x - j, 1]) + j)
                    s = field[y - i, x - j, 2]
                    total += w
                    red += w * sources[s, v, u]
                    green += w * sources[s, v, u + 1]
                    blue += w * sources[s, v, u + 2]
            picture[y, 3 * x] = (red + total // 2) // total
            picture[y, 3 * x + 1] = (green + total // 2) // total
            picture[y, 3 * x + 2] = (blue + total // 2) // total
