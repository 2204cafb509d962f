"""The numbers of the paper's Tables 1 to 4, as printed, and what a number of ours says about one of them."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

SAMPLES = 50  # of each model, over which Table 4 is averaged
PROFILE = "paper-4k"  # ours that follows Tables H.1 to H.3
SIZE = "4k"

ROUNDING = 0.005  # the paper prints two decimals
DECIDED = 2.0  # standard errors

# Table 1: width x height of each step; the height follows the photo and is the largest there.
STEPS = {
    "OUR-GAN": ((256, 135), (1024, 540), (4096, 2160)),
    "OUR-GAN-16K": ((256, 135), (1024, 540), (4096, 2160), (16384, 8640)),
}

# Table 2: GB of GPU memory at 4K, (training, synthesis), measured and by theory.
MEMORY_MEASURED = {"ingan": (22.29, 21.32), "singan": (22.46, 22.46), "ourgan": (5.59, 4.29)}
MEMORY_THEORY = {"ingan": (13.82, 9.08), "singan": (10.40, 9.16), "ourgan": (4.34, 1.35)}
MEMORY_16K = (19.6, 12.5)  # Sec. 4.4: training, synthesis

# Table 3: SIFID at the 5th and 13th layer, ST4K, all three trained at 1K.
TRAINED_AT_1K = {"ingan": (5.42, 3.11), "singan": (8.84, 3.82), "ourgan": (2.94, 2.29)}

# Table 4: SIFID 5th and 13th with ESRGAN, the same with SwinIR, LPIPS with ESRGAN and with SwinIR.
_TABLE_4 = {
    "ST4K": {
        "singan": (1.54, 1.67, 1.14, 1.49, 0.42, 0.40),
        "consingan": (1.45, 1.58, 1.03, 1.42, 0.41, 0.39),
        "hp-vae-gan": (1.47, 1.56, 1.05, 1.38, 0.53, 0.52),
        "siv-gan": (1.55, 1.54, 0.98, 1.27, 0.42, 0.40),
        "petsgan": (1.83, 1.84, 1.25, 1.55, 0.47, 0.46),
        "sinfusion": (2.39, 1.95, 1.95, 1.78, 0.47, 0.46),
        "sinddm": (2.58, 2.29, 2.52, 2.24, 0.46, 0.46),
        "ourgan": (1.36, 1.48, 0.94, 1.26, 0.43, 0.41),
    },
    "RAISE": {
        "singan": (1.50, 1.77, 1.23, 1.74, 0.41, 0.39),
        "consingan": (1.36, 1.67, 1.13, 1.68, 0.40, 0.38),
        "hp-vae-gan": (1.34, 1.62, 1.11, 1.60, 0.48, 0.47),
        "siv-gan": (1.46, 1.58, 1.08, 1.51, 0.40, 0.38),
        "petsgan": (1.30, 1.61, 1.32, 1.73, 0.43, 0.41),
        "sinfusion": (1.88, 1.85, 1.90, 2.03, 0.45, 0.44),
        "sinddm": (2.72, 2.23, 3.20, 2.48, 0.44, 0.42),
        "ourgan": (1.22, 1.50, 0.97, 1.48, 0.40, 0.38),
    },
}
GENERATORS = tuple(_TABLE_4["ST4K"])
_COLUMNS = {
    ("esrgan", "sifid-5"): 0,
    ("esrgan", "sifid-13"): 1,
    ("swinir", "sifid-5"): 2,
    ("swinir", "sifid-13"): 3,
    ("esrgan", "lpips"): 4,
    ("swinir", "lpips"): 5,
}


@dataclasses.dataclass(frozen=True)
class Printed:
    """A number of the paper; `table` says which table it stands in, and which set of photos it is of."""

    value: float
    table: str


def table_4(photos: str, generator: str, backbone: str, metric: str) -> Printed | None:
    """Return an entry of Table 4 for photos "ST4K" or "RAISE", or None where it has none.

    Of the metrics "sifid-5" and "sifid-13" less is better; more "lpips" is more diverse.
    """
    column = _COLUMNS.get((backbone, metric))
    row = _TABLE_4.get(photos, {}).get(generator)
    return None if column is None or row is None else Printed(row[column], f"Table 4, {photos}")


@dataclasses.dataclass(frozen=True)
class Number:
    """A mean, the sample standard deviation of the values it is of, and how many those are.

    `spread` is None where it is not known. `degree` is 2 where each value is a picture's mean distance to all
    others: every picture is then in all the values, and the mean over pairs is about twice as uncertain as it
    seems (a U-statistic of degree 2).
    """

    mean: float
    spread: float | None
    count: int
    degree: int = 1

    @property
    def error(self) -> float | None:
        """The standard error of the mean, if the spread is known."""
        return None if self.spread is None else self.degree * self.spread / math.sqrt(self.count)


def summarize(values: Sequence[float], degree: int = 1) -> Number:
    """Return the mean and spread of values; one value has none, nor has the one distance of two pictures."""
    spread = statistics.stdev(values) if len(values) > degree else None
    return Number(statistics.fmean(values), spread, len(values), degree)


def compare_with_paper(ours: Number, printed: float, reasons: Sequence[str]) -> str:
    """Return "reproduced", "within x %", "differs by x %", or "not comparable: ..." if there are `reasons`.

    Reproduced: the difference is no more than the paper's rounding or twice our standard error.
    """
    if reasons:
        return f"not comparable: {'; '.join(reasons)}"
    distance = abs(ours.mean - printed)
    if distance <= max(ROUNDING, DECIDED * (ours.error or 0.0)) * (1 + 1e-9):
        return "reproduced"
    percent = 100 * distance / abs(printed)
    return f"within {math.ceil(percent)} %" if percent <= 25 else f"differs by {percent:.0f} %"


def subtract(ours: Sequence[Number], others: Sequence[Number]) -> Number:
    """Return ours minus theirs over the same photos, in the same order.

    The error is that of the differences over several photos; on one photo that of its samples, if known.
    """
    result = summarize([a.mean - b.mean for a, b in zip(ours, others, strict=True)])
    if len(ours) > 1:
        return result
    errors = (ours[0].error, others[0].error)
    if errors[0] is None or errors[1] is None:
        return result
    return Number(result.mean, math.hypot(errors[0], errors[1]), 1)


def compare_order(ours: Number, printed: float) -> str:
    """Return whether a difference of ours has the sign of the paper's, `printed`, which is not 0."""
    same = (ours.mean < 0) == (printed < 0)
    if ours.error is None:
        return f"{'as in the paper' if same else 'the other way round'}, on one photo, spread unknown"
    if abs(ours.mean) <= DECIDED * ours.error:
        return f"undecided: {ours.mean:+.3g} is within two standard errors ({ours.error:.2g}) of 0"
    return "as in the paper" if same else "the other way round"
