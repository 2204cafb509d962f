"""A model directory: config.json, the weights of its steps, and what they have to be."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ourgan._core import files, provenance
from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import ConfigError, from_dict, one_of, to_dict
from ourgan.config import GENERATORS, SuperResolutionConfig
from ourgan.config.structure import KINDS, HPVAEGANTraining, StructureTraining
from ourgan.models.generator import Generator
from ourgan.models.generators import new_generator
from ourgan.models.pyramid import GlobalGenerator

# Of config.json; 2 for SinGAN, 3 for those that learn nothing, of which older versions know nothing.
FORMATS = {"ourgan": 1, "hp-vae-gan": 1, "singan": 2, "patches": 3}
STRUCTURE = "global.safetensors"  # the weights of step 1
ELONGATED = 64  # no photo of step 1 has sides so unlike
_NOT_A_TABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


class ModelError(OurganError):
    """A model directory that cannot be used."""


@dataclasses.dataclass(frozen=True)
class StepMetadata:
    """How the network of a step was fine-tuned."""

    width: int  # of the photo it learned to make, in pixels
    start: str  # the weights it began with, and where they were from
    start_sha256: str
    perceptual: str  # trunk of the perceptual loss
    iterations: int
    best_iteration: int
    noise_std: float
    # Of the validation strip, before and after: never learned from, but it chose `best_iteration`.
    st_lpips: tuple[float, float]
    psnr: tuple[float, float]
    minutes: float
    # Of models before 0.2 these are not known.
    profile: str = ""
    seed: int | None = None
    settings: str = ""  # SHA-256 of all that the profile says of it


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """Where a model is from: its photo and its training."""

    photo: str = ""
    photo_sha256: str = ""
    credit: str = ""  # author and licence of the photo
    profile: str = ""
    seed: int = 0
    minutes: float = 0.0  # of training
    trained_on: str = ""  # device and threads
    commit: str = ""
    # How step 1 learned; config.json has it beside the networks' sizes.
    training: StructureTraining | None = dataclasses.field(default_factory=HPVAEGANTraining)


Contents = tuple[Generator, SuperResolutionConfig, ModelMetadata, dict[int, StepMetadata]]
"""Step 1; settings of steps 2 to 4; where the model is from; how each fine-tuned step got its weights."""


def fine_tuned_file(step: int) -> str:
    """Return the name of a step's weights in a model directory."""
    return f"sr{step}.safetensors"


def fine_tuned_files(directory: Path, steps: Iterable[int]) -> dict[int, Path]:
    """Return where the weights of fine-tuned steps lie in a model directory."""
    return {step: directory / fine_tuned_file(step) for step in steps}


def read_model(directory: Path) -> Contents:
    """Read a model directory.

    Returns:
        Step 1 in float32 on the CPU; the settings of steps 2 to 4; where the model is from; and for each
        fine-tuned step how it got its weights, which are there.

    Raises:
        ModelError: in one line, when something in the directory is missing or wrong.
    """
    path = directory / "config.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        generator, settings, metadata, steps = _parse(table, path)
    except FileNotFoundError:
        raise ModelError(
            f"{path}: missing; the directory is no model, or its training has not ended"
        ) from None
    except (OSError, *_NOT_A_TABLE) as error:
        raise ModelError(f"{path}: not a model's configuration ({type(error).__name__}: {error})") from None
    _check_size(generator, directory / STRUCTURE)
    generator.to_empty(device="cpu")
    _load_state(generator, directory / STRUCTURE)
    for own in fine_tuned_files(directory, steps).values():
        if not own.is_file():
            raise ModelError(f"{own}: missing; copy the whole model directory")
    return generator, settings, metadata, steps


