"""SinGAN on our pyramid: its formulas, its training, and going on after a kill."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import changed
from torch import Tensor
from torch.nn import functional

from ourgan.config.structure import SinGANConfig, SinGANStructureConfig
from ourgan.io.pixels import pyramid
from ourgan.models.generators import SinGAN
from ourgan.training import checkpoint
from ourgan.training.checkpoint import CHECKPOINT, LOG
from ourgan.training.scales import ScaleTrainer, train_global_structure
from ourgan.upscale.noise import scene_noise

Photo = Callable[..., Tensor]
TINY = changed(
    SinGANStructureConfig(),
    width=32, min_width=16, gan_stages=3, channels=6, double_every=2, layers=1, iterations=2, dtype="float32",
)  # fmt: skip  # four scales, 6 6 12 12 channels


def at(scale: int, photo: Photo, **changes: object) -> ScaleTrainer:
    """A trainer that has just entered `scale`."""
    trainer = ScaleTrainer(photo(), changed(TINY, **changes), seed=3)  # type: ignore[arg-type]
    while trainer.scale < scale - 1 or (
        scale and trainer.iteration < trainer.config.training.scale_iterations(0)
    ):
        trainer.step()
    if scale:
        trainer.learner.enter(scale)
    return trainer


def weights(trainer: ScaleTrainer) -> dict[str, Tensor]:
    state = checkpoint.add_prefix("generator", trainer.generator.state_dict())
    state |= checkpoint.add_prefix("discriminator", trainer.learner.discriminator.state_dict())
    return {name: tensor.clone() for name, tensor in state.items()}


# -- networks -------------------------------------------------------------------------------------


def test_the_public_code_s_widths_and_sizes() -> None:
    config = SinGANConfig()
    assert [config.channels_at(s) for s in range(10)] == [32] * 4 + [64] * 4 + [128] * 2
    generator = SinGAN(config, 0.75)
    for _ in range(9):
        generator.grow()
    # Head, three middle convolutions with their norms, tail: 3x3, 3 to 32 to 3.
    assert sum(p.numel() for p in generator.decoder.parameters()) == 896 + 3 * 9248 + 4 * 64 + 867
    assert generator.reconstruction_noise.shape == (1, 3, 24, 33)
    assert not hasattr(generator, "encoder")


def test_a_block_is_a_copy_of_the_one_below_where_that_is_as_wide(photo: Photo) -> None:
    for scale, copied in ((1, True), (2, False), (3, True)):
        trainer = at(scale, photo)
        newest = trainer.generator.refiners[-1].state_dict()
        below = [trainer.generator.decoder, *trainer.generator.refiners][scale - 1].state_dict()
        same = [newest[k].shape == v.shape and torch.equal(newest[k], v) for k, v in below.items()]
        assert all(same) == copied
    trainer = at(2, photo)
    trainer.step()
    learnt = {name: tensor.clone() for name, tensor in trainer.learner.discriminator.state_dict().items()}
    assert learnt["convolutions.0.bias"].shape == (12,)
    trainer.learner.enter(3)
    assert all(torch.equal(t, learnt[name]) for name, t in trainer.learner.discriminator.state_dict().items())


def test_a_scale_adds_to_the_enlarged_image_and_noise_enters_everywhere(photo: Photo) -> None:
    generator = at(3, photo).generator
    image, noise = torch.rand(1, 3, *generator.sizes[1]) * 4 - 2, torch.randn(1, 3, *generator.sizes[2])
    generator.noise_amplitudes[2] = 0.3
    size = generator.sizes[2]
    up = functional.interpolate(image.clamp(-1, 1), size, mode="bilinear", align_corners=True)
    generator.requires_grad_(False)
    expected = up + torch.tanh(generator.refiners[1](up + 0.3 * noise))
    torch.testing.assert_close(generator.refine(image, 2, noise), expected)
    drawn = generator.draw(scene_noise(1))
    for scale in range(4):
        noise_scales = [float(s != scale) for s in range(4)]
        assert not torch.equal(generator.draw(scene_noise(1), noise_scales=noise_scales), drawn)


# -- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", range(4))
def test_block_and_discriminator_learn_three_times_an_iteration(photo: Photo, scale: int) -> None:
    trainer = at(scale, photo)
    before = weights(trainer)
    losses = trainer.step().losses
    assert sorted(losses) == ["critic", "penalty", "reconstruction", "score"]
    changed = [name for name, tensor in weights(trainer).items() if not torch.equal(tensor, before[name])]
    block = f"generator.refiners.{scale - 1}." if scale else "generator.decoder."
    assert {name.startswith((block, "discriminator.")) for name in changed} == {True}
    assert any(name.startswith(block) for name in changed)
    assert any(name.startswith("discriminator.") for name in changed)
    for optimizer in (trainer.learner.optimizer, trainer.learner.optimizer_d):
        assert {int(state["step"]) for state in optimizer.state.values()} == {3}


def test_updates_of_an_iteration_are_configured(photo: Photo) -> None:
    trainer = at(1, photo, critic_steps=2, generator_steps=1)
    trainer.step()
    steps = [
        int(next(iter(o.state.values()))["step"])
        for o in (trainer.learner.optimizer, trainer.learner.optimizer_d)
    ]
    assert steps == [1, 2]


def test_every_update_of_the_discriminator_meets_new_noise_at_every_scale(photo: Photo) -> None:
    trainer = at(2, photo)
    normal, drawn = trainer.learner.normal, []
    trainer.learner.normal = lambda scale: drawn.append(scale) or normal(scale)  # type: ignore[func-returns-value]
    trainer.step()
    assert drawn == [0, 1, 2] * 3
    (below, noise), (other_below, other) = trainer.learner._draw(), trainer.learner._draw()
    assert [tuple(x.shape[2:]) for x in (below, noise)] == list(trainer.generator.sizes[1:3])
    assert not torch.equal(below, other_below) and not torch.equal(noise, other)


def test_the_block_moves_to_what_the_discriminator_likes(photo: Photo) -> None:
    # Against a discriminator that stands still, with nothing else to please, its score has to rise.
    trainer = at(1, photo, reconstruction_weight=0.0, iterations=(2, 40, 2, 2))
    trainer.learner.discriminator.eval()  # its spectral norm as well
    trainer.learner.optimizer_d.step = lambda: None
    scores = [trainer.step().losses["score"] for _ in range(40)]
    assert sum(scores[-10:]) > sum(scores[:10]) + 10 * 0.01


def test_the_amplitude_is_a_share_of_what_the_scales_below_leave_to_do(photo: Photo) -> None:
    trainer = at(2, photo)
    generator = trainer.generator.requires_grad_(False)
    image = generator.decode(generator.reconstruction_noise)
    up = functional.interpolate(
        generator.refine(image, 1).clamp(-1, 1), generator.sizes[2], mode="bilinear", align_corners=True
    )
    real = pyramid(photo(), generator.sizes)[2] * 2 - 1
    expected = 0.1 * math.sqrt(float((up[0] - real).square().mean()))
    assert generator.noise_amplitudes[2] == pytest.approx(expected, rel=1e-5)


def test_the_rate_falls_to_a_tenth_at_four_fifths(photo: Photo) -> None:
    trainer = at(1, photo, iterations=10)
    rates = []
    for _ in range(10):
        trainer.step()
        (rate,) = {
            group["lr"]
            for o in (trainer.learner.optimizer, trainer.learner.optimizer_d)
            for group in o.param_groups
        }
        rates.append(rate)
    assert rates == pytest.approx([5e-4] * 8 + [5e-5] * 2)


@pytest.mark.slow
def test_z_star_learns_to_be_the_photo(photo: Photo) -> None:
    trainer = ScaleTrainer(photo("sunset"), changed(TINY, channels=16, iterations=60), seed=0)
    errors = [trainer.step().losses["reconstruction"] for _ in range(60)]
    assert sum(errors[-5:]) < 0.25 * sum(errors[:5])
    assert errors[-1] < 0.5 * float(trainer.learner.photos[0].var())  # better than the mean colour


CHILD = """
import os, signal, sys, torch, numpy
sys.path[:0] = {tests!r}
from test_singan import resumable
from ourgan.training.scales import ScaleTrainer
torch.set_num_threads(1)
step, done = ScaleTrainer.step, 0
def dying(trainer):
    global done
    result, done = step(trainer), done + 1
    if done == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
