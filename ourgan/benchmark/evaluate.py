"""`ourgan evaluate`: the metrics that can be computed here, and the reason for those that cannot."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm.auto import tqdm

from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan.io.pixels import resize
from ourgan.io.read import read_image
from ourgan.metrics.layout import distance_to_photo, diversity, row_colour_error
from ourgan.metrics.lpips import MetricUnavailable
from ourgan.metrics.pairs import mean_pairwise
from ourgan.metrics.sifid import DEPTHS, STAND_IN, ImageTooSmall, si_fd, sifid

WIDTH = 256  # pixels at which layouts are compared
PAIRS = {"LPIPS": "lpips", "ST-LPIPS": "st_lpips"}
# Of a photo and a sample, each at its own size: Tables 3 and 4, and what stands in for them offline.
FIDELITY: dict[str, Callable[[Tensor, Tensor], float]] = {
    **{f"SIFID layer {layer}": functools.partial(sifid, layer=layer) for layer in ("5", "13")},
    **{f"{STAND_IN} {depth}": functools.partial(si_fd, depth=depth) for depth in DEPTHS},
}
FORMATS = {b"\xff\xd8": "JPEG", b"\x89P": "PNG", b"RI": "WebP"}  # the first two bytes; else TIFF


def evaluate(real: Path, samples: Sequence[Path], *, width: int = WIDTH) -> dict[str, Any]:
    """Compare samples with the photo they were learned from, and with each other.

    Layouts are compared at `width` pixels and the photo's aspect ratio; SIFID and what stands in for it at
    the images' own sizes; LPIPS and ST-LPIPS over all pairs of samples, if these are of one size. What
    cannot be had is None, and "absent" says why. Each image's file format is recorded: a SIFID that comes
    from PNG files elsewhere may be 1e-5 of this one (see `ourgan.metrics.sifid`).

    Raises ImageError for a file that is no picture, OurganError without samples.
    """
    if not samples:
        raise OurganError(f"no samples to compare with {real}: give at least one picture")
    photo = read_image(real)
    size = (max(1, round(width * photo.shape[1] / photo.shape[2])), width)
    layouts = [resize(read_image(path), size) for path in samples]  # a broken file is told at once
    absent: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    for path, layout in zip(tqdm(samples, desc="evaluate", unit="sample"), layouts, strict=True):
        rows.append({"sample": str(path), "format": _format(path), **_compared(photo, path, layout, absent)})
    means = {
        name: _mean([row[name] for row in rows], digits)
        for name, digits in {
            "row_colour_error": 3,
            "distance_to_photo": 3,
            **dict.fromkeys(FIDELITY, 6),
        }.items()
    }
    over_pairs = {f"{name} over pairs": _over_pairs(name, samples, absent) for name in PAIRS}
    return {
        "real": str(real),
        "real_sha256": files.sha256(real),
        "real_format": _format(real),
        "size": list(size),
        "unit": "levels of 255",
        "samples": rows,
        **means,
        "diversity": round(diversity(layouts), 3) if len(layouts) > 1 else None,
        **over_pairs,
        "absent": absent,
    }


def _compared(photo: Tensor, path: Path, layout: Tensor, absent: dict[str, str]) -> dict[str, float | None]:
    """The numbers of one sample; reasons go into `absent`."""
    small = resize(photo, (layout.shape[1], layout.shape[2]))
    found: dict[str, float | None] = {
        "row_colour_error": round(row_colour_error(small, layout), 3),
        "distance_to_photo": round(distance_to_photo(small, layout), 3),
    }
    sample = read_image(path)
    for name, measure in FIDELITY.items():
        try:
            found[name] = round(measure(photo, sample), 6)
        except MetricUnavailable as error:
            found[name], absent["SIFID"] = None, str(error)
        except ImageTooSmall as error:
            found[name], absent[name] = None, f"{path}: {error}"
    return found


def _over_pairs(name: str, samples: Sequence[Path], absent: dict[str, str]) -> float | None:
    """The mean over all pairs, or None and a reason."""
    try:
        return round(mean_pairwise(samples, PAIRS[name]), 6)
    except OurganError as error:  # the weights, a single sample, sizes that differ
        absent[name] = str(error)
        return None


def _mean(values: Sequence[float | None], digits: int) -> float | None:
    """None if a value is missing: a mean over some samples would be another number under the same name."""
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), digits) if len(known) == len(values) else None


def _format(path: Path) -> str:
    """What kind of file a picture is, by its content; it has been read already."""
    with path.open("rb") as file:
        return FORMATS.get(file.read(2), "TIFF")
