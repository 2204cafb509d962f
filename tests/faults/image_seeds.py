"""Small real pictures of every kind that cameras, scanners and the web produce: what mutations start from."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import tifffile
from pictures import ADOBE_RGB, PHOTO, deep, png
from PIL import Image, ImageCms

SIZE = (24, 18)


def image_seeds() -> dict[str, bytes]:
    """Kind -> a file of that kind, 24 x 18 pixels, of one photograph."""
    with Image.open(PHOTO) as image:
        photo = image.convert("RGB").resize(SIZE)
    return _jpegs(photo) | _pngs(photo) | _webps(photo) | _tiffs(photo) | _raw_tiffs()


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _jpegs(photo: Image.Image) -> dict[str, bytes]:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = _saved(photo, "JPEG", exif=_exif(6), icc_profile=srgb)
    return {
        "jpeg": plain,
        "jpeg-wide-gamut": _saved(photo, "JPEG", icc_profile=ADOBE_RGB),
        "jpeg-progressive": _saved(photo, "JPEG", progressive=True, exif=_exif(8)),
        "jpeg-grey": _saved(photo.convert("L"), "JPEG"),
        "jpeg-cmyk": _saved(photo.convert("CMYK"), "JPEG"),
        "jpeg-truncated": plain[: len(plain) * 3 // 4],
    }


def _pngs(photo: Image.Image) -> dict[str, bytes]:
    opaque = photo.convert("RGBA")
    clear = opaque.copy()
    clear.putalpha(Image.linear_gradient("L").resize(SIZE))
    plain = _saved(photo, "PNG", exif=_exif(3), icc_profile=ADOBE_RGB)
    return {
        "png": plain,
        "png-1": _saved(photo.convert("1"), "PNG"),
        "png-grey-alpha": _saved(photo.convert("LA"), "PNG"),
        "png-opaque": _saved(opaque, "PNG"),
        "png-alpha": _saved(clear, "PNG"),
        "png-palette": _saved(photo.convert("P"), "PNG", transparency=0),
        "png-key": _saved(photo, "PNG", transparency=(1, 2, 3)),
        "png-animated": _saved(photo, "PNG", save_all=True, append_images=[photo.rotate(180)]),
        "png-truncated": plain[: len(plain) * 3 // 4],
        **{f"png-16-{channels}": png(deep(channels), 16) for channels in (1, 2, 3, 4)},
    }


def _webps(photo: Image.Image) -> dict[str, bytes]:
    return {
        "webp": _saved(photo, "WEBP", exif=_exif(7)),
        "webp-lossless": _saved(photo.convert("RGBA"), "WEBP", lossless=True, icc_profile=ADOBE_RGB),
        "webp-animated": _saved(photo, "WEBP", save_all=True, append_images=[photo.rotate(180)]),
    }


def _tiffs(photo: Image.Image) -> dict[str, bytes]:
    found = {
        f"tiff-{name}": _saved(photo, "TIFF", compression=name)
        for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    }
    return found | {
        "tiff-fax": _saved(photo.convert("1"), "TIFF", compression="group4"),
        "tiff-cmyk": _saved(photo.convert("CMYK"), "TIFF"),
        "tiff-palette": _saved(photo.convert("P"), "TIFF"),
        "tiff-turned": _saved(photo, "TIFF", exif=_exif(5)),
        "tiff-pages": _saved(photo, "TIFF", save_all=True, append_images=[photo]),
    }


def tiff_of_many_widths(count: int = 39, height: int = 22_020_105) -> bytes:
    """A TIFF whose width is `count` numbers: what a campaign found to take `count` x `height` x 8 bytes.

    Of float RGB, which Pillow does not know, so that it is left to tifffile.
    """
    long, short = 4, 3
    tags = [(256, long, count, 8), (257, long, 1, height), (258, short, 1, 32), (262, short, 1, 2)]
    tags += [(273, long, 1, 8), (277, short, 1, 3), (279, long, 1, 8), (339, short, 1, 3)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    body = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", 7) * count


def _raw_tiffs() -> dict[str, bytes]:
    colour = deep(3)

    def tiff(array: np.ndarray, **options: Any) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **options)
        return buffer.getvalue()

    real = colour.astype(np.float32) / 65535
    return {
        "tiff-16": tiff(colour, photometric="rgb", compression="zlib", predictor=True),
        "tiff-16-big-endian": tiff(colour, photometric="rgb", byteorder=">"),
        "tiff-16-planes": tiff(np.moveaxis(colour, -1, 0).copy(), photometric="rgb", planarconfig="separate"),
        "tiff-16-alpha": tiff(deep(4), photometric="rgb", extrasamples=["unassalpha"]),
        "tiff-16-white": tiff(deep(1)[..., 0], photometric="miniswhite"),
        "tiff-tiles": tiff(colour, photometric="rgb", tile=(16, 16), bigtiff=True),
        "tiff-many-widths": tiff_of_many_widths(),
        "tiff-float": tiff(real, photometric="rgb"),
        "tiff-float-grey": tiff(real[..., 0].astype(np.float64), photometric="minisblack"),
    }
