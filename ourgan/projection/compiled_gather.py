"""The loop that gathers pixels from the photo, compiled by numba; `plain_carry` has it in numpy."""

# numba takes the types from the arguments of a call.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from ourgan.projection.compiled_search import compiled

PARTS = 64  # parts of an 8-bit level in what is added to pieces


@compiled
def spline(at, factor, weights):
    """Put the quadratic B-spline's weights of three cells into `weights`; they sum to 8 * factor^2."""
    a = 2 * (at % factor) + 1
    weights[0], weights[2] = (2 * factor - a) * (2 * factor - a), a * a
    weights[1] = 8 * factor * factor - weights[0] - weights[2]


@compiled
def cells_about(labels, y, cx, factor, rows, columns, name, number):
    """Find the 3 x 3 cells about row `y` in cell column `cx`; return how many different labels they have.

    Fills `rows` and `columns` of the cells, `name` with the labels, and `number`: which one each cell has.
    """
    height, width = labels.shape[:2]
    count = 0
    for i in range(3):
        rows[i] = min(max(y // factor + i - 1, 0), height - 1)
        columns[i] = min(max(cx + i - 1, 0), width - 1)
    for i in range(3):
        for j in range(3):
            row, column = rows[i], columns[j]
            v, u, s = labels[row, column, 0], labels[row, column, 1], labels[row, column, 2]
            n = 0
            while n < count and not (name[n, 0] == v and name[n, 1] == u and name[n, 2] == s):
                n += 1
            if n == count:
                name[n, 0], name[n, 1], name[n, 2] = v, u, s
                count += 1
            number[i, j] = n
    return count


@compiled
def source_of(v, u, mirrored, tall, wide):
    """Return the row and the first number of the photo's pixel for a position, moved in where it must be."""
    v, u = min(max(v, 0), tall - 1), min(max(u, 0), wide - 1)
    return v, 3 * (wide - 1 - u if mirrored == 1 else u)


@compiled
def added_about(added, rows, columns, wy, summed):
    """Sum what is added over the rows of the cells: all that a pixel within a piece needs."""
    for j in range(3):
        for k in range(3):
            total = np.int64(0)
            for i in range(3):
                total += wy[i] * added[rows[i], columns[j], k]
            summed[j, k] = total


@compiled
def joined(y, x, factor, count, name, number, wy, wx, rows, columns, added, photo, share, extra, colour):
    """Put the colour of a pixel at a joint into `colour`: each label counts by the cube of its weight."""
    tall, wide = photo.shape[0], photo.shape[1] // 3
    whole = np.int64(8 * factor * factor)
    whole = whole * whole
    for n in range(count):
        share[n], extra[n, 0], extra[n, 1], extra[n, 2] = 0, 0, 0, 0
    for i in range(3):
        for j in range(3):
            n, w = number[i, j], wy[i] * wx[j]
            share[n] += w
            for k in range(3):
                extra[n, k] += w * added[rows[i], columns[j], k]
    total = np.int64(0)
    colour[0], colour[1], colour[2] = 0, 0, 0
    for n in range(count):
        w = share[n] * 1024 // whole
        w = w * w * w >> 14
        if w == 0:
            continue
        v, u = source_of(y + name[n, 0] * factor, x + name[n, 1] * factor, name[n, 2], tall, wide)
        for k in range(3):
            colour[k] += w * (PARTS * np.int64(photo[v, u + k]) + extra[n, k] // share[n])
        total += PARTS * w
    for k in range(3):
        colour[k] = (colour[k] + total // 2) // total


@compiled
def gather(first, last, top, left, factor, labels, added, photo, picture):
    """Fill rows of the window at (top, left): the photo's pixels and what is added to them.

    A pixel sees the 3 x 3 cells (of `factor` pixels) about it through a quadratic B-spline, which makes
    joints about half a cell wide and their line smooth.
    """
    across = picture.shape[1] // 3
    tall, wide = photo.shape[0], photo.shape[1] // 3
    whole = np.int64(8 * factor * factor)
    whole = whole * whole
    wy, wx = np.empty(3, np.int64), np.empty(3, np.int64)
    rows, columns = np.empty(3, np.int64), np.empty(3, np.int64)
    number, name = np.empty((3, 3), np.int64), np.empty((9, 3), np.int64)
    share, extra = np.empty(9, np.int64), np.empty((9, 3), np.int64)
    colour, summed = np.empty(3, np.int64), np.empty((3, 3), np.int64)
    for row in range(first, last):
        y = top + row
        spline(y, factor, wy)
        for cx in range(left // factor, (left + across - 1) // factor + 1):
            count = cells_about(labels, y, cx, factor, rows, columns, name, number)
            added_about(added, rows, columns, wy, summed)
            for x in range(max(left, cx * factor), min(left + across, (cx + 1) * factor)):
                spline(x, factor, wx)
                if count == 1:
                    v, u = source_of(y + name[0, 0] * factor, x + name[0, 1] * factor, name[0, 2], tall, wide)
                    for k in range(3):
                        more = (wx[0] * summed[0, k] + wx[1] * summed[1, k] + wx[2] * summed[2, k]) // whole
                        colour[k] = (PARTS * np.int64(photo[v, u + k]) + more + PARTS // 2) // PARTS
                else:
                    joined(
                        y, x, factor, count, name, number, wy, wx, rows, columns, added, photo, share, extra,
                        colour,
                    )  # fmt: skip
                for k in range(3):
                    picture[row, 3 * (x - left) + k] = min(max(colour[k], 0), 255)
