"""Files are called what they are, with the way out; those that are whole are not called damaged."""

from __future__ import annotations

import io
import logging
import struct
import sys

import numpy as np
import pytest
import tifffile
import torch
from pictures import PHOTO, expected, refused
from PIL import Image, features

from ourgan._core.files import PICTURES
from ourgan.io.formats import FORMATS, kind_of_file
from ourgan.io.read import read_image


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(PHOTO) as image:
        return image.resize((60, 44))


def box(brand: bytes, *others: bytes) -> bytes:
    return struct.pack(">I", 16 + 4 * len(others)) + b"ftyp" + brand + bytes(4) + b"".join(others) + bytes(40)


HEADS = {
    "a JPEG XL picture": [b"\xff\x0a" + bytes(40), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40)],
    "a JPEG 2000 picture": [b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), b"\xff\x4f\xff\x51" + bytes(40)],
    "a GIF picture": [b"GIF89a" + bytes(40)],
    "a BMP picture": [b"BM" + bytes(40)],
    "an OpenEXR picture": [b"\x76\x2f\x31\x01" + bytes(40)],
    "a PDF document": [b"%PDF-1.7\n"],
    "an SVG drawing": [b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>"],
    "an HTML or XML page": [b"\xef\xbb\xbf\n<!DOCTYPE html><html>", b"<html><head>"],
    "a film": [box(b"isom", b"mp42"), box(b"qt  ")],
    r"a camera raw file \(Canon\)": [box(b"crx ", b"isom")],
    r"a camera raw file \(Fujifilm RAF\)": [b"FUJIFILMCCD-RAW 0201"],
    r"a camera raw file \(Olympus ORF\)": [b"IIRO\x08\0\0\0" + bytes(40)],
}


@pytest.mark.parametrize("what", HEADS)
def test_other_files_are_called_what_they_are(tmp_path, what):
    for head in HEADS[what]:
        (tmp_path / "photo.jpg").write_bytes(head)
        assert refused(tmp_path / "photo.jpg", what).count(": ") >= 2  # and what to do


@pytest.mark.parametrize("brands", [(b"heic", b"mif1"), (b"mif1", b"heic"), (b"heix",), (b"msf1", b"hevc")])
def test_heic_without_its_plugin_is_named_with_both_ways_out(tmp_path, monkeypatch, brands):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "IMG_0001.jpg").write_bytes(box(*brands))
    line = refused(tmp_path / "IMG_0001.jpg", "a HEIC picture, as iPhones make them")
    assert "export it as JPEG" in line and "pip install 'ourgan[heic]'" in line


def test_heic_is_read_with_its_plugin_under_the_same_limits(photo, tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    heif.from_pillow(photo).save(tmp_path / "a.heic", quality=-1, chroma=444, exif=exif.tobytes())
    image = read_image(tmp_path / "a.heic")
    upright = expected(np.rot90(np.asarray(photo), -1).copy())
    assert image.shape == upright.shape and (image - upright).abs().max() <= 4 / 255
    monkeypatch.setattr("ourgan.io.pillow_limits.MAX_PIXELS", 60 * 44 - 1)
    refused(tmp_path / "a.heic", "are more than")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read_turned_and_cut_files_are_refused(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.avif"
    photo.save(path, quality=100, subsampling="4:4:4", exif=exif)
    assert "AVIF" in FORMATS and kind_of_file(path) == "AVIF" and ".avif" in PICTURES
    upright = expected(np.rot90(np.asarray(photo), -1).copy())
    assert (read_image(path) - upright).abs().max() <= 4 / 255
    path.write_bytes(path.read_bytes()[:-200])
    refused(path, "truncated or damaged")


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_with_a_second_picture_is_a_jpeg(photo, tmp_path, caplog, orientation):
    caplog.set_level(logging.INFO)
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "camera.jpg", "MPO", save_all=True, append_images=[photo.rotate(180)], exif=exif)
    photo.save(tmp_path / "plain.jpg", exif=exif)
    image = read_image(tmp_path / "camera.jpg")
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    assert "the first is taken" in caplog.text
    assert torch.equal(image, read_image(tmp_path / "plain.jpg"))


def test_jpegs_whose_list_of_pictures_is_broken_are_read_without_a_warning(photo, tmp_path, caplog):
    buffer = io.BytesIO()
    photo.save(buffer, "MPO", save_all=True, append_images=[photo])
    data = buffer.getvalue()
    at = data.index(b"MPF\0") + 4
    (tmp_path / "a.jpg").write_bytes(data[:at] + b"XX" + data[at + 2 :])
    assert read_image(tmp_path / "a.jpg").shape == (3, 44, 60)
    assert not caplog.records  # a line of INFO at most


# TIFF


FLOATS = np.random.default_rng(0).random((9, 13, 3), dtype=np.float32)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "lzma", "packbits"])
@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_every_lossless_compression_and_predictor_of_a_tiff(tmp_path, compression, predictor, planar):
    if compression in (None, "packbits") and predictor:
        pytest.skip("libtiff and what is built on it know no predictor here")
    path, options = tmp_path / "a.tif", {"compression": compression, "predictor": predictor}
    for array in (FLOATS, (FLOATS * 65535).astype(np.uint16), (FLOATS * 255).astype(np.uint8)):
        stored = np.moveaxis(array, -1, 0).copy() if planar == "separate" else array
        tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, **options)
        full_scale = 1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max
        assert torch.equal(read_image(path), expected(array, full_scale))


