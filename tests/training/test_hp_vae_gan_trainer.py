"""Training of step 1 against Alg. F.1: what learns when, from what, and how fast."""

from __future__ import annotations

import copy

import pytest
import torch
from at_scale import TINY, Photo, at
from tiny import changed
from torch import Tensor

from ourgan.io.pixels import pyramid
from ourgan.training import checkpoint
from ourgan.training.scales import ScaleTrainer

IS_VAE = [True, True, True, False, False]


def state(trainer: ScaleTrainer) -> dict[str, Tensor]:
    held = checkpoint.add_prefix("generator", trainer.generator.state_dict())
    if trainer.learner.discriminator is not None:
        held |= checkpoint.add_prefix("discriminator", trainer.learner.discriminator.state_dict())
    return {name: tensor.clone() for name, tensor in held.items()}


@pytest.mark.parametrize("scale", range(5))
def test_what_learns_and_how_fast(photo: Photo, scale: int) -> None:
    trainer = at(scale, photo)
    assert trainer.learner.is_vae == IS_VAE[scale]
    generator = trainer.generator
    rates = {id(p): g["lr"] for g in trainer.learner.optimizer.param_groups for p in g["params"]}
    expected = {}
    if scale:
        expected |= {id(p): 5e-4 for p in generator.refiners[scale - 1].parameters()}
    if IS_VAE[scale]:
        for network in (generator.encoder, generator.decoder):
            expected |= {id(p): 5e-4 * 0.2**scale for p in network.parameters()}
    assert rates == pytest.approx(expected)
    if IS_VAE[scale]:
        assert trainer.learner.optimizer_d is None
    else:
        (group,) = trainer.learner.optimizer_d.param_groups
        assert group["lr"] == 5e-4
        assert {id(p) for p in group["params"]} == {id(p) for p in trainer.learner.discriminator.parameters()}
        assert group["betas"] == trainer.learner.optimizer.param_groups[0]["betas"] == (0.5, 0.999)


@pytest.mark.parametrize("scale", range(5))
def test_a_step_changes_what_learns_and_nothing_else(photo: Photo, scale: int) -> None:
    trainer = at(scale, photo)
    before = state(trainer)
    trainer.step()
    after = state(trainer)
    changed = {
        ".".join(name.split(".")[: 3 if "refiners" in name else 2 if "generator" in name else 1])
        for name in before
        if not torch.equal(before[name], after[name])
    }
    expected = {"generator.encoder", "generator.decoder"} if IS_VAE[scale] else {"discriminator"}
    if scale:
        expected.add(f"generator.refiners.{scale - 1}")
    assert changed == expected
    learnt = f"generator.refiners.{scale - 1}." if scale else "generator.decoder."
    # The bias before a batch norm has no effect, so it alone may stand still.
    still = [n for n in before if n.startswith(learnt) and torch.equal(before[n], after[n])]
    assert all(name.endswith("bias") for name in still)


@pytest.mark.parametrize("scale", range(1, 5))
def test_a_block_is_born_as_a_copy_of_the_one_below(photo: Photo, scale: int) -> None:
    refiners = at(scale, photo).generator.refiners
    assert len(refiners) == scale
    if scale > 1:
        newest, below = refiners[-1].state_dict(), refiners[-2].state_dict()
        assert all(torch.equal(newest[name], below[name]) for name in below)


def test_entering_a_gan_scale_leaves_the_frozen_encoder_as_it_is(photo: Photo) -> None:
    # Its spectral norm would move with every pass in training mode, and with it the latent on resuming.
    trainer = at(2, photo)
    before = {name: tensor.clone() for name, tensor in trainer.generator.encoder.state_dict().items()}
    trainer.learner.enter(3)
    assert all(torch.equal(t, before[name]) for name, t in trainer.generator.encoder.state_dict().items())


def test_the_discriminator_goes_on_from_the_last_scale_with_fresh_moments(photo: Photo) -> None:
    trainer = at(3, photo)
    assert trainer.learner.optimizer_d.state_dict()["state"] == {}
    trainer.step()
    trainer.step()
    learnt = copy.deepcopy(trainer.learner.discriminator.state_dict())
    trainer.learner.enter(4)
    assert all(torch.equal(t, learnt[name]) for name, t in trainer.learner.discriminator.state_dict().items())
    assert trainer.learner.optimizer_d.state_dict()["state"] == {}
    assert trainer.learner.optimizer.state_dict()["state"] == {}


@pytest.mark.parametrize("scale", range(1, 5))
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_amplitude_is_a_share_of_the_error_with_the_new_block(
    photo: Photo, scale: int, batch_size: int
) -> None:
    trainer = at(scale - 1, photo, batch_size=batch_size)
    trainer.step()
    trainer.step()
    rng = torch.Generator()
    rng.set_state(trainer.learner.rng.get_state())
    trainer.learner.enter(scale)
    generator = trainer.generator
    generator.encoder.eval()  # measured with the power iteration as it stands now
    with torch.no_grad():
        mean, log_variance = generator.encode(trainer.learner.photos[0])
        epsilon = torch.randn(batch_size, *mean.shape[1:], generator=rng)
        made = generator.decode(mean + (log_variance / 2).exp() * epsilon)
        for m in range(1, scale + 1):
            made = generator.refine(made, m)  # no noise
    real = pyramid(photo(), generator.sizes)[scale] * 2 - 1
    expected = 0.05 * float((made - real).square().mean()) ** 0.5  # whatever the batch size
    assert generator.noise_amplitudes[scale] == pytest.approx(expected, rel=1e-5)
    assert generator.noise_amplitudes[0] == 1
    trainer.step()
    assert generator.noise_amplitudes[scale] == pytest.approx(expected, rel=1e-5)  # constant afterwards


