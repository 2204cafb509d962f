"""The loops that join pieces and gather pixels, compiled by numba; `plain_carry` is the same in numpy.

Labels are an int16 array (h, w, 3): for every pixel the way to the photo's pixel that it shows (rows,
columns) and the source (1: the mirrored photo). Loops that work in place do so on one colour of a chess
board, whose pixels read only the other colour, so that any number of threads gives the same bits.
"""

# numba takes the types from the arguments of a call.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from ourgan.projection.compiled_search import compiled

ONE = 1 << 16  # a seam that is open, in `seams` and `relax`
LEVEL = 4096  # parts of an 8-bit level there


@compiled
def apart(sources, y, x, first, second):
    """Return the squared difference of what two labels show at one pixel."""
    tall, wide = sources.shape[1], sources.shape[2] // 3
    v = min(max(y + np.int64(first[0]), 0), tall - 1)
    u = min(max(x + np.int64(first[1]), 0), wide - 1)
    w = min(max(y + np.int64(second[0]), 0), tall - 1)
    t = min(max(x + np.int64(second[1]), 0), wide - 1)
    total = np.int64(0)
    for k in range(3):
        d = np.int64(sources[first[2], v, 3 * u + k]) - np.int64(sources[second[2], w, 3 * t + k])
        total += d * d
    return total


@compiled
def same(first, second):
    """Return whether two labels are one."""
    return first[0] == second[0] and first[1] == second[1] and first[2] == second[2]


@compiled
def within(labels, y, x):
    """Return whether a pixel's four neighbours have its label, so that nothing can change."""
    height, width = labels.shape[:2]
    for k in range(3):  # number by number: a view of a label costs more than the comparison
        one = labels[y, x, k]
        if (y > 0 and labels[y - 1, x, k] != one) or (y + 1 < height and labels[y + 1, x, k] != one):
            return False
        if (x > 0 and labels[y, x - 1, k] != one) or (x + 1 < width and labels[y, x + 1, k] != one):
            return False
    return True


@compiled
def cut(first, last, colour, sources, target, labels, length):
    """Give every pixel of one colour the label of those about it that has the least energy, in place.

    Energy: |photo - target|^2, and for each of four neighbours with another label `length` and the squared
    differences of what the two labels show at both pixels (graph-cut textures, Kwatra et al. 2003).
    """
    height, width = labels.shape[:2]
    tall, wide = sources.shape[1], sources.shape[2] // 3
    best = np.empty(3, np.int16)
    for y in range(first, last):
        for x in range((y + colour) % 2, width, 2):
            if within(labels, y, x):
                continue
            least = np.int64(1) << np.int64(60)
            for i in range(5):
                cy = y + (1 if i == 1 else 0) - (1 if i == 2 else 0)
                cx = x + (1 if i == 3 else 0) - (1 if i == 4 else 0)
                if cy < 0 or cy >= height or cx < 0 or cx >= width:
                    continue
                label = labels[cy, cx]
                if i > 0 and same(label, labels[y, x]):
                    continue
                v, u = y + np.int64(label[0]), x + np.int64(label[1])
                if v < 0 or v >= tall or u < 0 or u >= wide:
                    continue
                energy = np.int64(0)
                for k in range(3):
                    d = np.int64(sources[label[2], v, 3 * u + k]) - np.int64(target[y, 3 * x + k])
                    energy += d * d
                for j in range(4):
                    ny = y + (1 if j == 0 else 0) - (1 if j == 1 else 0)
                    nx = x + (1 if j == 2 else 0) - (1 if j == 3 else 0)
                    if ny < 0 or ny >= height or nx < 0 or nx >= width or same(labels[ny, nx], label):
                        continue
                    energy += length + apart(sources, y, x, label, labels[ny, nx])
                    energy += apart(sources, ny, nx, label, labels[ny, nx])
                if energy < least:
                    least = energy
                    best[0], best[1], best[2] = label[0], label[1], label[2]
            labels[y, x, 0], labels[y, x, 1], labels[y, x, 2] = best[0], best[1], best[2]


@compiled
def seams(first, last, labels, stride, smooth, limit, right, below, right_open, below_open):
    """Measure the step across every seam in the smoothed photo, twice over: to the right and below.

    `labels`: every `stride`-th, from `stride` // 2 on. `right`, `below`: (h, w, 3) int32, what the neighbour
    is brighter by, in 1 / LEVEL; `right_open`, `below_open`: (h, w) int32, ONE within a piece, less the
    larger the step and 0 from `limit` levels on, where something ends and is no fault.
    """
    height, width = labels.shape[:2]
    tall, wide = smooth.shape[1], smooth.shape[2] // 3
    half = stride // 2
    for y in range(first, last):
        for x in range(width):
            for side in range(2):
                ny, nx = y + side, x + 1 - side
                step = below if side else right
                opened = below_open if side else right_open
                step[y, x, 0], step[y, x, 1], step[y, x, 2] = 0, 0, 0
                opened[y, x] = ONE if ny < height and nx < width else 0
                if ny >= height or nx >= width or same(labels[y, x], labels[ny, nx]):
                    continue
                one, two = labels[y, x], labels[ny, nx]
                largest = np.int64(0)
                for k in range(3):
                    total = np.int64(0)
                    for end in range(2):
                        py = (ny if end else y) * stride + half
                        px = (nx if end else x) * stride + half
                        v = min(max(py + np.int64(two[0]), 0), tall - 1)
                        u = min(max(px + np.int64(two[1]), 0), wide - 1)
                        total += smooth[two[2], v, 3 * u + k]
                        v = min(max(py + np.int64(one[0]), 0), tall - 1)
                        u = min(max(px + np.int64(one[1]), 0), wide - 1)
                        total -= smooth[one[2], v, 3 * u + k]
                    step[y, x, k] = total * (LEVEL // 2)
                    largest = max(largest, abs(total))
                opened[y, x] = max(np.int64(0), ONE - ONE * largest * largest // (4 * limit * limit))


@compiled
def relax(first, last, colour, keep, right, below, right_open, below_open, added):
    """Move what is added to pixels of one colour towards steps of 0 across open seams, in place.

    Half a step of Gauss and Seidel for sum of open * (added difference - step)^2 + keep * added^2.
    """
    width = added.shape[1]
    for y in range(first, last):
        for x in range((y + colour) % 2, width, 2):
            east = np.int64(right_open[y, x])
            west = np.int64(right_open[y, x - 1]) if x > 0 else np.int64(0)
            south = np.int64(below_open[y, x])
            north = np.int64(below_open[y - 1, x]) if y > 0 else np.int64(0)
            weight = keep + east + west + south + north
            for k in range(3):
                total = np.int64(0)
                if east > 0:
                    total += east * (np.int64(added[y, x + 1, k]) + right[y, x, k])
                if west > 0:
                    total += west * (np.int64(added[y, x - 1, k]) - right[y, x - 1, k])
                if south > 0:
                    total += south * (np.int64(added[y + 1, x, k]) + below[y, x, k])
                if north > 0:
                    total += north * (np.int64(added[y - 1, x, k]) - below[y - 1, x, k])
                added[y, x, k] = (2 * total + weight) // (2 * weight)
