"""Where the pictures of step 1 come from, models or folders of another program's, and what upscales them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ourgan._core import files
from ourgan._core.devices import best_device, compute_dtype, dtype_name
from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import nearest, to_dict
from ourgan.benchmark import paper
from ourgan.benchmark.photo_sets import Photograph
from ourgan.benchmark.ways import PIXELS
from ourgan.config import GENERATORS, SuperResolutionConfig, steps_of
from ourgan.io.model_dir import STRUCTURE, ModelMetadata, fine_tuned_file, read_model
from ourgan.io.read import read_image
from ourgan.models.training_free import TrainingFree
from ourgan.upscale.networks import starting_network

MODELS = Path(__file__).parents[2] / "data" / "models"
WIDEST = 512  # pixels of a picture of step 1; the paper's is 256 wide
SMOKE = "smoke"


@dataclasses.dataclass(frozen=True)
class Model:
    """A model directory; `generator` is its name in the table.

    `steps` are those with weights of their own; `key` is the hash of all that decides what it draws; `scene`
    is the (height, width) of a scene as wide as the photo.
    """

    directory: Path
    generator: str
    metadata: ModelMetadata
    super_resolution: SuperResolutionConfig
    steps: tuple[int, ...]
    key: str
    scene: tuple[int, int]


Source = Model | tuple[Path, ...]
"""Of the pictures of step 1 that one generator has for one photo: a model draws them, or here they are."""


@dataclasses.dataclass(frozen=True)
class Upscaling:
    """With what steps 2 and on of a photo's pictures are made.

    Attributes:
        directory: the model with weights of its own for these steps, or "".
        settings: a SuperResolutionConfig in plain data.
        weights: sha256 for each step.
        kind: "fine-tuned", "partly fine-tuned" or "released".
    """

    directory: str
    settings: dict[str, Any]
    weights: dict[str, str]
    kind: str


def hash_inputs(value: Any) -> str:
    """Return 40 hexadecimal digits for plain JSON values; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:40]


def open_model(directory: Path, name: str = "") -> Model:
    """Read what the benchmark needs of a model, which the table calls `name`, or what its generator is.

    Raises OurganError for one that cannot be used, or was trained with the smoke profile.
    """
    generator, settings, metadata, steps = read_model(directory)
    if metadata.profile.split(",")[0].strip() == SMOKE:
        raise OurganError(
            f"{directory}: trained with the smoke profile, whose numbers are no results; leave it out, or "
            "train it with --profile cpu"
        )
    config = generator.config
    drawn_by = [
        to_dict(config),
        generator.aspect_ratio,
        generator.noise_amplitudes,
        files.sha256(directory / STRUCTURE),
    ]
    if isinstance(generator, TrainingFree):
        drawn_by.append(PIXELS)  # its scenes change with the search
    return Model(
        directory=directory.resolve(),
        generator=name or config.generator,
        metadata=metadata,
        super_resolution=settings,
        steps=tuple(sorted(steps)),
        key=hash_inputs(drawn_by),
        scene=generator.sizes[-1],
    )


def open_models(named: Iterable[str]) -> list[Model]:
    """Return models by "DIR" or "NAME=DIR"; a DIR without config.json means the models in it."""
    models = []
    for text in named:
        name, _, directory = text.rpartition("=")
        path = Path(directory)
        inside = sorted(config.parent for config in path.glob("*/config.json"))
        if (path / "config.json").exists() or not inside:
            inside = [path]
        models += [open_model(each, _check_name(name) if name else "") for each in inside]
    return models


def parse_samples(named: Iterable[str]) -> dict[str, Path]:
    """Return folders of other generators' samples by "NAME=DIR"."""
    folders: dict[str, Path] = {}
    for text in named:
        name, equals, directory = text.partition("=")
        if not equals or not directory:
            raise OurganError(f"--samples {text}: write NAME=DIR, for example sinddm=samples/sinddm")
        if _check_name(name) in folders:
            raise OurganError(f"--samples {text}: {name} is given twice; use another name for one of them")
        folders[name] = Path(directory)
    return folders


