"""From single results to the table: means, spreads, the paper's number beside ours, and the verdict."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ourgan._core import files, provenance
from ourgan.benchmark import paper
from ourgan.benchmark.paper import Number, compare_order, compare_with_paper, subtract, summarize
from ourgan.benchmark.ways import PAPER, Way
from ourgan.metrics.registry import COPYING, METRICS, Metric

ALL = "all"  # in the column `photo`: the mean over the photos
OURS = "ourgan"
Line = dict[str, Any]
_Key = tuple[str, str, Way]  # generator, backbone, way

# Of orders.csv: whether `first` minus `second` has the sign of the paper's difference.
ORDER = ["metric", "stands_for", "first", "second", "photos", "ours", "error", "paper", "table", "verdict"]


@dataclasses.dataclass
class Cell:
    """The results of one photo, generator, backbone and way of drawing.

    Attributes:
        profile: that the generator was trained with, as far as one knows.
        weights: of steps 2 and on: "fine-tuned", "partly fine-tuned" or "released".
        absent: why there is nothing.
        count: pictures.
        values: by metric, one for each picture.
    """

    photo: str
    generator: str
    backbone: str
    way: Way = PAPER
    profile: str = ""
    weights: str = ""
    absent: str = ""
    count: int = 0
    values: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def number(self, metric: Metric) -> Number | None:
        """Return the mean of a metric over the pictures, or over their pairs."""
        values = self.values.get(metric.name)
        return summarize(values, metric.degree) if values else None


@dataclasses.dataclass(frozen=True)
class Context:
    """What all rows have in common; `photos` are in the table's order.

    `paper_set` is the paper's name of the set, or ""; `absent` says why a metric cannot be had here.
    """

    paper_set: str
    photos: list[str]
    size: str
    absent: dict[str, str]

    def printed(self, key: _Key, column: str) -> paper.Printed | None:
        """Return the paper's number to stand beside ours: that of ST4K for other photos than the paper's."""
        generator, backbone, way = key
        photos = self.paper_set or "ST4K"
        return paper.table_4(photos, generator, backbone, column) if way == PAPER else None


def write_results(
    directory: Path,
    cells: Sequence[Cell],
    calibration: Sequence[Cell],
    context: Context,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Write table.csv, orders.csv and, last, table.json with both and their provenance; return that."""
    rows = [*build_rows(cells, context), *build_rows(calibration, context, COPYING)]
    orders = build_orders(cells, context)
    result = provenance.record(settings=settings, absent=context.absent, rows=rows, orders=orders)
    tables = {"table.csv": pd.DataFrame(rows), "orders.csv": pd.DataFrame(orders, columns=ORDER)}
    with files.refuse_unwritable(directory, "make room and repeat"):
        for name, table in tables.items():
            files.write_bytes(directory / name, table.to_csv(index=False).encode())
        files.write_json(directory / "table.json", result)
    return result


def build_rows(
    cells: Sequence[Cell], context: Context, metrics: Sequence[Metric] | None = None
) -> list[Line]:
    """Return a row for each photo and one for all, of every generator, backbone, way and metric.

    "std_pictures" is over the pictures of one model, "std_photos" over photos. `metrics`: None for all.
    """
    rows = []
    for metric in METRICS if metrics is None else metrics:
        for group in _by_generator(cells).values():
            ordered = sorted(group, key=lambda cell: context.photos.index(cell.photo))
            rows += [_row([cell], metric, context, cell.photo) for cell in ordered]
            rows.append(_row(ordered, metric, context, ALL))
    return rows


def build_orders(cells: Sequence[Cell], context: Context) -> list[Line]:
    """Compare ours with every other generator, and the backbones of each, where the paper has both."""
    groups = _by_generator(cells)
    pairs = [(a, b) for a, b in itertools.permutations(groups, 2) if a[0] == OURS != b[0] and a[1] == b[1]]
    pairs += [(a, b) for a, b in itertools.combinations(sorted(groups), 2) if a[0] == b[0]]
    orders = [_order(metric, first, second, groups, context) for metric in METRICS for first, second in pairs]
    return [order for order in orders if order is not None]


