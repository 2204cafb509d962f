"""What a file is by its first bytes: which formats are read, and what is said of those that are not."""

from __future__ import annotations

import struct
from pathlib import Path

from PIL import features

from ourgan.io.pillow_limits import ImageError

# Pillow's names of what is read. AVIF is in most of its builds, not in all.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP") + (("AVIF",) if features.check("avif") else ())
READ = ", ".join(FORMATS[:-1]).replace("WEBP", "WebP") + f" or {FORMATS[-1].replace('WEBP', 'WebP')}"
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
HEAD = 512  # bytes that tell

_OURS = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), *((magic, "TIFF") for magic in TIFF_MAGIC))
_PLAIN, _RAW, _HDR, _TEXT = (
    "save it as PNG or JPEG",
    "develop it, and export a 16-bit TIFF or a JPEG",
    "save it with tones mapped, as PNG or TIFF",
    "fetch or export the picture itself",
)
_OTHERS = (
    (b"BM", "a BMP picture", _PLAIN),
    (b"GIF8", "a GIF picture", _PLAIN),
    (b"\xff\x0a", "a JPEG XL picture", _PLAIN),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture", _PLAIN),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture", _PLAIN),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture", _PLAIN),
    (b"8BPS", "a Photoshop document", "export it as PNG or TIFF"),
    (b"gimp xcf", "a GIMP document", "export it as PNG or TIFF"),
    (b"\0\0\1\0", "an icon (ICO)", _PLAIN),
    (b"qoif", "a QOI picture", _PLAIN),
    *((b"P" + digit, "a PNM picture", _PLAIN) for digit in (b"1", b"2", b"3", b"4", b"5", b"6", b"7")),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture, linear and HDR", _HDR),
    (b"#?RADIANCE", "a Radiance HDR picture", _HDR),
    (b"#?RGBE", "a Radiance HDR picture", _HDR),
    (b"%PDF", "a PDF document", _TEXT),
    (b"%!PS", "a PostScript document", _TEXT),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document", _TEXT),
    (b"PK\3\4", "a ZIP archive", "unpack it"),
    (b"FUJIFILMCCD-RAW", "a camera raw file (Fujifilm RAF)", _RAW),
    (b"FOVb", "a camera raw file (Sigma X3F)", _RAW),
    (b"IIU\0", "a camera raw file (Panasonic RW2)", _RAW),
    (b"IIRO", "a camera raw file (Olympus ORF)", _RAW),
    (b"IIRS", "a camera raw file (Olympus ORF)", _RAW),
    (b"MMOR", "a camera raw file (Olympus ORF)", _RAW),
    (b"\0MRM", "a camera raw file (Minolta MRW)", _RAW),
)
_RAW_SUFFIXES = (
    ".dng",
    ".nef",
    ".nrw",
    ".arw",
    ".srf",
    ".sr2",
    ".pef",
    ".srw",
    ".3fr",
    ".iiq",
    ".erf",
    ".cr2",
)
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_CFA, _LINEAR_RAW = 32803, 34892  # what a pixel of a raw file is


def kind_of(head: bytes) -> str:
    """Return "JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIC", or "" for anything else, by the first bytes."""
    for magic, name in _OURS:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    brands = _brands(head)
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else ""


def kind_of_file(path: Path) -> str:
    """Return the same of a file, for messages and records: "WebP", or "picture" for what is not known."""
    with path.open("rb") as file:
        return kind_of(file.read(HEAD)).replace("WEBP", "WebP") or "picture"


def refusal(path: Path, head: bytes) -> ImageError:
    """Return the line for a file that is none of the formats that are read: what it is, and the way out."""
    kind = kind_of(head)
    if kind == "HEIC":
        return ImageError(
            f"{path}: a HEIC picture, as iPhones make them: export it as JPEG, or install pillow-heif: "
            "pip install 'ourgan[heic]'"
        )
    if kind == "AVIF":
        return ImageError(f"{path}: an AVIF picture, and this Pillow cannot read them; {_PLAIN}")
    for magic, what, advice in _OTHERS:
        if head.startswith(magic):
            return ImageError(f"{path}: {what}; {READ} are read: {advice}")
    brands, text = _brands(head), head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"crx " in brands or head[:14] == b"II\x1a\0\0\0HEAPCCDR":
        return ImageError(f"{path}: a camera raw file (Canon); {READ} are read: {_RAW}")
    if brands:
        return ImageError(f"{path}: a film (MP4 or QuickTime); {READ} are read: save one of its pictures")
    if b"<svg" in text:
        return ImageError(f"{path}: an SVG drawing; {READ} are read: export it as PNG")
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return ImageError(f"{path}: an HTML or XML page; {READ} are read: {_TEXT}")
    return ImageError(f"{path}: not a {READ} picture; save it as one")


def refuse_raw(path: Path, head: bytes, tags: dict[int, int | None]) -> None:
    """Refuse a camera raw file that is built like a TIFF; its first picture is a thumbnail.

    Args:
        path: of the file.
        head: its first bytes.
        tags: DNGVersion (50706), photometric (262), subfile type (254), SubIFDs (330) of the first picture.

    Raises:
        ImageError: with what it is.
    """
    name = ""
    if tags.get(50706) is not None:
        name = "DNG"
    elif head[8:10] == b"CR":
        name = "Canon CR2"
    elif tags.get(262) in (_CFA, _LINEAR_RAW):
        name = "undeveloped pixels"
    elif path.suffix.lower() in _RAW_SUFFIXES:
        name = path.suffix[1:].upper()
    elif tags.get(254) == 1 and tags.get(330) is not None:
        name = "a thumbnail before larger pictures"
    if name:
        raise ImageError(f"{path}: a camera raw file ({name}); {READ} are read: {_RAW}")


def _brands(head: bytes) -> set[bytes]:
    """Return the brands of a file of ISO's base media format: HEIC, AVIF, films."""
    if head[4:8] != b"ftyp":
        return set()
    (size,) = struct.unpack(">I", head[:4])
    box = head[8 : min(size, len(head))]
    return {box[:4], *(box[start : start + 4] for start in range(8, len(box) - 3, 4))}
