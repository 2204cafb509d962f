"""Options of `ourgan train` that cannot be obeyed, those of finished steps among them: refused by name."""

from __future__ import annotations

import logging

from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import to_dict
from ourgan.config.structure import StructureConfig
from ourgan.io.model_dir import StepMetadata
from ourgan.pipeline import OurGAN
from ourgan.training.job import Asked, TrainingJob
from ourgan.upscale.networks import starting_network

log = logging.getLogger(__name__)


def check_asked(asked: Asked, job: TrainingJob, model: OurGAN | None) -> None:
    """Refuse, before any work, an option that the job's steps do not obey.

    Args:
        asked: the options.
        job: what they amount to.
        model: what lies in the job's directory; None where step 1 is still to be trained.

    Raises:
        OurganError: for options of steps that the job has not, and for those of finished steps that say
            anything else than how these were trained.
    """
    for name in ("weights", "backbone"):
        if getattr(asked, name) is not None and job.steps[-1] == 1:
            raise OurganError(
                f"--{name} is for steps 2 to 4, and only step 1 is asked for: add --steps 1,2,3"
            )
    learns = model is None and isinstance(job.structure, StructureConfig)
    if asked.tensorboard is not None and not learns:
        raise OurganError("--tensorboard is for step 1, which does not learn here: leave it out")
    if asked.seed is not None and model is None and not learns and job.steps == (1,):
        name = job.structure.network.generator
        raise OurganError(f"--seed {asked.seed}: {name} learns nothing in step 1: leave it out")
    if model is None:
        return
    if 1 in job.steps:
        _check_step_1(asked, job, model)
        log.info("step 1: done already")
    for step in job.steps:
        if step in model.steps:
            _check_step(asked, job, step, model.steps[step])


def _check_step_1(asked: Asked, job: TrainingJob, model: OurGAN) -> None:
    there, done = model.metadata, f"{job.out}: step 1 is done already, with"
    if asked.seed is not None and asked.seed != there.seed:
        raise OurganError(
            f"{done} seed {there.seed}, not {asked.seed}: leave --seed out, or choose another --out"
        )
    mine, theirs = to_dict(job.structure.network), to_dict(model.generator.config)
    learns = job.structure.training, there.training
    if asked.profile is not None and (mine != theirs or learns[0] != learns[1]):
        raise OurganError(
            f"{done} {_profile(there.profile)}, not {asked.profile} as it is now: choose another --out, or "
            "add steps with --steps 2,3"
        )


def _check_step(asked: Asked, job: TrainingJob, step: int, there: StepMetadata) -> None:
    done = f"{job.out}: step {step} is done already, with"
    if asked.seed is not None and asked.seed != there.seed:
        seed = "a seed that is not recorded" if there.seed is None else f"seed {there.seed}"
        raise OurganError(f"{done} {seed}, not {asked.seed}: leave --seed out, or choose another --out")
    if asked.profile is not None and there.settings != job.settings_of_steps():
        raise OurganError(
            f"{done} {_profile(there.profile)}, not {asked.profile} as it is now: choose another --out, or "
            "leave the step out of --steps"
        )
    if asked.weights is not None and starting_network(job.super_resolution)[1].sha256 != there.start_sha256:
        raise OurganError(
            f"{done} weights that began as {there.start}, not as {asked.weights}: leave --weights out, or "
            "choose another --out"
        )


def _profile(name: str) -> str:
    return f"profile {name}" if name else "a profile that is not recorded"