@pytest.mark.parametrize("compression", ["webp", "jpeg2000", "jpegxl"])
def test_a_compression_that_is_not_read_is_named(tmp_path, compression):
    path = tmp_path / "a.tif"
    array = (FLOATS * 255).astype(np.uint8)
    tifffile.imwrite(path, np.tile(array, (4, 4, 1)), photometric="rgb", compression=compression)
    line = refused(path, f"(?i)compression {compression}, which is not read; save it with LZW or deflate")
    assert "damaged" not in line


def test_half_floats(tmp_path):
    half = FLOATS.astype(np.float16)
    tifffile.imwrite(tmp_path / "a.tif", half, photometric="rgb")
    assert torch.equal(read_image(tmp_path / "a.tif"), expected(half.astype(np.float32), 1))


@pytest.mark.parametrize("planar", ["contig", "separate"])  # Pillow reads one, tifffile the other
def test_another_picture_behind_the_first_is_said_a_smaller_level_is_not(tmp_path, planar, caplog):
    first = (np.moveaxis(FLOATS, -1, 0) if planar == "separate" else FLOATS) * 65535
    for level in (1, 0):
        with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
            tiff.write(first.astype(np.uint16), photometric="rgb", planarconfig=planar)
            tiff.write(np.zeros((5, 7), np.uint8), photometric="minisblack", subfiletype=level)
        read_image(tmp_path / "a.tif")
        assert ("the first is taken" in caplog.text) == (level == 0)


def raw(path, *, dng: bool, sub: bool = True) -> None:
    """A thumbnail before the pixels themselves, as DNG, NEF and ARW have it."""
    tags = [(50706, 1, 4, (1, 4, 0, 0), True)] if dng else []
    with tifffile.TiffWriter(path) as tiff:
        thumbnail = np.zeros((12, 16, 3), np.uint8)
        tiff.write(thumbnail, photometric="rgb", subifds=int(sub), subfiletype=1, extratags=tags)
        tiff.write(np.zeros((120, 160), np.uint16), photometric=32803)


@pytest.mark.parametrize("name", ["a.tif", "a.nef", "a.dng"])
@pytest.mark.parametrize("dng", [False, True])
def test_camera_raw_files_with_the_magic_of_tiff_are_not_their_thumbnail(tmp_path, name, dng):
    raw(tmp_path / name, dng=dng)
    assert "develop it" in refused(tmp_path / name, "a camera raw file")


def test_the_names_of_what_is_read_are_one_list():
    kinds = {Image.registered_extensions().get(suffix, "HEIF") for suffix in PICTURES}
    assert kinds == {*FORMATS, "HEIF"}
