"""The policy of `read_image`, row by row, with real files of every kind."""

from __future__ import annotations

import logging
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from pictures import ADOBE_RGB, PHOTO, deep, expected, png, refused
from PIL import Image, ImageCms, ImageOps

from ourgan.io.read import read_image


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A real photograph, small: 60 x 44 pixels."""
    with Image.open(PHOTO) as image:
        return image.resize((60, 44))


@pytest.fixture
def array(photo) -> np.ndarray:
    return np.asarray(photo)


# Formats


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_lossless_formats_are_read_exactly(photo, array, tmp_path, suffix, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / f"photo{suffix}"
    photo.save(path, lossless=True)
    image = read_image(path)
    assert image.dtype == torch.float32 and image.is_contiguous()
    assert torch.equal(image, expected(array))
    assert not caplog.records  # nothing had to be decided


def test_jpeg_is_read_as_pillow_decodes_it():
    with Image.open(PHOTO) as image:
        assert torch.equal(read_image(PHOTO), expected(np.asarray(image)))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "EPS", "ICO", "PPM", "JPEG2000"])
def test_other_formats_are_refused_whatever_their_name(photo, tmp_path, kind):
    path = tmp_path / "safe.png"
    photo.save(path, format=kind)
    refused(path, "are read: ")


def test_content_decides_over_name(photo, array, tmp_path, caplog):
    path = tmp_path / "photo.jpg"
    photo.save(path, format="PNG")
    assert torch.equal(read_image(path), expected(array))
    assert "PNG file in spite of its name" in caplog.text


def test_what_is_no_picture_at_all(tmp_path):
    refused(tmp_path / "missing.jpg", "No such file")
    refused(tmp_path, "Is a directory")
    (tmp_path / "text.jpg").write_text("<html>404 Not Found</html>" * 10)
    refused(tmp_path / "text.jpg", "an HTML or XML page")
    (tmp_path / "words.jpg").write_text("words and nothing else")
    refused(tmp_path / "words.jpg", "not a JPEG, PNG")
    (tmp_path / "empty.jpg").touch()
    refused(tmp_path / "empty.jpg", "empty file")


def test_first_of_several_pictures(photo, array, tmp_path, caplog):
    path = tmp_path / "pages.tif"
    photo.save(path, save_all=True, append_images=[ImageOps.invert(photo)])
    assert torch.equal(read_image(path), expected(array))
    assert "the first is taken" in caplog.text


# Orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(photo, tmp_path, kind, orientation, caplog):
    caplog.set_level(logging.INFO)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{kind.lower()}"
    photo.save(path, format=kind, exif=exif, lossless=True)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert torch.equal(read_image(path), expected(upright))
    assert ("turned" in caplog.text) == (orientation != 1)


@pytest.mark.parametrize("orientation", [3, 6])
def test_orientation_of_tiff_that_pillow_does_not_know(tmp_path, orientation):
    floats = np.random.default_rng(0).random((5, 7, 3), dtype=np.float32)
    tags = [(0x0112, 3, 1, orientation, True)]
    tifffile.imwrite(tmp_path / "photo.tif", floats, photometric="rgb", extratags=tags)
    turned = np.rot90(floats, {3: 2, 6: -1}[orientation])
    assert torch.equal(read_image(tmp_path / "photo.tif"), expected(turned.copy(), 1))


def test_meaningless_orientation_is_passed_over(photo, array, tmp_path, caplog):
    exif = Image.Exif()
    exif[0x0112] = 9
    photo.save(tmp_path / "photo.png", exif=exif)
    assert torch.equal(read_image(tmp_path / "photo.png"), expected(array))
    assert "orientation 9 means nothing" in caplog.text


# Kinds of pixels


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_palette_become_rgb(photo, tmp_path, mode):
    converted = photo.convert(mode)
    converted.save(tmp_path / "photo.png")
    assert torch.equal(read_image(tmp_path / "photo.png"), expected(np.asarray(converted.convert("RGB"))))


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_keeps_every_bit(tmp_path, channels):
    (tmp_path / "deep.png").write_bytes(png(deep(channels), 16))
    exact = expected(np.broadcast_to(deep(channels), (9, 13, 3)), 65535)
    assert torch.equal(read_image(tmp_path / "deep.png"), exact)


TIFF_LAYOUTS = [
    {},
    {"compression": "zlib", "predictor": 2},
    {"byteorder": ">"},
    {"byteorder": ">", "compression": "zlib"},
    {"tile": (16, 16)},
]


@pytest.mark.parametrize("options", TIFF_LAYOUTS, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_tiff_keeps_every_bit(tmp_path, options, channels):
    photometric = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "deep.tif", deep(channels).squeeze(), photometric=photometric, **options)
    exact = expected(np.broadcast_to(deep(channels), (9, 13, 3)), 65535)
    assert torch.equal(read_image(tmp_path / "deep.tif"), exact)


@pytest.mark.parametrize("options", TIFF_LAYOUTS, ids=str)
def test_16_bit_tiff_of_separate_planes(tmp_path, options):
    planes = np.ascontiguousarray(np.moveaxis(deep(3), -1, 0))
    tifffile.imwrite(tmp_path / "deep.tif", planes, photometric="rgb", planarconfig="separate", **options)
    assert torch.equal(read_image(tmp_path / "deep.tif"), expected(deep(3), 65535))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_white_is_zero_tiff_is_inverted(tmp_path, byteorder, dtype):
    stored = deep(1)[..., 0].astype(dtype)
    full = np.iinfo(dtype).max
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", byteorder=byteorder)
    exact = expected(np.broadcast_to((full - stored)[..., None], (9, 13, 3)), full)
    assert torch.equal(read_image(tmp_path / "a.tif"), exact)


@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 3)])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_float_tiff_within_the_unit_interval(tmp_path, shape, dtype):
    stored = np.random.default_rng(0).random(shape).astype(dtype)
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric)
    exact = expected(np.broadcast_to(stored.reshape(9, 13, -1), (9, 13, 3)), 1)
    assert torch.equal(read_image(tmp_path / "a.tif"), exact)

    for bad in (1.5, -0.1, np.nan, np.inf):
        stored[2, 3] = bad
        tifffile.imwrite(tmp_path / "b.tif", stored, photometric=photometric)
        refused(tmp_path / "b.tif", r"float pixels from .* to")
    if dtype == "f8":
        stored[2, 3] = 1e300  # more than float32 holds
        tifffile.imwrite(tmp_path / "b.tif", stored, photometric=photometric)
        refused(tmp_path / "b.tif", "float pixels from .* to inf")


def test_kinds_not_in_the_policy_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), np.int32))
    refused(tmp_path / "a.tif", "are not read")
    tifffile.imwrite(tmp_path / "b.tif", np.ones((4, 4, 4), np.uint16), photometric="separated")
    refused(tmp_path / "b.tif", "16-bit pixels of kind CMYK;16L are not read")
    (tmp_path / "c.png").write_bytes(png(deep(2), 16))
    refused(tmp_path / "c.png", "16-bit pixels of kind LA;16B are not read")


# Colour


# Computed from the definition of Adobe RGB (1998): its linear light through D65 to linear sRGB.
ADOBE_TO_SRGB = np.array([[1.39836, -0.39836, 0.0], [0.0, 1.0, 0.0], [0.0, -0.04293, 1.04293]])


def test_icc_profile_is_converted_to_srgb(photo, array, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    photo.save(tmp_path / "photo.png", icc_profile=ADOBE_RGB)
    image = read_image(tmp_path / "photo.png")
    assert "converted to sRGB from colour profile 'wide'" in caplog.text

    linear = np.clip((array / 255.0) ** 2.19921875 @ ADOBE_TO_SRGB.T, 0, 1)
    by_hand = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert (image - torch.tensor(by_hand).permute(2, 0, 1)).abs().max() < 3 / 255
    assert (image - expected(array)).abs().max() > 10 / 255


def test_a_profile_whose_name_is_no_text_serves_all_the_same(photo, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    photo.save(tmp_path / "named.png", icc_profile=ADOBE_RGB)
    photo.save(tmp_path / "photo.png", icc_profile=ADOBE_RGB.replace(b"wide\0\0\0", b"wide\xc3\x86|"))
    assert torch.equal(read_image(tmp_path / "photo.png"), read_image(tmp_path / "named.png"))
    assert "colour profile 'of an illegible name'" in caplog.text


def test_srgb_profile_changes_nothing(photo, array, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo.save(tmp_path / "photo.png", icc_profile=srgb)
    assert torch.equal(read_image(tmp_path / "photo.png"), expected(array))
    assert not caplog.records


def test_icc_profile_of_deep_pixels_is_applied_at_their_depth(tmp_path):
    grey = np.repeat(np.rint(np.linspace(0, 65535, 480))[None, :, None], 3, axis=-1).astype(np.uint16)
    chunk = (b"iCCP", b"wide\0\0" + zlib.compress(ADOBE_RGB))
    (tmp_path / "deep.png").write_bytes(png(grey, 16, chunk))
    (tmp_path / "flat.png").write_bytes(png(np.rint(grey / 257), 8, chunk))
    deeply, flat = read_image(tmp_path / "deep.png"), read_image(tmp_path / "flat.png")
    assert (deeply - flat).abs().max() < 2.5 / 255
    assert deeply.unique().numel() >= 470 > flat.unique().numel()


@pytest.mark.parametrize("profile", [b"nonsense" * 40, "LAB"], ids=["nonsense", "LAB"])
def test_profile_that_cannot_be_used_is_passed_over(photo, array, tmp_path, profile, caplog):
    if profile == "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    photo.save(tmp_path / "photo.png", icc_profile=profile)
    assert torch.equal(read_image(tmp_path / "photo.png"), expected(array))
    assert "profile ignored" in caplog.text


def test_cmyk_is_converted(photo, array, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    photo.convert("CMYK").save(tmp_path / "photo.tif")
    assert (read_image(tmp_path / "photo.tif") - expected(array)).abs().max() <= 1 / 255
    assert "CMYK" in caplog.text


# Transparency


def with_alpha(photo: Image.Image, mode: str, value: int) -> Image.Image:
    transparent = photo.convert("RGBA")
    transparent.paste((200, 100, 50, value), (10, 10, 30, 20))
    return transparent.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_opaque_alpha_is_dropped_and_other_alpha_refused(photo, tmp_path, mode, suffix, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / f"photo{suffix}"
    opaque = with_alpha(photo, mode, 255)
    opaque.save(path, lossless=True)
    assert torch.equal(read_image(path), expected(np.asarray(opaque.convert("RGB"))))
    assert suffix == ".webp" or "opaque everywhere" in caplog.text  # WebP stores no opaque alpha

    with_alpha(photo, mode, 254).save(path, lossless=True)
    assert "7.6% of its pixels" in refused(path, "transparent")


def test_matte_lies_below(photo, array, tmp_path):
    with_alpha(photo, "RGBA", 51).save(tmp_path / "photo.png")
    image = read_image(tmp_path / "photo.png", matte=(1.0, 0.0, 0.5))
    blended = torch.tensor([200 * 0.2 + 255 * 0.8, 100 * 0.2, 50 * 0.2 + 127.5 * 0.8]) / 255
    assert torch.allclose(image[:, 10:20, 10:30], blended[:, None, None].expand(3, 10, 20), atol=1e-6)
    assert torch.equal(image[:, 20:], expected(array)[:, 20:])
    refused(tmp_path / "photo.png", "not a colour", matte=(255.0, 0.0, 0.0))


def test_palette_and_key_colour_count_as_transparency(photo, tmp_path):
    photo.convert("P").save(tmp_path / "palette.png", transparency=photo.convert("P").getpixel((0, 0)))
    refused(tmp_path / "palette.png", "transparent")
    photo.save(tmp_path / "key.png", transparency=photo.getpixel((0, 0)))
    refused(tmp_path / "key.png", "transparent")
    for channels in (1, 3):
        pixels = deep(channels)
        pixels[5, 5, 1:] = pixels[4, 4, 1:]  # nearly the key colour
        key = struct.pack(f">{channels}H", *pixels[4, 4])
        (tmp_path / "deep.png").write_bytes(png(pixels, 16, (b"tRNS", key)))
        assert "0.9% of its pixels" in refused(tmp_path / "deep.png", "transparent")


def test_16_bit_alpha(tmp_path):
    rgba = deep(4)
    (tmp_path / "deep.png").write_bytes(png(rgba, 16))
    refused(tmp_path / "deep.png", "transparent")
    over = read_image(tmp_path / "deep.png", matte=(0.0, 0.0, 0.0))
    assert torch.allclose(over, expected(rgba[..., :3], 65535) * expected(rgba[..., 3:], 65535), atol=1e-6)
    rgba[..., 3] = 65535
    (tmp_path / "deep.png").write_bytes(png(rgba, 16))
    assert torch.equal(read_image(tmp_path / "deep.png"), expected(rgba[..., :3], 65535))
