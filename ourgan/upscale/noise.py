"""Noise addressed by position: the z of Eq. 4 as a function, not as a stream of numbers.

The paper adds noise to the whole low-resolution image before it is split, so overlapping tiles
have to see the same noise. Here each value depends on (seed, step, channel, y, x) alone, whatever the
tiles, their order, the workers or the device.

Philox4x32-10 (Salmon et al. 2011) turns a position into 128 random bits, the method of Box and Muller
turns these into normal values. Logarithm, sine and cosine are spelt out in additions,
multiplications, divisions and square roots: IEEE 754 rounds these alike everywhere, whereas a library's
`cos` differs in the last bit between processors, and between the vectors of a row and its remainder.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

WORD = 0xFFFFFFFF
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
CHUNK = 1 << 18  # positions at a time: about 50 MB of intermediate results, whatever the size of the field

# Series about 0. The arguments stay below 0.172 (LOG), pi/4 (SINE, COSINE), so that what is left out is
# under 1e-10, less than a float32 can tell.
LOG = tuple(2 / k for k in (1, 3, 5, 7, 9, 11))  # log((1 + s) / (1 - s)) / s in s^2
SINE = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(6))  # sin(t) / t in t^2
COSINE = tuple((-1) ** k / math.factorial(2 * k) for k in range(7))  # cos(t) in t^2


def noise_field(
    seed: int,
    step: int,
    height: int,
    width: int,
    *,
    top: int = 0,
    left: int = 0,
    channels: int = 3,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "channels height width"]:
    """Return standard normal noise, float32: a pure function of (seed, step, channel, y, x).

    A window equals the same window of a larger field bit for bit, on any device that knows float64.

    Args:
        seed: taken modulo 2^64.
        step: the paper's step, 2 to 4, modulo 2^32, so that the steps draw independent noise.
        height: rows of the field.
        width: columns of the field.
        top: the first row, 0 to 2^32 - 1.
        left: the first column, 0 to 2^32 - 1.
        channels: of the field.
        device: where it is computed.
    """
    field = torch.empty(channels, height, width, device=device)
    x = torch.arange(left, left + width, device=device)
    rows = max(1, CHUNK // max(1, width))
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        y = torch.arange(top + start, top + stop, device=device)[:, None]
        for first in range(0, channels, 4):  # the four words of a counter make four channels
            counter = (x, y, torch.full_like(x, step & WORD), torch.full_like(x, first // 4))
            words = philox(counter, (seed & WORD, seed >> 32 & WORD))
            values = _box_muller(words[0], words[1]) + _box_muller(words[2], words[3])
            for channel, value in zip(range(first, channels), values, strict=False):
                field[channel, start:stop] = value
    return field


def add_noise(
    image: Float[Tensor, "3 h w"], seed: int, step: int, std: float, *, top: int = 0, left: int = 0
) -> Float[Tensor, "3 h w"]:
    """Return the image plus z of Eq. 4, as it is before it is split into tiles.

    Args:
        image: low resolution, in [0, 1].
        seed: of the picture.
        step: the paper's step, 2 to 4.
        std: standard deviation on the range of the image; with 0 the image itself is returned.
        top: row of the whole image at which this one lies, if it is a window of it.
        left: column of the same.
    """
    if not std:
        return image
    height, width = image.shape[1:]
    noise = noise_field(seed, step, height, width, top=top, left=left, device=image.device)
    return image + std * noise.to(image.dtype)


def scene_noise(
    seed: int, device: torch.device | str = "cpu"
) -> Callable[[int, int, int, int], Float[Tensor, "c h w"]]:
    """Return the noise of step 1 for one scene: a function `normal(scale, channels, height, width)`.

    The left part of a wider scene meets the noise of the narrow one.

    Args:
        seed: of the scene.
        device: where the noise is wanted.
    """

    def normal(scale: int, channels: int, height: int, width: int) -> Tensor:
        # Step 1 in the low byte, the scale above it: no step of super-resolution draws the same.
        return noise_field(seed, 1 + 256 * scale, height, width, channels=channels, device=device)

    return normal


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Return four 32-bit words for each counter of four words (Philox4x32-10), all in int64 tensors.

    Args:
        counter: four words, tensors of any shapes that go together.
        key: two words.
    """
    c0, c1, c2, c3 = counter
    for index in range(ROUNDS):
        k0, k1 = ((word + index * step) & WORD for word, step in zip(key, KEY_STEPS, strict=True))
        # The 64-bit products wrap around in int64, which keeps their bits: only the reading is signed.
        product0, product1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (product1 >> 32 & WORD) ^ c1 ^ k0,
            product1 & WORD,
            (product0 >> 32 & WORD) ^ c3 ^ k1,
            product0 & WORD,
        )
    return c0, c1, c2, c3


def _box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two independent standard normal values, float64, from two uniform 32-bit words each."""
    radius = (-2 * _log((first.double() + 0.5) / 2**32)).sqrt()
    # Two bits choose a quarter of the circle, the others an angle within it, between -45 and 45 degrees.
    quarter, angle = second >> 30, ((second & (WORD >> 2)).double() + 0.5) / 2**30
    angle = (angle - 0.5) * (math.pi / 2)
    squared = angle * angle
    sine, cosine = angle * _series(SINE, squared), _series(COSINE, squared)
    turned = (quarter & 1).bool()
    radius = radius * (1 - (quarter & 2))
    return radius * torch.where(turned, -sine, cosine), radius * torch.where(turned, cosine, sine)


def _log(value: Tensor) -> Tensor:
    mantissa, exponent = torch.frexp(value)  # in [0.5, 1)
    small = mantissa < math.sqrt(0.5)
    mantissa, exponent = torch.where(small, 2 * mantissa, mantissa), exponent.double() - small.double()
    ratio = (mantissa - 1) / (mantissa + 1)
    return ratio * _series(LOG, ratio * ratio) + exponent * math.log(2)


def _series(coefficients: tuple[float, ...], argument: Tensor) -> Tensor:
    total = torch.full_like(argument, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        # Two operations, never a fused one: fusing rounds once instead of twice.
        total = total * argument + coefficient
    return total