@pytest.mark.parametrize("scale", [0, 2, 3])
def test_the_gradient_of_what_learns_is_clipped_as_a_whole(photo: Photo, scale: int) -> None:
    trainer = at(scale, photo, gradient_clip=1e-3)
    trainer.step()

    def norm(optimizer: torch.optim.Optimizer) -> float:
        grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
        return float(torch.stack([g.norm() for g in grads if g is not None]).norm())

    assert norm(trainer.learner.optimizer) == pytest.approx(1e-3, rel=1e-2)
    if trainer.learner.optimizer_d is not None:
        assert norm(trainer.learner.optimizer_d) > 1e-2  # the discriminator's is not


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_rate_falls_to_a_tenth_over_the_last_share(photo: Photo, share: float) -> None:
    trainer = at(3, photo, decay_share=share, iterations=(2, 2, 2, 10, 2))
    factors = []
    for _ in range(10):
        trainer.step()
        rates = {
            group["lr"]
            for o in (trainer.learner.optimizer, trainer.learner.optimizer_d)
            for group in o.param_groups
        }
        assert len(rates) == 1
        factors.append(rates.pop() / 5e-4)
    expected = [1.0] * 6 + [0.1 ** (k / 5) for k in (1, 2, 3, 4)] if share else [1.0] * 10
    assert factors == pytest.approx(expected)
    trainer.step()
    assert (trainer.scale, trainer.learner.optimizer.param_groups[0]["lr"]) == (4, pytest.approx(5e-4))


def test_flips_show_the_mirrored_photo_to_every_scale(photo: Photo) -> None:
    trainer = at(0, photo, horizontal_flip=True, batch_size=2)
    seen = []
    flips = trainer.learner._flips
    trainer.learner._flips = lambda: seen.append(flips()) or seen[-1]  # type: ignore[func-returns-value]
    while not trainer.finished:
        trainer.step()
    for photos in trainer.learner.photos:
        assert torch.equal(photos[1], photos[0].flip(2))
    drawn = torch.stack(seen)
    assert drawn.shape[1] == 2
    assert set(drawn.flatten().tolist()) == {0, 1}
    assert (drawn[:, 0] != drawn[:, 1]).any()  # each row of the batch its own


def test_the_photo_is_shown_at_every_size(photo: Photo) -> None:
    trainer = at(0, photo)
    assert [tuple(p.shape[2:]) for p in trainer.learner.photos] == list(
        TINY.network.sizes(photo().shape[1] / 64)
    )
    for made, scaled in zip(trainer.learner.photos, pyramid(photo(), trainer.generator.sizes), strict=True):
        torch.testing.assert_close(made, scaled[None] * 2 - 1)


@pytest.mark.slow
def test_reconstruction_of_a_photo_improves(photo: Photo) -> None:
    config = changed(TINY, channels=16, layers=2, latent_channels=16, iterations=150)
    trainer = ScaleTrainer(photo("sunset"), config, seed=0)
    errors = [trainer.step().losses["reconstruction"] for _ in range(150)]
    start, end = sum(errors[:5]) / 5, sum(errors[-5:]) / 5
    assert end < 0.25 * start
    variance = float(trainer.learner.photos[0].var())
    assert end < 0.5 * variance  # better than the mean colour


@pytest.mark.slow
def test_the_generator_moves_to_what_the_discriminator_likes(photo: Photo) -> None:
    # Against a discriminator that stands still, with nothing else to please, its score has to rise.
    trainer = at(3, photo, reconstruction_weight=0.0, iterations=(2, 2, 2, 60, 2))
    trainer.learner.optimizer_d.step = lambda: None
    scores = [trainer.step().losses["score"] for _ in range(60)]
    assert sum(scores[-10:]) > sum(scores[:10]) + 10 * 0.01


def test_a_second_training_of_the_same_seed_is_the_same_and_of_another_is_not(photo: Photo) -> None:
    finals = []
    for seed in (1, 1, 2):
        trainer = ScaleTrainer(photo(), TINY, seed=seed)
        torch.rand(seed)  # the global generator plays no part
        while not trainer.finished:
            trainer.step()
        finals.append(state(trainer))
    assert all(torch.equal(tensor, finals[1][name]) for name, tensor in finals[0].items())
    assert not torch.equal(
        finals[0]["generator.decoder.convolutions.0.weight"],
        finals[2]["generator.decoder.convolutions.0.weight"],
    )


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_every_precision_runs_through_all_scales_to_about_the_same_losses(photo: Photo, dtype: str) -> None:
    losses = {}
    for name in ("float32", dtype):
        trainer = ScaleTrainer(photo(), changed(TINY, dtype=name), seed=0)
        losses[name] = []
        while not trainer.finished:
            losses[name].append(trainer.step().losses["reconstruction"])
        weight = trainer.generator.decoder.convolutions[0].weight
        assert weight.dtype == (torch.float64 if name == "float64" else torch.float32)
    assert losses[dtype] != losses["float32"]
    assert losses[dtype] == pytest.approx(losses["float32"], rel=1e-3 if dtype == "float64" else 0.1)
