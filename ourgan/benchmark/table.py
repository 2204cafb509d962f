"""From single results to the table: means, spreads, the paper's number beside ours, and the verdict."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ourgan._core import files, provenance
from ourgan._core.errors import OurganError
from ourgan.benchmark import paper
from ourgan.benchmark.significance import Number, against_paper, difference, number, order
from ourgan.metrics.registry import METRICS, Metric

ALL = "all"  # in the column `photo`: the mean over the photos
OURS = "ourgan"


@dataclasses.dataclass
class Group:
    """The results of one photo, generator and backbone: `values` by metric, one for each picture."""

    photo: str
    generator: str
    backbone: str
    profile: str = ""
    weights: str = ""  # of steps 2 and on: fine-tuned, partly, or released
    absent: str = ""  # why there is nothing
    count: int = 0  # pictures
    values: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def number(self, metric: Metric) -> Number | None:
        """The mean of a metric over the pictures, or over their pairs."""
        values = self.values.get(metric.name)
        return number(values, metric.degree) if values else None


@dataclasses.dataclass(frozen=True)
class Facts:
    """What all rows have in common. `absent`: metrics that cannot be had here, and why."""

    paper_set: str
    photos: list[str]
    backbones: list[str]
    size: str
    absent: dict[str, str]

    @property
    def compared_with(self) -> str:
        """Whose numbers of the paper stand beside ours."""
        return self.paper_set or "ST4K"


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of table.csv. `std_pictures`: over pictures of one model; `std_photos`: over photos."""

    photo: str
    generator: str
    backbone: str
    metric: str
    column: str
    mean: float | None
    std_pictures: float | None
    std_photos: float | None
    photos: int
    pictures: int
    profile: str
    weights: str
    paper: float | None
    table: str
    ratio: float | None
    verdict: str


@dataclasses.dataclass(frozen=True)
class Order:
    """A line of orders.csv: whether `first` minus `second` has the sign of the paper's difference."""

    metric: str
    stands_for: str
    first: str
    second: str
    photos: int
    ours: float
    error: float | None
    paper: float
    table: str
    verdict: str


def write_results(
    directory: Path, groups: Sequence[Group], facts: Facts, settings: dict[str, Any]
) -> dict[str, Any]:
    """Write table.csv, orders.csv and, last, table.json with both and their provenance; returns that."""
    rows, orders = table(groups, facts), all_orders(groups, facts)
    result = provenance.record(
        settings=settings,
        absent=facts.absent,
        rows=[dataclasses.asdict(row) for row in rows],
        orders=[dataclasses.asdict(row) for row in orders],
    )
    try:
        files.write_bytes(directory / "table.csv", _csv(Row, rows))
        files.write_bytes(directory / "orders.csv", _csv(Order, orders))
        files.write_json(directory / "table.json", result)
    except OSError as error:
        raise OurganError(
            f"{directory}: cannot be written ({error.strerror}); make room and repeat"
        ) from None
    return result


def table(groups: Sequence[Group], facts: Facts) -> list[Row]:
    """A row for each photo and one for all, of every generator, backbone and metric."""
    rows = []
    for metric in METRICS:
        for own in _by_generator(groups).values():
            own = sorted(own, key=lambda group: facts.photos.index(group.photo))
            rows += [_row([group], metric, facts, group.photo) for group in own]
            rows.append(_row(own, metric, facts, ALL))
    return rows


def all_orders(groups: Sequence[Group], facts: Facts) -> list[Order]:
    """Ours against every other generator, and every generator's two backbones, where the paper has both."""
    by_generator = _by_generator(groups)
    pairs = [
        (a, b) for a, b in itertools.permutations(by_generator, 2) if a[0] == OURS != b[0] and a[1] == b[1]
    ]
    pairs += [(a, b) for a, b in itertools.combinations(sorted(by_generator), 2) if a[0] == b[0]]
    found = []
    for metric in METRICS:
        for first, second in pairs:
            order_found = _order(metric, first, second, by_generator, facts)
            if order_found is not None:
                found.append(order_found)
    return found


_Key = tuple[str, str]


def _by_generator(groups: Iterable[Group]) -> dict[_Key, list[Group]]:
    found: dict[_Key, list[Group]] = {}
    for group in groups:
        found.setdefault((group.generator, group.backbone), []).append(group)
    return found


