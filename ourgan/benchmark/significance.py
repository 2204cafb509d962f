"""What a number of ours says about a number of the paper, in words that cannot promise too much."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

ROUNDING = 0.005  # the paper prints two decimals
DECIDED = 2.0  # standard errors


@dataclasses.dataclass(frozen=True)
class Number:
    """A mean, the spread (sample standard deviation) of what it is the mean of, and how many those are.

    `degree`: 2 where each value is a picture's mean distance to all others. Every picture is then in all the
    values, and the mean over pairs is about twice as uncertain as it seems (a U-statistic of degree 2).
    """

    mean: float
    spread: float | None
    count: int
    degree: int = 1

    @property
    def error(self) -> float | None:
        """Its standard error, if the spread is known."""
        return None if self.spread is None else self.degree * self.spread / math.sqrt(self.count)


def number(values: Sequence[float], degree: int = 1) -> Number:
    """The mean and spread of values; one value has none, nor has the one distance of two pictures."""
    spread = statistics.stdev(values) if len(values) > degree else None
    return Number(statistics.fmean(values), spread, len(values), degree)


def against_paper(ours: Number, printed: float, reasons: Sequence[str]) -> str:
    """ "reproduced", "within x %", "differs by x %", or "not comparable: ..." if there are `reasons`.

    Reproduced: the difference is no more than the paper's rounding or twice our standard error.
    """
    if reasons:
        return f"not comparable: {'; '.join(reasons)}"
    difference = abs(ours.mean - printed)
    if difference <= max(ROUNDING, DECIDED * (ours.error or 0.0)) * (1 + 1e-9):
        return "reproduced"
    percent = 100 * difference / abs(printed)
    return f"within {math.ceil(percent)} %" if percent <= 25 else f"differs by {percent:.0f} %"


def difference(ours: Sequence[Number], others: Sequence[Number]) -> Number:
    """Ours minus theirs over the same photos, in the same order; the spread is what makes its error.

    Over several photos the differences themselves spread; of one photo the samples do, if it is known how.
    """
    found = number([a.mean - b.mean for a, b in zip(ours, others, strict=True)])
    if len(ours) > 1:
        return found
    errors = (ours[0].error, others[0].error)
    if errors[0] is None or errors[1] is None:
        return found
    return Number(found.mean, math.hypot(errors[0], errors[1]), 1)


def order(found: Number, printed: float) -> str:
    """Whether a difference has the sign of the paper's, `printed`, which is not 0."""
    same = (found.mean < 0) == (printed < 0)
    if found.error is None:
        return f"{'as in the paper' if same else 'the other way round'}, on one photo, spread unknown"
    if abs(found.mean) <= DECIDED * found.error:
        return f"undecided: {found.mean:+.3g} is within two standard errors ({found.error:.2g}) of 0"
    return "as in the paper" if same else "the other way round"