ScaleTrainer.step = dying
resumable(torch.from_numpy(numpy.load({photo!r})), {run!r})
"""


def resumable(photo: Tensor, run: Path | str, *, resume: bool = False) -> None:
    config = changed(TINY, iterations=(2, 3, 21, 2))
    train_global_structure(
        photo, config, Path(run), seed=5, resume=resume, checkpoint_seconds=0, progress=False
    )


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_bits(photo: Photo, tmp_path: Path) -> None:
    np.save(tmp_path / "photo.npy", photo().numpy())
    names = {"photo": str(tmp_path / "photo.npy"), "run": str(tmp_path / "run")}
    code = CHILD.format(at=9, tests=[str(Path(__file__).parents[n]) for n in (0, 1)], **names)
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    # Scale 2 is wider than those below, and so is its discriminator.
    position = checkpoint.load(tmp_path / "run" / CHECKPOINT)[1]["position"]
    assert (position["scale"], position["iteration"]) == (2, 3)
    resumable(photo(), tmp_path / "run", resume=True)
    resumable(photo(), tmp_path / "whole")
    (mine, meta), (whole, expected) = (checkpoint.load(tmp_path / d / CHECKPOINT) for d in ("run", "whole"))
    assert mine.keys() == whole.keys()
    assert [name for name, tensor in mine.items() if not torch.equal(tensor, whole[name])] == []
    assert meta["position"] == expected["position"]
    assert logged(tmp_path / "run") == logged(tmp_path / "whole")


def logged(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) | {"seconds": 0} for line in (run / LOG).read_text().splitlines()]
