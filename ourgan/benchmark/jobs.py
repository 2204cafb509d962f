"""From pictures to single results: which are there, and the jobs that make the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ourgan.benchmark.cache import cell_path, read_cell
from ourgan.benchmark.config import Checked
from ourgan.benchmark.table import Group
from ourgan.cluster import Job
from ourgan.metrics.registry import Metric

WORK = "ourgan.benchmark.work"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture to be measured: its file, what it is known by, and the job that makes it."""

    path: Path
    key: str
    job: Job


@dataclasses.dataclass(frozen=True)
class Cell:
    """One result: the file it lies in, and what it is the result of."""

    path: Path
    inputs: dict[str, Any]

    def argument(self) -> dict[str, Any]:
        """The same in JSON values, for a job."""
        return {"path": str(self.path), "inputs": self.inputs}


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Results that are made together: of one `picture` of a photo, or, if that is None, of all `pictures`."""

    group: Group
    photo: str
    picture: Picture | None
    pictures: Sequence[Picture]
    cells: Sequence[Cell]

    def jobs(self) -> list[Job]:
        """What is missing."""
        missing = [cell for cell in self.cells if not cell.path.exists()]
        if not missing:
            return []
        outputs = tuple(str(cell.path) for cell in missing)
        if self.picture is None:
            reads = [str(picture.path) for picture in self.pictures]
            arguments: dict[str, Any] = {"pictures": reads, "cell": missing[0].argument()}
            return [Job(f"{WORK}:measure_pairs", arguments, tuple(reads), outputs)]
        picture = str(self.picture.path)
        arguments = {"photo": self.photo, "picture": picture, "cells": [cell.argument() for cell in missing]}
        return [Job(f"{WORK}:measure_picture", arguments, (self.photo, picture), outputs)]

    def read(self) -> None:
        """Put the results into the group."""
        for cell in self.cells:
            self.group.values.setdefault(cell.inputs["metric"], []).extend(read_cell(cell.path))


def measurements(
    checked: Checked, group: Group, pictures: Sequence[Picture], known: Sequence[Metric]
) -> list[Measurement]:
    """All results of a group: for each picture those of pictures, then each of their pairs."""
    photo, path = next(item for item in checked.photos.items() if item[0].name == group.photo)
    group.count = len(pictures)

    def cell(metric: Metric, **of: Any) -> Cell:
        inputs = {"metric": metric.name, "version": metric.version, **of}
        return Cell(cell_path(checked.out / "cells", inputs), inputs)

    keys = [picture.key for picture in pictures]
    single = [metric for metric in known if metric.of_picture is not None]
    made = [
        Measurement(
            group,
            str(path),
            picture,
            pictures,
            [cell(metric, photo=photo.sha256, picture=picture.key) for metric in single],
        )
        for picture in pictures
    ]
    return made + [
        Measurement(group, str(path), None, pictures, [cell(metric, pictures=keys)])
        for metric in known
        if metric.of_pairs is not None
    ]