def _row(groups: Sequence[Group], metric: Metric, facts: Facts, photo: str) -> Row:
    known = [(group, found) for group in groups if (found := group.number(metric))]
    numbers = [found for _, found in known]
    first = groups[0]
    printed = paper.table_4(facts.compared_with, first.generator, first.backbone, metric.paper)
    over_photos = number([found.mean for found in numbers]) if numbers else None
    spreads = [found.spread for found in numbers if found.spread is not None]
    counts = [group.count for group, _ in known]
    if over_photos is None:
        reason = facts.absent.get(metric.name) or "; ".join(dict.fromkeys(g.absent for g in groups))
        verdict = f"absent: {reason}"
    elif printed is None:
        verdict = f"no number in the paper{f'; see orders for {metric.stands_for}' * bool(metric.stands_for)}"
    else:
        reasons = _reasons([group for group, _ in known], facts, photo)
        ours = over_photos if len(numbers) > 1 else numbers[0]
        verdict = against_paper(ours, printed.value, reasons)
    return Row(
        photo=photo,
        generator=first.generator,
        backbone=first.backbone,
        metric=metric.name,
        column=metric.column,
        mean=over_photos.mean if over_photos else None,
        std_pictures=sum(spreads) / len(spreads) if spreads else None,
        std_photos=over_photos.spread if over_photos else None,
        photos=len(numbers),
        pictures=min(counts, default=0),
        profile=", ".join(dict.fromkeys(group.profile for group, _ in known if group.profile)),
        weights=", ".join(dict.fromkeys(group.weights for group, _ in known if group.weights)),
        paper=printed.value if printed else None,
        table=printed.table if printed else "",
        ratio=over_photos.mean / printed.value if over_photos and printed else None,
        verdict=verdict,
    )


def _reasons(groups: Sequence[Group], facts: Facts, photo: str) -> list[str]:
    """Why a number of ours is not the paper's experiment."""
    reasons = []
    if not facts.paper_set:
        reasons.append("other photos")
    elif photo != ALL:
        reasons.append("one photo of the set")
    elif len(groups) < len(facts.photos):
        reasons.append(f"{len(groups)} of {len(facts.photos)} photos")
    if facts.size != paper.SIZE:
        reasons.append(f"size {facts.size}, not {paper.SIZE}")
    if (fewest := min(group.count for group in groups)) < paper.SAMPLES:
        reasons.append(f"{fewest} pictures, not {paper.SAMPLES}")
    profiles = {group.profile for group in groups if group.profile} - {paper.PROFILE}
    reasons += [f"profile {profile}, not {paper.PROFILE}" for profile in sorted(profiles)]
    kinds = {group.weights for group in groups} - {"fine-tuned"}
    reasons += [f"weights of steps 2 and 3 {kind}" for kind in sorted(kinds)]
    return reasons


def _order(
    metric: Metric, first: _Key, second: _Key, groups: dict[_Key, list[Group]], facts: Facts
) -> Order | None:
    column = metric.paper or metric.stands_for
    printed = [paper.table_4(facts.compared_with, *key, column) for key in (first, second)]
    if printed[0] is None or printed[1] is None or printed[0].value == printed[1].value:
        return None
    ours = {group.photo: found for group in groups[first] if (found := group.number(metric))}
    theirs = {group.photo: found for group in groups[second] if (found := group.number(metric))}
    both = [photo for photo in ours if photo in theirs]
    if not both:
        return None
    found = difference([ours[photo] for photo in both], [theirs[photo] for photo in both])
    step = printed[0].value - printed[1].value
    return Order(
        metric=metric.name,
        stands_for=metric.stands_for,
        first=" ".join(first),
        second=" ".join(second),
        photos=len(both),
        ours=found.mean,
        error=found.error,
        paper=round(step, 2),
        table=printed[0].table,
        verdict=order(found, step),
    )


def _csv(kind: type, rows: Sequence[Any]) -> bytes:
    names = [field.name for field in dataclasses.fields(kind)]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: "" if (value := getattr(row, name)) is None else value for name in names} for row in rows
    )
    return text.getvalue().encode()
