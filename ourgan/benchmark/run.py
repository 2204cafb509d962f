"""`ourgan benchmark`: photos x generators x backbones x ways, measured into one tidy table (Tables 3, 4).

Everything costly is a job (`ourgan.cluster`) whose outputs are named by the hash of their inputs: models in
OUT/models, pictures in OUT/pictures, single results in OUT/cells. What is there is never made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ourgan._core.errors import OurganError
from ourgan.benchmark.config import Plan, Preflight, check_plan, common_settings
from ourgan.benchmark.jobs import JOBS, TRAINED, list_pictures
from ourgan.benchmark.measurements import calibrate_photo, list_measurements
from ourgan.benchmark.photo_sets import Photograph
from ourgan.benchmark.samples import MODELS, Model, Source, Upscaling, choose_upscaling, open_models
from ourgan.benchmark.table import Cell, Context, write_results
from ourgan.benchmark.ways import NONE, WAYS, Way
from ourgan.cluster import Job, run_jobs
from ourgan.config import steps_of
from ourgan.metrics.registry import METRICS

SEED = 0  # of trainings

_Key = tuple[Photograph, str]  # photo, generator


def benchmark(plan: Plan) -> dict[str, Any]:
    """Train what is missing (with a profile only), draw and measure.

    An interrupted or failed run keeps all that is finished; the same call goes on.

    Returns:
        What OUT/table.json holds.

    Raises:
        OurganError: In one line, before any work, for whatever can be seen then.
    """
    preflight = check_plan(plan)
    _run(preflight, _trainings(preflight), "models")
    sources, absent = _find_sources(preflight)
    if plan.fine_tune:
        _run(preflight, _fine_tunings(preflight), "fine-tuning")
    cells, pictures = _fill_cells(preflight, sources, absent)
    _run(preflight, [job for drawing in pictures.values() for job in drawing], "pictures")
    missing = {metric.name: reason for metric in METRICS if (reason := metric.absent())}
    known = [metric for metric in METRICS if metric.name not in missing]
    measurements = [
        measurement
        for index, drawing in pictures.items()
        for measurement in list_measurements(
            preflight, cells[index], [job.outputs[0] for job in drawing], known
        )
    ]
    calibration = [each for photo in preflight.photos for each in calibrate_photo(preflight, photo)]
    _run(preflight, [each.job for each in (*measurements, *calibration) if each.job], "metrics")
    for measurement in (*measurements, *calibration):
        measurement.read()
    context = Context(
        paper_set=preflight.photo_set.paper,
        photos=[photo.name for photo in preflight.photos],
        size=plan.size,
        absent=missing,
    )
    settings = common_settings(preflight) | {"set": plan.photos}
    return write_results(preflight.out, cells, [each.cell for each in calibration], context, settings)


def _run(preflight: Preflight, jobs: Sequence[Job], title: str) -> None:
    run_jobs(jobs, preflight.plan.cluster, workers=preflight.plan.workers, title=title)


def _known_models(preflight: Preflight) -> list[Model]:
    """Return all models there are by now; those named first, then those trained here, then shipped ones."""
    trained = [str(path.parent) for path in sorted((preflight.out / "models").glob(f"*/{TRAINED}"))]
    shipped = open_models([str(MODELS)]) if MODELS.is_dir() else []
    return [*preflight.models, *open_models(trained), *shipped]


def _find_model(models: Sequence[Model], photo: Photograph, generator: str) -> Model | None:
    fitting = (m for m in models if (m.metadata.photo_sha256, m.generator) == (photo.sha256, generator))
    return next(fitting, None)


def _training(preflight: Preflight, function: str, photo: Photograph, name: str, **more: Any) -> Job:
    out, path = preflight.out / "models" / f"{photo.name}-{name}", str(preflight.photos[photo])
    arguments = {"photo": path, "out": str(out), "profile": preflight.profile, "seed": SEED, **more}
    profile = (preflight.profile,) if preflight.profile.endswith(".toml") else ()
    return Job(f"{JOBS}:{function}", arguments, (path, *profile), (str(out / TRAINED),))


def _trainings(preflight: Preflight) -> list[Job]:
    """Return the trainings of step 1 that are missing; none without a profile."""
    if not preflight.profile:
        return []
    models, jobs = _known_models(preflight), []
    for photo in preflight.photos:
        for generator in preflight.plan.generators:
            if _find_model(models, photo, generator) is None:
                more = {"generator": generator, "credit": f"{photo.author}, {photo.licence}"}
                jobs.append(_training(preflight, "train", photo, generator, **more))
    return jobs


def _fine_tunings(preflight: Preflight) -> list[Job]:
    """Return a job for every photo and backbone whose steps have no weights of their own."""
    models, steps = _known_models(preflight), list(steps_of(preflight.plan.size))
    jobs = []
    for photo in preflight.photos:
        own = [model for model in models if model.metadata.photo_sha256 == photo.sha256]
        for backbone in preflight.plan.backbones:
            if own and not any(_has_steps(model, backbone, steps) for model in own):
                more = {"model": str(own[0].directory), "backbone": backbone, "steps": steps}
                jobs.append(_training(preflight, "fine_tune", photo, f"sr-{backbone}", **more))
    return jobs


def _has_steps(model: Model, backbone: str, steps: Sequence[int]) -> bool:
    return model.super_resolution.backbone == backbone and set(steps) <= set(model.steps)


def _find_sources(preflight: Preflight) -> tuple[dict[_Key, Source], dict[_Key, str]]:
    """Return the pictures of step 1 there are, and the reason for those there are not."""
    sources, absent = dict(preflight.sources), {}
    models = _known_models(preflight)
    named = [model.generator for model in preflight.models]
    for photo in preflight.photos:
        for generator in dict.fromkeys([*preflight.plan.generators, *named]):
            model = _find_model(models, photo, generator)
            if model is not None:
                sources[photo, generator] = model
            else:
                absent[photo, generator] = "no model of this photo; --profile cpu would train one"
        for folder in dict.fromkeys(name for _, name in preflight.sources):
            if (photo, folder) not in sources:
                absent[photo, folder] = "no samples of this photo in the folder"
    if not sources:
        raise OurganError(
            f"nothing to measure: no model of a photo of {preflight.photo_set.name}, no samples; train with "
            "--profile cpu, or give --models or --samples"
        )
    return sources, absent


def _fill_cells(
    preflight: Preflight, sources: dict[_Key, Source], absent: dict[_Key, str]
) -> tuple[list[Cell], dict[int, list[Job]]]:
    """Return a cell for each photo, generator, backbone and way, and the pictures' jobs of those with any.

    Raises OurganError for a way that is possible for none.
    """
    ways = _ways(preflight.plan)
    cells = [
        Cell(photo.name, generator, backbone, way, absent=reason)
        for (photo, generator), reason in absent.items()
        for way, backbone in ways
    ]
    models, pictures = _known_models(preflight), {}
    for (photo, generator), source in sources.items():
        for way, backbone in ways:
            profile = source.metadata.profile if isinstance(source, Model) else ""
            cell = Cell(photo.name, generator, backbone, way, profile)
            try:
                upscaling = _upscaling(preflight, models, photo, backbone)
                drawing = list_pictures(preflight, preflight.photos[photo], source, upscaling, way)
            except OurganError as error:
                cell.absent = str(error)
            else:
                cell.weights, pictures[len(cells)] = upscaling.kind, drawing
            cells.append(cell)
    for name in preflight.plan.ways:
        reasons = [cell.absent for cell in cells if cell.way == WAYS[name]]
        if all(reasons):
            raise OurganError(f"way {name}: {reasons[-1]}")
    return cells, pictures


def _ways(plan: Plan) -> list[tuple[Way, str]]:
    """Return the ways, each with all backbones where there are networks behind the scene."""
    ways = [WAYS[name] for name in dict.fromkeys(plan.ways)]
    return [(w, name) for w in ways for name in (plan.backbones if w.detail == "network" else (NONE,))]


def _upscaling(preflight: Preflight, models: Sequence[Model], photo: Photograph, backbone: str) -> Upscaling:
    if backbone in preflight.without_weights:
        raise OurganError(preflight.without_weights[backbone])
    if backbone == NONE:
        return Upscaling("", {}, {}, "")
    return choose_upscaling(preflight.plan.size, models, photo, backbone)
