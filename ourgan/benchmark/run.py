"""`ourgan benchmark`: a set of photos x generators x backbones, measured into one tidy table (Tables 3, 4).

Everything costly is a job (`ourgan.cluster`) whose outputs are named by the hash of their inputs: models in
OUT/models, pictures in OUT/pictures, single results in OUT/cells. What is there is never made again.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ourgan._core import files
from ourgan._core.devices import best_device, compute_dtype, dtype_name
from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import to_dict
from ourgan.benchmark.cache import digest
from ourgan.benchmark.config import Checked, Plan, check, identity, released_weights
from ourgan.benchmark.jobs import WORK, Picture, measurements
from ourgan.benchmark.photo_sets import Photograph
from ourgan.benchmark.samples import MODELS, Model, Scenes, open_models
from ourgan.benchmark.table import Facts, Group, write_results
from ourgan.benchmark.work import TRAINED
from ourgan.cluster import Job, run_jobs
from ourgan.config import SIZES, SuperResolutionConfig
from ourgan.io.model_dir import STRUCTURE, fine_tuned_file
from ourgan.metrics.registry import METRICS

log = logging.getLogger(__name__)

SEED = 0  # of trainings


@dataclasses.dataclass(frozen=True)
class Enlargement:
    """How steps 2 and on of a photo's pictures are made: `directory` has the steps' own weights, or is "".

    `weights`: sha256 for each step; `kind`: "fine-tuned", "partly fine-tuned" or "released".
    """

    directory: str
    super_resolution: dict[str, Any]
    weights: dict[str, str]
    kind: str


def benchmark(plan: Plan) -> dict[str, Any]:
    """Train what is missing (with a profile only), draw, measure; returns what OUT/table.json holds.

    Raises OurganError in one line, before any work, for whatever can be seen then. An interrupted or failed
    run keeps all that is finished; the same call goes on.
    """
    checked = check(plan)
    _run(checked, _trainings(checked), "models")
    scenes, absent = _scenes(checked)
    if plan.fine_tune:
        _run(checked, _fine_tunings(checked), "fine-tuning")
    groups, pictures = _grouped(checked, scenes, absent)
    _run(checked, [picture.job for made in pictures.values() for picture in made], "pictures")
    missing = {metric.name: reason for metric in METRICS if (reason := metric.absent())}
    known = [metric for metric in METRICS if metric.name not in missing]
    measured = [
        measurement
        for index, made in pictures.items()
        for measurement in measurements(checked, groups[index], made, known)
    ]
    _run(checked, [job for measurement in measured for job in measurement.jobs()], "metrics")
    for measurement in measured:
        measurement.read()
    facts = Facts(
        paper_set=checked.photo_set.paper,
        photos=[photo.name for photo in checked.photos],
        backbones=list(plan.backbones),
        size=plan.size,
        absent=missing,
    )
    return write_results(checked.out, groups, facts, identity(checked) | {"set": plan.photos})


def _run(checked: Checked, jobs: Sequence[Job], title: str) -> None:
    run_jobs(jobs, checked.plan.cluster, workers=checked.plan.workers, title=title)


# -- models -----------------------------------------------------------------------------------------


def _models(checked: Checked) -> list[Model]:
    """All that are known by now; those named first, then those trained here, then the shipped ones."""
    trained = [str(path.parent) for path in sorted((checked.out / "models").glob(f"*/{TRAINED}"))]
    shipped = open_models([str(MODELS)]) if MODELS.is_dir() else []
    return [*checked.given, *open_models(trained), *shipped]


def _model(models: Sequence[Model], photo: Photograph, generator: str) -> Model | None:
    ours = (m for m in models if (m.facts.photo_sha256, m.generator) == (photo.sha256, generator))
    return next(ours, None)


def _training(checked: Checked, function: str, photo: Photograph, name: str, **arguments: Any) -> Job:
    out, path = checked.out / "models" / f"{photo.name}-{name}", str(checked.photos[photo])
    given = {"photo": path, "out": str(out), "profile": checked.profile, "seed": SEED, **arguments}
    profile = (checked.profile,) if checked.profile.endswith(".toml") else ()
    return Job(f"{WORK}:{function}", given, (path, *profile), (str(out / TRAINED),))


def _trainings(checked: Checked) -> list[Job]:
    if not checked.profile:
        return []
    models = _models(checked)
    return [
        _training(
            checked, "train", photo, generator, generator=generator, credit=f"{photo.author}, {photo.licence}"
        )
        for photo in checked.photos
        for generator in checked.plan.generators
        if _model(models, photo, generator) is None
    ]


def _fine_tunings(checked: Checked) -> list[Job]:
    """For every photo and backbone whose steps have no weights of their own, beside its first model."""
    models, steps = _models(checked), list(range(2, SIZES[checked.plan.size] + 2))
    jobs = []
    for photo in checked.photos:
        own = [model for model in models if model.facts.photo_sha256 == photo.sha256]
        for backbone in checked.plan.backbones:
            if own and not any(_has_steps(model, backbone, steps) for model in own):
                more = {"model": str(own[0].directory), "backbone": backbone, "steps": steps}
                jobs.append(_training(checked, "fine_tune", photo, f"sr-{backbone}", **more))
    return jobs


def _has_steps(model: Model, backbone: str, steps: Sequence[int]) -> bool:
    return model.super_resolution.backbone == backbone and set(steps) <= set(model.steps)


def _scenes(
    checked: Checked,
) -> tuple[dict[tuple[Photograph, str], Scenes], dict[tuple[Photograph, str], str]]:
    """What there is by photo and generator, and the reason for what there is not."""
    found, absent = dict(checked.from_folders), {}
    models = _models(checked)
    generators = dict.fromkeys([*checked.plan.generators, *(model.generator for model in checked.given)])
    for photo in checked.photos:
        for generator in generators:
            model = _model(models, photo, generator)
            if model is not None:
                found[photo, generator] = Scenes(generator, model)
            else:
                absent[photo, generator] = "no model of this photo; --profile cpu would train one"
        for folder in dict.fromkeys(name for _, name in checked.from_folders):
            if (photo, folder) not in found:
                absent[photo, folder] = "no samples of this photo in the folder"
    if not found:
        raise OurganError(
            f"nothing to measure: no model of a photo of {checked.photo_set.name}, no samples; train with "
            "--profile cpu, or give --models or --samples"
        )
    return found, absent


def _grouped(
    checked: Checked, scenes: dict[tuple[Photograph, str], Scenes], absent: dict[tuple[Photograph, str], str]
) -> tuple[list[Group], dict[int, list[Picture]]]:
    """A group of results for each photo, generator and backbone, and the pictures of those that have any."""
    groups = [
        Group(photo.name, generator, backbone, absent=reason)
        for (photo, generator), reason in absent.items()
        for backbone in checked.plan.backbones
    ]
    pictures: dict[int, list[Picture]] = {}
    for (photo, generator), found in scenes.items():
        for backbone in checked.plan.backbones:
            group = Group(photo.name, generator, backbone, found.profile)
            if backbone in checked.without_weights:
                group.absent = checked.without_weights[backbone]
            else:
                enlargement = _enlargement(checked, photo, backbone)
                group.weights = enlargement.kind
                pictures[len(groups)] = _pictures(checked, found, enlargement)
            groups.append(group)
    return groups, pictures


# -- pictures ---------------------------------------------------------------------------------------


def _enlargement(checked: Checked, photo: Photograph, backbone: str) -> Enlargement:
    """The steps' own weights if any model of the photo has them, the same for all its generators."""
    steps = range(2, SIZES[checked.plan.size] + 2)
    own = [
        model
        for model in _models(checked)
        if model.facts.photo_sha256 == photo.sha256 and model.super_resolution.backbone == backbone
    ]
    best = max(own, key=lambda model: len(set(steps) & set(model.steps)), default=None)
    tuned = sorted(set(steps) & set(best.steps)) if best else []
    if best is None or not tuned:
        # Released weights were never trained with the noise of Eq. 4, which they would smear.
        settings, directory = SuperResolutionConfig(backbone=backbone, noise_std=0.0), ""
    else:
        settings, directory = best.super_resolution, str(best.directory)
    dtype = compute_dtype(settings.dtype, best_device())
    name = dtype_name(dtype)
    settings = dataclasses.replace(settings, dtype=name)
    released = "" if len(tuned) == len(steps) else released_weights(backbone, settings.weights)
    weights = {
        str(s): files.sha256(Path(directory) / fine_tuned_file(s)) if s in tuned else released for s in steps
    }
    kind = "fine-tuned" if len(tuned) == len(steps) else "partly fine-tuned" if tuned else "released"
    return Enlargement(directory, to_dict(settings), weights, kind)


def _pictures(checked: Checked, scenes: Scenes, enlargement: Enlargement) -> list[Picture]:
    model, made = scenes.model, []
    for seed in range(checked.plan.seeds if model else len(scenes.pictures)):
        source = str(model.directory) if model else ""
        picture = "" if model else str(scenes.pictures[seed])
        key = digest(
            {
                "scene": model.key if model else files.sha256(picture),
                "seed": seed,
                "size": checked.plan.size,
                "width": checked.plan.width,
                "super_resolution": enlargement.super_resolution,
                "weights": enlargement.weights,
            }
        )
        path = checked.out / "pictures" / f"{key}.png"
        arguments = {
            "out": str(path),
            "model": source,
            "picture": picture,
            "seed": seed,
            "size": checked.plan.size,
            "width": checked.plan.width,
            "enlarger": enlargement.directory,
            "super_resolution": enlargement.super_resolution,
        }
        reads = (str(Path(source) / STRUCTURE),) if source else (picture,)
        made.append(Picture(path, key, Job(f"{WORK}:draw", arguments, reads, (str(path),))))
    return made
