"""Where the pictures of step 1 come from: our models, or folders of another program's samples."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import nearest, to_dict
from ourgan.benchmark import paper
from ourgan.benchmark.jobs import hash_inputs
from ourgan.benchmark.photo_sets import Photograph
from ourgan.config import GENERATORS, SuperResolutionConfig
from ourgan.io.model_dir import STRUCTURE, ModelMetadata, fine_tuned_file, read_model
from ourgan.io.read import read_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
MODELS = Path(__file__).parents[2] / "data" / "models"
WIDEST = 512  # pixels of a picture of step 1; the paper's is 256 wide
SMOKE = "smoke"


@dataclasses.dataclass(frozen=True)
class Model:
    """A model directory.

    Attributes:
        generator: its name in the table.
        metadata, super_resolution: as in config.json.
        steps: those with weights of their own.
        key: the hash of all that decides what it draws.
    """

    directory: Path
    generator: str
    metadata: ModelMetadata
    super_resolution: SuperResolutionConfig
    steps: tuple[int, ...]
    key: str

    def step_weights(self, step: int) -> str:
        """Return the sha256 of a step's own weights."""
        return files.sha256(self.directory / fine_tuned_file(step))


@dataclasses.dataclass(frozen=True)
class SampleSource:
    """The pictures of step 1 that one generator has for one photo: drawn by `model`, or in `pictures`."""

    generator: str
    model: Model | None = None
    pictures: tuple[Path, ...] = ()

    @property
    def profile(self) -> str:
        """The profile of its training, as far as one knows."""
        return self.model.metadata.profile if self.model else ""


def open_model(directory: Path, name: str = "") -> Model:
    """Read what the benchmark needs of a model directory.

    Args:
        directory: of the model.
        name: of its generator in the table; default: what it is.

    Raises:
        ModelError: It cannot be used.
        OurganError: It was trained with the smoke profile.
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
    return Model(
        directory=directory.resolve(),
        generator=name or config.generator,
        metadata=metadata,
        super_resolution=settings,
        steps=tuple(sorted(steps)),
        key=hash_inputs(drawn_by),
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
    """Return the first pictures, by name, of `folder`/PHOTO, each seen to be whole and of one size.

    Args:
        folder: of all photos.
        photo: whose pictures are wanted.
        only: the photo is the only one; then they may lie in `folder` itself.
        count: how many at most.

    Returns:
        Nothing where the folder has nothing of this photo.

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
        (f for f in own.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file()), key=_by_number
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
