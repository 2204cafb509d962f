"""The functions of `compiled_carry` in numpy: the same bits, slower."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ONE = 1 << 16
LEVEL = 4096
PARTS = 64
SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))


def _shown(sources: Array, y: Array, x: Array, label: Array) -> Array:
    """Return what labels (N, 3) show at pixels (N,): (N, 3) int64, the photo's border continued."""
    v = np.clip(y + label[:, 0], 0, sources.shape[1] - 1)
    u = np.clip(x + label[:, 1], 0, sources.shape[2] // 3 - 1)
    return sources.reshape(*sources.shape[:2], -1, 3)[label[:, 2], v, u].astype(np.int64)


def _square(first: Array, second: Array) -> Array:
    return ((first - second) ** 2).sum(1)


def _moved(y: Array, x: Array, dy: int, dx: int, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Return positions beside others, clamped, and whether they are inside."""
    ny, nx = np.clip(y + dy, 0, shape[0] - 1), np.clip(x + dx, 0, shape[1] - 1)
    return ny, nx, (ny == y + dy) & (nx == x + dx)


def _chess(first: int, last: int, colour: int, width: int) -> tuple[Array, Array]:
    y, x = (axis.ravel() for axis in np.mgrid[first:last, 0:width])
    chosen = (y + x) % 2 == colour
    return y[chosen], x[chosen]


def cut(
    first: int, last: int, colour: int, sources: Array, target: Array, labels: Array, length: int
) -> None:
    """Give every pixel of one colour the label of those about it that has the least energy, in place."""
    y, x = _chess(first, last, colour, labels.shape[1])
    own = labels[y, x].astype(np.int64)
    wanted = target.reshape(len(target), -1, 3)[y, x].astype(np.int64)
    beside = [(*_moved(y, x, dy, dx, labels.shape),) for dy, dx in SIDES]
    others = [labels[ny, nx].astype(np.int64) for ny, nx, _ in beside]
    best, least = own.copy(), np.full(len(y), 1 << 60)
    for label, allowed in [
        (own, np.ones(len(y), bool)),
        *((o, b[2]) for o, b in zip(others, beside, strict=True)),
    ]:
        v, u = y + label[:, 0], x + label[:, 1]
        allowed = allowed & (v >= 0) & (v < sources.shape[1]) & (u >= 0) & (u < sources.shape[2] // 3)
        energy = _square(_shown(sources, y, x, label), wanted)
        for other, (ny, nx, inside) in zip(others, beside, strict=True):
            step = length + _square(_shown(sources, y, x, label), _shown(sources, y, x, other))
            step += _square(_shown(sources, ny, nx, label), _shown(sources, ny, nx, other))
            energy += step * (inside & (other != label).any(1))
        better = allowed & (energy < least)
        best[better], least[better] = label[better], energy[better]
    labels[y, x] = best


def seams(
    first: int, last: int, labels: Array, stride: int, smooth: Array, limit: int,
    right: Array, below: Array, right_open: Array, below_open: Array,
) -> None:  # fmt: skip
    """Measure the step across every seam in the smoothed photo, to the right and below."""
    y, x = (axis.ravel() for axis in np.mgrid[first:last, 0 : labels.shape[1]])
    one = labels[y, x].astype(np.int64)
    for dy, dx, step, opened in ((0, 1, right, right_open), (1, 0, below, below_open)):
        ny, nx, inside = _moved(y, x, dy, dx, labels.shape)
        two = labels[ny, nx].astype(np.int64)
        total = np.zeros((len(y), 3), np.int64)
        for py, px in ((y, x), (ny, nx)):
            at = py * stride + stride // 2, px * stride + stride // 2
            total += _shown(smooth, *at, two) - _shown(smooth, *at, one)
        crossed = inside & (one != two).any(1)
        total *= crossed[:, None]
        largest = np.abs(total).max(1)
        value = np.maximum(0, ONE - ONE * largest * largest // (4 * limit * limit)) * inside
        step[y, x], opened[y, x] = total * (LEVEL // 2), value


def relax(
    first: int, last: int, colour: int, keep: int,
    right: Array, below: Array, right_open: Array, below_open: Array, added: Array,
) -> None:  # fmt: skip
    """Move what is added to pixels of one colour towards steps of 0 across open seams, in place."""
    y, x = _chess(first, last, colour, added.shape[1])
    weight, total = np.full(len(y), keep, np.int64), np.zeros((len(y), 3), np.int64)
    for (dy, dx), step, opened in zip(
        SIDES, (below, below, right, right), 2 * (below_open,) + 2 * (right_open,), strict=True
    ):
        ny, nx, inside = _moved(y, x, dy, dx, added.shape)
        sign = dy + dx
        # A seam is kept with the pixel above or left of it.
        at = (y, x) if sign > 0 else (ny, nx)
        w = opened[at].astype(np.int64) * inside
        weight += w
        total += w[:, None] * (added[ny, nx].astype(np.int64) + sign * step[at].astype(np.int64))
    added[y, x] = (2 * total + weight[:, None]) // (2 * weight[:, None])


def _spline(at: Array, factor: int) -> Array:
    a = 2 * (at % factor) + 1
    outer = (2 * factor - a) ** 2, a * a
    return np.stack([outer[0], 8 * factor * factor - outer[0] - outer[1], outer[1]])


def gather(
    first: int, last: int, top: int, left: int, factor: int,
    labels: Array, added: Array, photo: Array, picture: Array,
) -> None:  # fmt: skip
    """Fill rows of the window at (top, left): the photo's pixels and what is added to them."""
    for row in range(first, last, max(1, (1 << 16) // max(1, picture.shape[1]))):
        end = min(last, row + max(1, (1 << 16) // max(1, picture.shape[1])))
        y, x = (axis.ravel() for axis in np.mgrid[top + row : top + end, left : left + picture.shape[1] // 3])
        picture[row:end] = _gathered(y, x, factor, labels, added, photo).reshape(end - row, -1)


def _gathered(y: Array, x: Array, factor: int, labels: Array, added: Array, photo: Array) -> Array:
    whole = (8 * factor * factor) ** 2
    cells = [
        (
            np.clip(y // factor + i - 1, 0, labels.shape[0] - 1),
            np.clip(x // factor + j - 1, 0, labels.shape[1] - 1),
        )
        for i in range(3)
        for j in range(3)
    ]
    wy, wx = _spline(y, factor), _spline(x, factor)
    names = [labels[cell].astype(np.int64) for cell in cells]
    number = np.zeros((9, len(y)), np.int64)  # of the first cell that has the same label
    for n in range(9):
        number[n] = n
        for earlier in range(n - 1, -1, -1):
            number[n] = np.where((names[earlier] == names[n]).all(1), earlier, number[n])
    share, extra = np.zeros((9, len(y)), np.int64), np.zeros((9, len(y), 3), np.int64)
    at = np.arange(len(y))
    for n, cell in enumerate(cells):
        w = wy[n // 3] * wx[n % 3]
        share[number[n], at] += w
        extra[number[n], at] += w[:, None] * added[cell]
    alone = (number == 0).all(0)
    total, colours = np.zeros((len(y), 1), np.int64), np.zeros((len(y), 3), np.int64)
    tall, wide = photo.shape[0], photo.shape[1] // 3
    for n in range(9):
        w = share[n] * 1024 // whole
        w = np.where(alone, int(n == 0), w * w * w >> 14)[:, None]
        v = np.clip(y + names[n][:, 0] * factor, 0, tall - 1)
        u = np.clip(x + names[n][:, 1] * factor, 0, wide - 1)
        u = np.where(names[n][:, 2] == 1, wide - 1 - u, u)
        shown = PARTS * photo.reshape(tall, wide, 3)[v, u].astype(np.int64)
        colours += w * (shown + extra[n] // np.maximum(1, share[n])[:, None])
        total += PARTS * w
    return np.clip((colours + total // 2) // total, 0, 255)