def _by_generator(cells: Iterable[Cell]) -> dict[_Key, list[Cell]]:
    groups: dict[_Key, list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.generator, cell.backbone, cell.way), []).append(cell)
    return groups


def _row(cells: Sequence[Cell], metric: Metric, context: Context, photo: str) -> Line:
    known = [(cell, number) for cell in cells if (number := cell.number(metric))]
    measured, numbers = [cell for cell, _ in known], [number for _, number in known]
    first = cells[0]
    printed = context.printed((first.generator, first.backbone, first.way), metric.paper)
    over_photos = summarize([number.mean for number in numbers]) if numbers else None
    spreads = [number.spread for number in numbers if number.spread is not None]
    if over_photos is None:
        reason = context.absent.get(metric.name) or "; ".join(dict.fromkeys(cell.absent for cell in cells))
        verdict = f"absent: {reason}"
    elif printed is None:
        see = bool(metric.stands_for) and first.way == PAPER
        verdict = f"no number in the paper{f'; see orders for {metric.stands_for}' * see}"
    else:
        ours = over_photos if len(numbers) > 1 else numbers[0]
        verdict = compare_with_paper(ours, printed.value, _reasons(measured, context, photo))
    return {
        "photo": photo,
        "generator": first.generator,
        "backbone": first.backbone,
        "scene": first.way.scene,
        "detail": first.way.detail,
        "metric": metric.name,
        "column": metric.column,
        "mean": over_photos.mean if over_photos else None,
        "std_pictures": sum(spreads) / len(spreads) if spreads else None,
        "std_photos": over_photos.spread if over_photos else None,
        "photos": len(numbers),
        "pictures": min((cell.count for cell in measured), default=0),
        "profile": ", ".join(dict.fromkeys(cell.profile for cell in measured if cell.profile)),
        "weights": ", ".join(dict.fromkeys(cell.weights for cell in measured if cell.weights)),
        "paper": printed.value if printed else None,
        "table": printed.table if printed else "",
        "ratio": over_photos.mean / printed.value if over_photos and printed else None,
        "verdict": verdict,
    }


def _reasons(cells: Sequence[Cell], context: Context, photo: str) -> list[str]:
    """Return why a number of ours is not the paper's experiment."""
    reasons = []
    if not context.paper_set:
        reasons.append("other photos")
    elif photo != ALL:
        reasons.append("one photo of the set")
    elif len(cells) < len(context.photos):
        reasons.append(f"{len(cells)} of {len(context.photos)} photos")
    if context.size != paper.SIZE:
        reasons.append(f"size {context.size}, not {paper.SIZE}")
    if (fewest := min(cell.count for cell in cells)) < paper.SAMPLES:
        reasons.append(f"{fewest} pictures, not {paper.SAMPLES}")
    profiles = {cell.profile for cell in cells if cell.profile} - {paper.PROFILE}
    reasons += [f"profile {profile}, not {paper.PROFILE}" for profile in sorted(profiles)]
    kinds = {cell.weights for cell in cells} - {"fine-tuned"}
    reasons += [f"weights of steps 2 and 3 {kind}" for kind in sorted(kinds)]
    return reasons


def _order(
    metric: Metric, first: _Key, second: _Key, groups: dict[_Key, list[Cell]], context: Context
) -> Line | None:
    """Return None where the paper has no numbers to compare, or we have none."""
    column = metric.paper or metric.stands_for
    printed = context.printed(first, column), context.printed(second, column)
    if printed[0] is None or printed[1] is None or printed[0].value == printed[1].value:
        return None
    ours, theirs = (
        {cell.photo: number for cell in groups[key] if (number := cell.number(metric))}
        for key in (first, second)
    )
    both = [photo for photo in ours if photo in theirs]
    if not both:
        return None
    difference = subtract([ours[photo] for photo in both], [theirs[photo] for photo in both])
    expected = printed[0].value - printed[1].value
    return {
        "metric": metric.name,
        "stands_for": metric.stands_for,
        "first": " ".join(first[:2]),
        "second": " ".join(second[:2]),
        "photos": len(both),
        "ours": difference.mean,
        "error": difference.error,
        "paper": round(expected, 2),
        "table": printed[0].table,
        "verdict": compare_order(difference, expected),
    }