def sample_pictures(folder: Path, photo: Photograph, only: bool, count: int) -> tuple[Path, ...]:
    """Return the first `count` pictures, by name, of `folder`/PHOTO, each seen to be whole and of one size.

    They may lie in `folder` itself if the photo is the `only` one. Nothing is returned where there is nothing
    of this photo.

    Raises:
        OurganError: An empty folder, a single picture, a broken one, sizes that differ, or pictures too wide
            for step 1.
    """
    own = folder / photo.name
    if not own.is_dir():
        if not (only and folder.is_dir()):
            return ()
        own = folder
    pictures = sorted(
        (f for f in own.iterdir() if f.suffix.lower() in files.PICTURES and f.is_file()), key=_by_number
    )
    if len(pictures) < 2:
        what = f"holds one picture, {pictures[0].name}" if pictures else "holds no picture"
        raise OurganError(f"{own}: {what}; metrics over pairs need two or more .png, .jpg, .tif or .webp")
    pictures = pictures[:count]
    sizes = {path: read_image(path).shape[1:] for path in pictures}
    first = sizes[pictures[0]]
    for path, size in sizes.items():
        if size != first:
            raise OurganError(
                f"{path}: {size[1]}x{size[0]} pixels, {pictures[0].name} has {first[1]}x{first[0]}; all "
                "samples of a photo must have one size"
            )
    if first[1] > WIDEST:
        raise OurganError(
            f"{own}: pictures {first[1]} pixels wide are no scenes of step 1; scale them down to 256 first"
        )
    return tuple(path.resolve() for path in pictures)


def scene_sizes(source: Source, photo: Path, width: int | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (height, width) of the photo, at the scale of step 1 for a model, and of the scenes.

    Pictures of another program are as high as the photo would be.
    """
    if isinstance(source, Model):
        return source.scene, (source.scene[0], width or source.scene[1])
    return _size(photo), _size(source[0])


@functools.cache
def _size(path: Path) -> tuple[int, int]:
    height, width = read_image(path).shape[1:]
    return height, width


@functools.cache
def released_weights(backbone: str, weights: str) -> str:
    """Return the sha256 of what a step without weights of its own uses; OurganError if there is none."""
    return starting_network(SuperResolutionConfig(backbone=backbone, weights=weights))[1].sha256


def choose_upscaling(size: str, models: Sequence[Model], photo: Photograph, backbone: str) -> Upscaling:
    """Return the steps' own weights if any of `models` has them, the same for all generators of a photo."""
    steps = steps_of(size)
    own = [
        model
        for model in models
        if model.metadata.photo_sha256 == photo.sha256 and model.super_resolution.backbone == backbone
    ]
    best = max(own, key=lambda model: len(set(steps) & set(model.steps)), default=None)
    tuned = sorted(set(steps) & set(best.steps)) if best else []
    if best is None or not tuned:
        # Released weights were never trained with the noise of Eq. 4, which they would smear.
        settings, directory, own_weights = SuperResolutionConfig(backbone=backbone, noise_std=0.0), "", {}
    else:
        settings, directory = best.super_resolution, str(best.directory)
        own_weights = {step: files.sha256(best.directory / fine_tuned_file(step)) for step in tuned}
    dtype = dtype_name(compute_dtype(settings.dtype, best_device()))
    settings = dataclasses.replace(settings, dtype=dtype)
    released = "" if len(tuned) == len(steps) else released_weights(backbone, settings.weights)
    weights = {str(step): own_weights.get(step, released) for step in steps}
    kind = "fine-tuned" if len(tuned) == len(steps) else "partly fine-tuned" if tuned else "released"
    return Upscaling(directory, to_dict(settings), weights, kind)


def check_generators(names: Sequence[str]) -> None:
    """Raise an OurganError, with the nearest name, for a generator that cannot be trained here."""
    for name in names:
        if name not in GENERATORS:
            raise OurganError(
                f"generator '{name}'{nearest(name, GENERATORS)}: use some of {', '.join(GENERATORS)}; others "
                f"come in as folders, --samples {name}=DIR"
            )


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise OurganError(f"the name '{name}': use small letters, digits, '-' and '.'")
    known = [*paper.GENERATORS, "ingan", "gpnn"]
    if name not in known and (close := nearest(name, known)):
        raise OurganError(f"the name '{name}'{close}: use that, or one that is not so close to it")
    return name


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sort 2.png before 10.png."""
    return [(int(part or 0), text) for text, part in re.findall(r"(\D*)(\d*)", path.name)]
