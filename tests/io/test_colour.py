"""Colours named by a profile or elsewhere reach sRGB at the depth of the file; the rest is said."""

from __future__ import annotations

import io
import logging
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from pictures import ADOBE_RGB, PHOTO, deep, expected, png, profile_of, refused
from PIL import Image, ImageCms, TiffImagePlugin, features

from ourgan.io.colour import apply
from ourgan.io.colour_tags import Colours, said_of_colours
from ourgan.io.pixels import srgb_profile
from ourgan.io.read import read_image

# sRGB's primaries, adapted to D50, in linear light.
LINEAR = profile_of(
    (0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139), (0.9642, 1, 0.8249), 1.0
)
ADOBE_TO_SRGB = np.array([[1.39836, -0.39836, 0.0], [0.0, 1.0, 0.0], [0.0, -0.04293, 1.04293]])
P3_TO_SRGB = np.array(
    [[1.22494, -0.22494, 0.0], [-0.04206, 1.04206, 0.0], [-0.01964, -0.07864, 1.09827]]
)  # D65, linear light


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(PHOTO) as image:
        return image.resize((60, 44))


def linear(stored: np.ndarray) -> np.ndarray:
    return np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)


def srgb(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def difference(image: torch.Tensor, values: np.ndarray) -> float:
    """The largest difference from (H, W, 3), in levels of 255."""
    return float((image - torch.tensor(values, dtype=torch.float32).permute(2, 0, 1)).abs().max() * 255)


def curve_table_profile(size: int = 1024) -> bytes:
    """A profile of a table of tone values in place of an exponent."""
    table = np.linspace(0, 1, size, dtype=np.float32)
    return bytes(
        imagecodecs.cms_profile(
            "rgb",
            whitepoint=[0.3127, 0.3290, 1.0],
            primaries=[0.64, 0.33, 1, 0.30, 0.60, 1, 0.15, 0.06, 1],
            transferfunction=table,
        )
    )


@pytest.mark.parametrize("profile", [LINEAR, curve_table_profile()], ids=["exponent", "table"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("grey", [False, True])
def test_a_deep_ramp_in_linear_light_keeps_its_steps(tmp_path, profile, dtype, grey):
    ramp = np.linspace(0, 0.5, 480)
    stored = linear(ramp)[None, :] * (65535 if dtype is np.uint16 else 1)
    stored = (np.rint(stored) if dtype is np.uint16 else stored).astype(dtype)
    if grey:
        profile = bytes(imagecodecs.cms_profile("gray", gamma=1.0))
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", iccprofile=profile)
    else:
        stored = np.repeat(stored[..., None], 3, axis=-1)
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", iccprofile=profile)
    image = read_image(tmp_path / "a.tif")
    assert image[0].unique().numel() >= 470
    assert difference(image, np.repeat(ramp[None, :, None], 3, axis=-1)) < 0.1


def test_deep_colours_are_those_of_the_formula_and_not_of_a_coarse_table():
    """LittleCMS's own shortcut for 16 bits is off by twenty levels of 255 where sRGB ends."""
    pixels = np.random.default_rng(0).random((64, 64, 3))
    by_hand = srgb(pixels**2.19921875 @ ADOBE_TO_SRGB.T)
    for stored, full_scale in ((np.rint(pixels * 65535).astype(np.uint16), 65535), (pixels.astype("f4"), 1)):
        assert np.abs(apply(ADOBE_RGB, stored, "RGB") / full_scale - by_hand).max() * 255 < 0.4


def test_eight_bits_are_converted_as_pillow_does_it(photo):
    profile = ImageCms.ImageCmsProfile(io.BytesIO(ADOBE_RGB))
    pillows = ImageCms.profileToProfile(
        photo,
        profile,
        ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile())),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert pillows is not None
    assert np.array_equal(apply(ADOBE_RGB, np.asarray(photo), "RGB"), np.asarray(pillows))


def test_transparent_deep_pixels_are_converted_below_their_alpha(tmp_path):
    rgba = deep(4)
    rgba[..., 3] = 65535
    chunk = (b"iCCP", b"wide\0\0" + zlib.compress(ADOBE_RGB))
    (tmp_path / "a.png").write_bytes(png(rgba, 16, chunk))
    (tmp_path / "b.png").write_bytes(png(rgba[..., :3], 16, chunk))
    opaque = read_image(tmp_path / "b.png")
    assert torch.equal(read_image(tmp_path / "a.png"), opaque)
    rgba[0, 0, 3] = 0
    (tmp_path / "a.png").write_bytes(png(rgba, 16, chunk))
    over = read_image(tmp_path / "a.png", matte=(1.0, 0.0, 0.0))
    assert over[:, 0, 0].tolist() == [1, 0, 0] and torch.equal(over[:, 1:], opaque[:, 1:])


# Said elsewhere than in a profile


def camera(space: int, index: str | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "camera"  # Pillow takes EXIF data without a tag of its own for none
    exif.get_ifd(0x8769)[0xA001] = space
    if index:
        exif.get_ifd(0x8769)[0xA005] = {1: index}
    return exif


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_adobe_rgb_by_exif_is_converted(photo, tmp_path, suffix, caplog):
    caplog.set_level(logging.INFO)
    green = Image.new("RGB", (20, 20), (60, 160, 70))
    path = tmp_path / f"camera.{suffix}"
    if suffix == "tif":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x8769] = {0xA001: 65535, 0xA005: {1: "R03"}}
        green.save(path, tiffinfo=tags)
    else:
        green.save(path, exif=camera(65535, "R03"), quality=100, lossless=True)
    by_hand = srgb((np.array([60, 160, 70]) / 255) ** 2.19921875 @ ADOBE_TO_SRGB.T)
    assert difference(read_image(path), np.broadcast_to(by_hand, (20, 20, 3))) < 2
    assert "converted to sRGB from colour profile 'Adobe RGB, by EXIF'" in caplog.text


def test_colours_that_exif_does_not_name_are_one_warning(photo, tmp_path, caplog):
    photo.save(tmp_path / "a.png", exif=camera(65535))
    assert torch.equal(read_image(tmp_path / "a.png"), expected(np.asarray(photo)))
    assert len(caplog.records) == 1 and "not sRGB, and not what they are" in caplog.text
    caplog.clear()
    photo.save(tmp_path / "b.png", exif=camera(65535), icc_profile=srgb_profile())  # as phones do
    photo.save(tmp_path / "c.png", exif=camera(1))
    for name in ("b.png", "c.png"):
        assert torch.equal(read_image(tmp_path / name), expected(np.asarray(photo)))
    assert not caplog.records


def codes(primaries: int, transfer: int) -> tuple[bytes, bytes]:
    return b"cICP", bytes([primaries, transfer, 0, 1])


@pytest.mark.parametrize("bits", [8, 16])
def test_display_p3_by_cicp_is_converted(tmp_path, bits):
    pixels = deep(3) >> (16 - bits)
    (tmp_path / "a.png").write_bytes(png(pixels, bits, codes(12, 13)))
    by_hand = srgb(linear(pixels / (2**bits - 1)) @ P3_TO_SRGB.T)
    assert difference(read_image(tmp_path / "a.png"), by_hand) < (2.5 if bits == 8 else 0.5)


def test_cicp_outranks_the_profile_and_srgb_changes_nothing(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    wide = (b"iCCP", b"wide\0\0" + zlib.compress(ADOBE_RGB))
    for chunk in (codes(1, 13), codes(1, 1), codes(2, 2)):
        (tmp_path / "a.png").write_bytes(png(deep(3), 16, chunk, wide))
        assert torch.equal(read_image(tmp_path / "a.png"), expected(deep(3), 65535))
    assert not caplog.records
    (tmp_path / "a.png").write_bytes(png(deep(3), 16, codes(10, 17)))
    assert torch.equal(read_image(tmp_path / "a.png"), expected(deep(3), 65535))
    assert "primaries 10, transfer 17" in caplog.text and len(caplog.records) == 1


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused_by_name(tmp_path, transfer, name):
    (tmp_path / "a.png").write_bytes(png(deep(3), 16, codes(9, transfer)))
    assert "save it with tones mapped to SDR" in refused(tmp_path / "a.png", f"HDR .BT.2100 {name}, by cICP")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_the_colour_box_of_an_avif_counts(photo, tmp_path):
    photo.save(tmp_path / "a.avif", quality=100, subsampling="4:4:4")
    data = (tmp_path / "a.avif").read_bytes()
    at = data.index(b"colrnclx") + 8
    plain = read_image(tmp_path / "a.avif")

    def with_codes(primaries: int, transfer: int) -> None:
        changed = data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]
        (tmp_path / "a.avif").write_bytes(changed)

    with_codes(9, 16)
    refused(tmp_path / "a.avif", "BT.2100 PQ, by its colour box")
    with_codes(12, 13)
    by_hand = srgb(linear(plain.permute(1, 2, 0).double().numpy()) @ P3_TO_SRGB.T)
    assert difference(read_image(tmp_path / "a.avif"), by_hand) < 2.5


def test_png_gamma_is_converted_and_srgbs_changes_nothing(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    ramp = np.repeat(np.rint(linear(np.linspace(0, 1, 480)) * 65535)[None, :, None], 3, -1).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(png(ramp, 16, (b"gAMA", struct.pack(">I", 100000))))
    values = np.repeat(np.linspace(0, 1, 480)[None, :, None], 3, axis=-1)
    assert difference(read_image(tmp_path / "a.png"), values) < 0.1
    assert "by gAMA, 1" in caplog.text
    caplog.clear()
    usual = (b"gAMA", struct.pack(">I", 45455))
    rec709 = (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    for chunks in ((usual,), (rec709, usual), ((b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000)))):
        (tmp_path / "a.png").write_bytes(png(deep(3), 16, *chunks))
        assert torch.equal(read_image(tmp_path / "a.png"), expected(deep(3), 65535))
    assert not caplog.records
    p3 = (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
    (tmp_path / "a.png").write_bytes(png(deep(3), 16, p3, usual))
    by_hand = srgb(linear(deep(3) / 65535) @ P3_TO_SRGB.T)
    assert difference(read_image(tmp_path / "a.png"), by_hand) < 0.5


@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 3)])
def test_a_float_tiff_without_a_profile_is_one_warning(tmp_path, shape, caplog):
    stored = np.random.default_rng(0).random(shape, dtype=np.float32)
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric)
    read_image(tmp_path / "a.tif")
    assert len(caplog.records) == 1 and "if they are linear light" in caplog.text
    caplog.clear()
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, iccprofile=srgb_profile())
    read_image(tmp_path / "a.tif")
    assert not caplog.records


def test_tiff_tags_that_name_colours_are_one_line(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    tags = [(318, 5, 2, (3127, 10000, 3290, 10000), True)]
    tifffile.imwrite(tmp_path / "a.tif", deep(3), photometric="rgb", extratags=tags)
    assert torch.equal(read_image(tmp_path / "a.tif"), expected(deep(3), 65535))
    assert len(caplog.records) == 1 and "a white point, which were not applied" in caplog.text


def test_nothing_said_is_nothing():
    with PHOTO.open("rb") as file, Image.open(file) as image:
        assert said_of_colours(PHOTO, file, image) == Colours()
