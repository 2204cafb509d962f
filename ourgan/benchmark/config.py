"""What `ourgan benchmark` is asked to compare, and everything that can be refused before any work."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import nearest, one_of, to_dict
from ourgan.benchmark.photo_sets import Photograph, PhotoSet, load_set, verify
from ourgan.benchmark.samples import (
    SMOKE,
    Model,
    Source,
    check_generators,
    open_models,
    parse_samples,
    released_weights,
    sample_pictures,
)
from ourgan.benchmark.ways import WAYS
from ourgan.config import BACKBONES, load_profile, resolve_profile

SIZES = ("1k", "4k")  # that are measured
SETTINGS = "settings.json"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be compared; models, pictures, results and tables lie in the directory `out`.

    Attributes:
        photos: a set's name or manifest.
        models: "DIR" or "NAME=DIR" each, beside those in data/models.
        samples: "NAME=DIR" each, pictures of step 1 by another program.
        ways: of drawing, each in rows of its own: "paper", "middle", "photo".
        seeds: pictures of each generator; the paper has 50.
        size: "1k" or "4k", the paper's.
        width: of the models' scenes in pixels of step 1; the photo's own when None.
        profile: to train missing models with; "" trains none.
        fine_tune: also steps 2 and 3, on every photo, with the profile.
        cluster, workers: see `ourgan.cluster.run_jobs`.
    """

    out: Path
    photos: str = "shipped"
    generators: tuple[str, ...] = ("ourgan", "hp-vae-gan")
    backbones: tuple[str, ...] = ("esrgan",)
    models: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    ways: tuple[str, ...] = ("paper",)
    seeds: int = 8
    size: str = "4k"
    width: int | None = None
    profile: str = ""
    fine_tune: bool = False
    cluster: str | None = None
    workers: int | None = None


@dataclasses.dataclass(frozen=True)
class Preflight:
    """A plan that was found to be feasible, with absolute paths.

    Attributes:
        photos: the files of the set's photos, verified.
        profile: a name or a path; "" for none.
        models: those named by the plan.
        sources: what the folders of samples hold, by photo and generator.
        without_weights: backbones that cannot be had, and why.
    """

    plan: Plan
    out: Path
    photo_set: PhotoSet
    photos: dict[Photograph, Path]
    profile: str
    models: list[Model]
    sources: dict[tuple[Photograph, str], Source]
    without_weights: dict[str, str]


def check_plan(plan: Plan) -> Preflight:
    """Look at everything before any work. Raises OurganError for the first thing that cannot be."""
    check_generators(plan.generators)
    for backbone in plan.backbones:
        one_of("backbone", backbone, BACKBONES)
    for way in plan.ways:
        one_of("way", way, tuple(WAYS))
    if not plan.ways:
        raise OurganError(f"no way of drawing: use some of {', '.join(WAYS)}")
    if plan.size not in SIZES:
        raise OurganError(f"size '{plan.size}'{nearest(plan.size, SIZES)}: use one of {', '.join(SIZES)}")
    if plan.seeds < 2:
        raise OurganError(f"seeds {plan.seeds}: metrics over pairs need 2 or more; the paper has 50")
    profile = _profile(plan)
    photo_set = load_set(plan.photos)
    photos = {photo: path.resolve() for photo, path in verify(photo_set).items()}
    folders = parse_samples(plan.samples)
    models = open_models(plan.models)
    if twice := folders.keys() & {*plan.generators, *(model.generator for model in models)}:
        name = min(twice)
        raise OurganError(f"{name} is both a model and a folder: name the folder otherwise, {name}-official")
    preflight = Preflight(
        plan=plan,
        out=plan.out.resolve(),
        photo_set=photo_set,
        photos=photos,
        profile=profile,
        models=models,
        sources=_open_folders(folders, list(photos), plan.seeds),
        without_weights=_without_weights(plan),
    )
    _take_directory(preflight)
    return preflight


def common_settings(preflight: Preflight) -> dict[str, Any]:
    """Return what all results in one directory have in common, in plain JSON values."""
    return {
        "photos": {photo.name: photo.sha256 for photo in preflight.photos},
        "size": preflight.plan.size,
        "profile": to_dict(load_profile(preflight.profile)) if preflight.profile else None,
    }


def _profile(plan: Plan) -> str:
    if not plan.profile:
        if plan.fine_tune:
            raise OurganError("fine-tuning needs a profile: add --profile cpu, or another")
        return ""
    name = resolve_profile(plan.profile)
    if load_profile(name).name == SMOKE:
        raise OurganError(
            "the smoke profile only shows that everything runs; its numbers are no results: use --profile cpu"
        )
    return str(Path(name).resolve()) if name.endswith(".toml") else name


def _open_folders(
    folders: dict[str, Path], photos: Sequence[Photograph], count: int
) -> dict[tuple[Photograph, str], Source]:
    sources: dict[tuple[Photograph, str], Source] = {}
    for name, folder in folders.items():
        for photo in photos:
            if pictures := sample_pictures(folder, photo, len(photos) == 1, count):
                sources[photo, name] = pictures
        if not any(of == name for _, of in sources):
            where = "is no directory" if not folder.is_dir() else "holds no pictures of these photos"
            raise OurganError(
                f"--samples {name}={folder}: {where}; they belong into {folder / photos[0].name}"
            )
    return sources


def _without_weights(plan: Plan) -> dict[str, str]:
    """Return backbones whose released weights cannot be had. Raises OurganError if a way is left without."""
    missing = {}
    for backbone in plan.backbones:
        try:
            released_weights(backbone, "auto")
        except OurganError as error:
            missing[backbone] = str(error)
    if len(missing) == len(plan.backbones) and any(WAYS[way].detail == "network" for way in plan.ways):
        raise OurganError(f"no backbone has weights here: {'; '.join(missing.values())}")
    return missing


def _take_directory(preflight: Preflight) -> None:
    """Make the output directory, or refuse one that was begun with other settings."""
    out, wanted = preflight.out, json.loads(json.dumps(common_settings(preflight)))
    try:
        earlier = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        earlier = None
    except (OSError, ValueError):
        raise OurganError(f"{out / SETTINGS}: cannot be read; choose another --out") from None
    if earlier is None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OurganError(f"{out}: holds something else; choose another --out")
        with files.refuse_unwritable(out, "choose another --out"):
            for name in ("models", "pictures", "cells"):
                (out / name).mkdir(parents=True, exist_ok=True)
            files.write_json(out / SETTINGS, wanted)
        return
    for key, value in wanted.items():
        if earlier.get(key) != value and not (key == "profile" and value is None):
            raise OurganError(f"{out}: was begun with another {key}; choose another --out, or the same {key}")
    if earlier["profile"] is None and wanted["profile"] is not None:
        files.write_json(out / SETTINGS, wanted)