def write_model(
    directory: Path,
    generator: Generator,
    settings: SuperResolutionConfig,
    metadata: ModelMetadata,
    steps: Mapping[int, StepMetadata],
    fine_tuned: Mapping[int, Path],
) -> None:
    """Write a model directory, each file whole or absent; config.json, which promises the others, last.

    Weights of step 1 are stored in float16, whose rounding is eight times finer than that of the bfloat16
    they were trained with; a photo in their place as it is.

    Args:
        directory: made if it is missing.
        generator: step 1.
        settings: of steps 2 to 4.
        metadata: where the model is from.
        steps: how each fine-tuned step got its weights.
        fine_tuned: the file of each, which is copied unless it lies there already.

    Raises:
        ModelError: for a step without its file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for step, target in fine_tuned_files(directory, steps).items():
        if step not in fine_tuned:
            raise ModelError(f"step {step} has facts, and no directory with its weights")
        if fine_tuned[step].resolve() != target.resolve():
            with files.atomic_path(target) as temporary:
                shutil.copyfile(fine_tuned[step], temporary)
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in generator.state_dict().items()
    }
    with files.atomic_path(directory / STRUCTURE) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    facts = to_dict(metadata)
    training, name = facts.pop("training") or {}, generator.config.generator
    table = {
        "format": FORMATS[name],
        "generator": name,
        "ourgan": provenance.record()["ourgan"],
        "aspect_ratio": generator.aspect_ratio,
        "noise_amplitudes": generator.noise_amplitudes,
        "global_structure": to_dict(generator.config) | training,
        "super_resolution": to_dict(settings),
        "facts": facts,
        "steps": {str(step): to_dict(entry) for step, entry in sorted(steps.items())},
    }
    files.write_json(directory / "config.json", table)


def _parse(table: dict[str, Any], path: Path) -> Contents:
    """Read what config.json says; the generator on the meta device: names and shapes, without memory."""
    if table["format"] not in FORMATS.values():
        raise ModelError(f"{path}: format {table['format']}, this version reads 1 to 3; update ourgan")
    settings = from_dict(SuperResolutionConfig, table["super_resolution"], str(path))
    if not re.fullmatch(r"[A-Za-z0-9_-]+", settings.weights):
        # A file's path there would let a foreign model choose what is read here.
        raise ModelError(f"{path}: unknown weights '{settings.weights}'; use 'auto' there")
    steps = {
        int(step): from_dict(StepMetadata, entry, str(path)) for step, entry in table.get("steps", {}).items()
    }
    if not steps.keys() <= {2, 3, 4}:
        raise ModelError(f"{path}: steps {sorted(steps)}; a model has weights for steps 2 to 4 at most")
    with torch.device("meta"):
        generator, training = _generator(table, path)
        if isinstance(generator, GlobalGenerator):
            _grow(generator, table, path)
    metadata = dataclasses.replace(from_dict(ModelMetadata, table["facts"], str(path)), training=training)
    return generator, settings, metadata, steps


def _grow(generator: GlobalGenerator, table: dict[str, Any], path: Path) -> None:
    """Add the scales that the table has noise amplitudes of."""
    amplitudes = [float(amplitude) for amplitude in table["noise_amplitudes"]]
    if not 1 <= len(amplitudes) <= generator.config.scales or not all(map(math.isfinite, amplitudes)):
        raise ModelError(f"{path}: noise_amplitudes must be 1 to {generator.config.scales} finite numbers")
    for _ in amplitudes[1:]:
        generator.grow()
    generator.noise_amplitudes = amplitudes


def _generator(table: dict[str, Any], path: Path) -> tuple[Generator, StructureTraining | None]:
    """Make the generator that the table is of, and say how it learned; old tables do not name it."""
    name, aspect_ratio = table.get("generator", "ourgan"), float(table["aspect_ratio"])
    if not 1 / ELONGATED <= aspect_ratio <= ELONGATED:
        raise ModelError(f"{path}: aspect_ratio {aspect_ratio} is not that of a photo")
    try:
        one_of("generator", name, GENERATORS)
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from None
    structure = from_dict(KINDS[name], table["global_structure"], str(path))
    return new_generator(structure.network, aspect_ratio), structure.training


def _check_size(generator: Generator, path: Path) -> None:
    """Refuse a table whose network cannot be that of the file, before memory is taken for it."""
    needed = sum(tensor.numel() for tensor in generator.state_dict().values())
    if path.is_file() and path.stat().st_size < needed:
        raise ModelError(
            f"{path}: too small for the {needed:,} numbers of config.json; they do not belong together"
        )


def _load_state(generator: Generator, path: Path) -> None:
    try:
        state = load_file(path)
    except FileNotFoundError:
        raise ModelError(f"{path}: missing; copy the whole model directory") from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged ({error}); copy it again") from None
    expected = generator.state_dict()
    for name, tensor in expected.items():
        if name not in state:
            raise ModelError(
                f"{path}: the tensor {name} is missing; weights and config.json do not belong together"
            )
        if state[name].shape != tensor.shape:
            raise ModelError(
                f"{path}: {name} is {tuple(state[name].shape)}, config.json needs {tuple(tensor.shape)}"
            )
        if state[name].is_floating_point() != tensor.is_floating_point():
            raise ModelError(f"{path}: {name} is {state[name].dtype}, config.json needs {tensor.dtype}")
        if not torch.isfinite(state[name]).all():
            raise ModelError(f"{path}: {name} holds NaN or infinity; this model is damaged")
    if extra := sorted(state.keys() - expected.keys()):
        raise ModelError(f"{path}: unknown tensor {extra[0]}; weights and config.json do not belong together")
    generator.load_state_dict(state)
