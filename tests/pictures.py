"""Picture files and expectations that several tests share."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from ourgan.io.read import ImageError, read_image

PHOTO = Path(__file__).parents[1] / "data/photos/picos-de-europa.jpg"


def expected(array: np.ndarray, full_scale: int = 255) -> torch.Tensor:
    return torch.tensor(array.astype(np.float32) / full_scale).permute(2, 0, 1)


def refused(path: Path, words: str, **options) -> str:
    with pytest.raises(ImageError, match=words) as caught:
        read_image(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def png(array: np.ndarray, bits: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand, since Pillow writes no 16-bit colour. (H, W, C) with C of 1, 2, 3 or 4."""
    height, width, channels = array.shape
    rows = array.astype(">u2" if bits == 16 else "u1")
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, bits, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    all_chunks = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in all_chunks
    )


def deep(channels: int) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 65536, (9, 13, channels), dtype=np.uint16)


def blank_png(width: int, height: int) -> bytes:
    """A small file that claims to be a large grey picture of one bit."""
    data = png(np.zeros((1, 1, 1)), 8)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = b"IHDR" + header
    return data[:12] + body + struct.pack(">I", zlib.crc32(body)) + data[33:]


def profile_of(red, green, blue, white, gamma) -> bytes:
    """A matrix profile, written by hand from primaries already adapted to D50."""

    def s15(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"wide"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + text + b"\0" + bytes(79),
        b"wtpt": b"XYZ \0\0\0\0" + s15(*white),
        b"rXYZ": b"XYZ \0\0\0\0" + s15(*red),
        b"gXYZ": b"XYZ \0\0\0\0" + s15(*green),
        b"bXYZ": b"XYZ \0\0\0\0" + s15(*blue),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", offset + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s", 2022, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + s15(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + table + body


ADOBE_RGB = profile_of(
    (0.60974, 0.31111, 0.01947),
    (0.20528, 0.62567, 0.06087),
    (0.14919, 0.06322, 0.74457),
    (0.9642, 1, 0.8249),
    2.19921875,
)
