"""The table of metrics: what several of them read is computed once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from ourgan.metrics.registry import COPYING, METRICS, by_measure, copied
from ourgan.projection.copying import Copying


def test_the_copy_measure_is_one_search_and_all_its_numbers(photo: Callable[..., Tensor]) -> None:
    assert by_measure(METRICS)[copied] == list(COPYING)
    assert [metric.part for metric in COPYING] == [field.name for field in dataclasses.fields(Copying)]
    image = photo(width=64)
    found = copied(image, image.flip(2))
    assert [metric.read(found) for metric in COPYING] == list(dataclasses.astuple(found))


def test_each_picture_metric_has_one_measure_and_a_key_of_its_own() -> None:
    grouped = [metric for metrics in by_measure(METRICS).values() for metric in metrics]
    assert sorted(m.name for m in grouped) == sorted(m.name for m in METRICS if m.of_picture)
    assert len({metric.key for metric in METRICS}) == len(METRICS)
    assert by_measure(metric for metric in METRICS if metric.of_pairs) == {}
