"""`ourgan evaluate`: the metrics that can be computed here, and the reason for those that cannot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ourgan import files
from ourgan.evaluation.coherence import distance_to_photo, diversity, row_colour_error
from ourgan.images import read_image, resize

WIDTH = 256  # pixels at which layouts are compared


def evaluate(real: Path, samples: Sequence[Path], *, width: int = WIDTH) -> dict[str, Any]:
    """Compare samples with the photo they were learned from.

    All are scaled to `width` pixels at the photo's aspect ratio. Raises ImageError for a file that is no
    picture.
    """
    photo = read_image(real)
    size = (max(1, round(width * photo.shape[1] / photo.shape[2])), width)
    photo = resize(photo, size)
    images = [resize(read_image(path), size) for path in samples]
    rows = [
        {
            "sample": str(path),
            "row_colour_error": round(row_colour_error(photo, image), 3),
            "distance_to_photo": round(distance_to_photo(photo, image), 3),
        }
        for path, image in zip(samples, images, strict=True)
    ]
    return {
        "real": str(real),
        "real_sha256": files.sha256(real),
        "size": list(size),
        "unit": "levels of 255",
        "samples": rows,
        "row_colour_error": round(sum(float(str(r["row_colour_error"])) for r in rows) / len(rows), 3),
        "distance_to_photo": round(sum(float(str(r["distance_to_photo"])) for r in rows) / len(rows), 3),
        "diversity": round(diversity(images), 3) if len(images) > 1 else None,
        "absent": {
            "SIFID": "needs the InceptionV3 weights, which this version does not load yet",
            "LPIPS": "needs the AlexNet weights, which this version does not load yet",
        },
    }
