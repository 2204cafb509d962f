"""A tiny training of step 1, brought to the scale that a test is about."""

from __future__ import annotations

from collections.abc import Callable

from tiny import changed, structure
from torch import Tensor

from ourgan.training.scales import ScaleTrainer

Photo = Callable[..., Tensor]

TINY = structure(
    width=28,
    min_width=14,
    vae_refinements=2,
    gan_stages=2,
    channels=6,
    layers=1,
    latent_channels=4,
    iterations=2,
    dtype="float32",
)


def at(scale: int, photo: Photo, **changes: object) -> ScaleTrainer:
    """A trainer that has just entered `scale`."""
    trainer = ScaleTrainer(photo(), changed(TINY, **changes), seed=3)  # type: ignore[arg-type]
    while trainer.scale < scale - 1 or (scale and trainer.iteration < 2):
        trainer.step()
    if scale:
        trainer.learner.enter(scale)
    return trainer
