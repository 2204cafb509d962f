"""The noise field: the same for every window, and normal."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ourgan.upscale import noise
from ourgan.upscale.noise import noise_field


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(
    counter: tuple[int, int, int, int], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    c0, c1, c2, c3 = (torch.tensor([word]) for word in counter)
    assert tuple(int(word) for word in noise.philox((c0, c1, c2, c3), key)) == expected


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**64 - 1),
    step=st.integers(1, 4),
    top=st.integers(0, 2**31),
    left=st.integers(0, 2**31),
    data=st.data(),
)
def test_window_equals_the_window_of_the_whole(
    seed: int, step: int, top: int, left: int, data: st.DataObject
) -> None:
    height, width = data.draw(st.integers(1, 23)), data.draw(st.integers(1, 37))
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    h, w = data.draw(st.integers(1, height - y)), data.draw(st.integers(1, width - x))
    whole = noise_field(seed, step, height, width, top=top, left=left)
    window = noise_field(seed, step, h, w, top=top + y, left=left + x)
    assert torch.equal(window, whole[:, y : y + h, x : x + w])


def test_chunks_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = noise_field(5, 2, 301, 127)
    monkeypatch.setattr(noise, "CHUNK", 1000)
    assert torch.equal(noise_field(5, 2, 301, 127), whole)
    monkeypatch.setattr(noise, "CHUNK", 1)
    assert torch.equal(noise_field(5, 2, 301, 127), whole)


def test_columns_one_by_one_equal_the_whole_far_from_the_origin() -> None:
    # Single elements run through a kernel's scalar remainder, the whole through its vectors.
    top, left = 2**32 - 40, 2**32 - 300
    whole = noise_field(2**64 - 1, 4, 3, 67, top=top, left=left)
    columns = [noise_field(2**64 - 1, 4, 3, 1, top=top, left=left + x) for x in range(67)]
    assert torch.equal(torch.cat(columns, dim=2), whole)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_equals_cpu() -> None:
    assert torch.equal(noise_field(9, 3, 201, 333, device="cuda").cpu(), noise_field(9, 3, 201, 333))


def test_values_are_those_of_box_and_muller_with_the_library_functions() -> None:
    first = torch.randint(0, 2**32, (5000,), generator=torch.Generator().manual_seed(0))
    first[:2] = torch.tensor([0, 2**32 - 1])
    second = torch.randint(0, 2**32, (5000,), generator=torch.Generator().manual_seed(1))
    radius = (-2 * ((first.double() + 0.5) / 2**32).log()).sqrt()
    angle = (second.double() + 0.5) / 2**32 * 2 * math.pi
    ours = torch.stack(noise._box_muller(first, second))
    assert torch.equal(ours.abs() <= radius, torch.ones(2, 5000, dtype=torch.bool))
    # The same circle, begun an eighth of a turn earlier.
    theirs = radius * torch.stack([(angle - math.pi / 4).cos(), (angle - math.pi / 4).sin()])
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_field_is_standard_normal(channel: int) -> None:
    field = noise_field(11, 3, 700, 700)[channel].double()
    n = field.numel()
    assert abs(field.mean()) < 4 / math.sqrt(n)
    assert abs(field.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((field**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((field**4).mean() - 3) < 4 * math.sqrt(96 / n)
    # Kolmogorov-Smirnov distance to the normal distribution; 1.95 / sqrt(n) is exceeded once in 1,000.
    normal = torch.special.ndtr(field.flatten().sort().values)
    distance = (normal - (torch.arange(n) + 0.5) / n).abs().max()
    assert distance < 1.95 / math.sqrt(n)
    assert 4 < field.abs().max() < 6.8


def test_nothing_is_correlated_with_its_neighbours() -> None:
    field = noise_field(12, 2, 500, 500)
    bound = 4.5 / math.sqrt(500 * 500)

    def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
        return abs(float((a * b).mean()))

    for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 2), (0, 64), (64, 0)):
        shifted = field.roll((-dy, -dx), dims=(1, 2))
        assert correlation(field[:, : 500 - dy, : 500 - dx], shifted[:, : 500 - dy, : 500 - dx]) < bound
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert correlation(field[a], field[b]) < bound
        assert correlation(field[a] ** 2 - 1, field[b] ** 2 - 1) < 2 * bound
    others = {
        "seed": noise_field(13, 2, 500, 500),
        "high word of the seed": noise_field(12 + 2**32, 2, 500, 500),
        "step": noise_field(12, 3, 500, 500),
        "transposed": field.transpose(1, 2),
    }
    for name, other in others.items():
        assert correlation(field, other) < bound, name
