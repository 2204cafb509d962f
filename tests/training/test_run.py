"""What stops a training, what may be continued, and what is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from at_scale import TINY, Photo, at
from tiny import changed

from ourgan.config.structure import SinGANStructureConfig, StructureConfig
from ourgan.training import checkpoint
from ourgan.training.checkpoint import CHECKPOINT, CheckpointError, TrainingError
from ourgan.training.scales import ScaleTrainer, train_global_structure

SINGAN = {
    "width": 32,
    "min_width": 16,
    "gan_stages": 2,
    "channels": 4,
    "double_every": 1,
    "layers": 1,
    "iterations": 1,
}


def poisoned(photo: Photo, run: Path, monkeypatch: pytest.MonkeyPatch, *, late: bool) -> dict[str, object]:
    """Train, with a NaN in a weight before (or after) iteration 2 of scale 3; what the checkpoint holds."""
    step = ScaleTrainer.step

    def poison(trainer: ScaleTrainer) -> None:
        trainer.generator.refiners[-1].convolutions[0].weight.data[0, 0, 0, 0] = float("nan")

    def step_with_poison(trainer: ScaleTrainer) -> object:
        here = (trainer.scale, trainer.iteration) == (3, 1)
        if here and not late:
            poison(trainer)
        done = step(trainer)
        if here and late:
            poison(trainer)
        return done

    monkeypatch.setattr(ScaleTrainer, "step", step_with_poison)
    error = CheckpointError if late else TrainingError
    with pytest.raises(error) as caught:
        config = changed(TINY, iterations=3)
        train_global_structure(photo(), config, run, checkpoint_seconds=0, progress=False)
    assert "\n" not in str(caught.value)
    tensors, meta = checkpoint.load(run / CHECKPOINT)
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert sorted(path.name for path in run.glob(".partial-*")) == []
    return {"text": str(caught.value), **meta["position"]}


def test_a_loss_that_is_no_number_stops_and_keeps_the_good_checkpoint(
    photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = poisoned(photo, tmp_path, monkeypatch, late=False)
    assert "loss is nan at scale 3, iteration 2: stopped" in kept["text"]
    assert (kept["scale"], kept["iteration"]) == (3, 1)


def test_a_ruined_weight_is_not_saved_over_a_good_one(
    photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = poisoned(photo, tmp_path, monkeypatch, late=True)
    assert "not saved, generator.refiners.2.convolutions.0.weight holds NaN" in kept["text"]
    assert (kept["scale"], kept["iteration"]) == (3, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 4}, "seed was 3 and is now 4"),
        ({"name": "stream"}, "sizes was .* and is now"),
        ({"mirrored": True}, "photo was .* and is now"),
        ({"learning_rate": 1e-4}, "learning_rate was 0.0005 and is now 0.0001"),
        ({"iterations": 3}, "iterations was 2 and is now 3"),
        ({"betas": (0.0, 0.9)}, r"betas was \[0.5, 0.999\] and is now \[0.0, 0.9\]"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_and_the_difference_named(
    photo: Photo, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    path = tmp_path / CHECKPOINT
    at(1, photo).save(path)
    before = path.read_bytes()
    image = photo(changes.pop("name", "picos-de-europa"))
    if changes.pop("mirrored", False):
        image = 1 - image
    seed = changes.pop("seed", 3)
    other = ScaleTrainer(image, changed(TINY, **changes), seed=seed)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=words) as caught:
        other.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "missing", ["rng", "generator.decoder.convolutions.0.weight", "discriminator.convolutions.0.u"]
)
def test_a_checkpoint_that_lacks_something_is_refused(photo: Photo, tmp_path: Path, missing: str) -> None:
    path = tmp_path / CHECKPOINT
    trainer = at(3, photo)
    trainer.step()
    trainer.save(path)
    tensors, meta = checkpoint.load(path)
    checkpoint.save(path, {name: t for name, t in tensors.items() if name != missing}, meta)
    with pytest.raises(CheckpointError, match=r"damaged") as caught:
        ScaleTrainer(photo(), TINY, seed=3).load(path)
    assert "\n" not in str(caught.value)
    checkpoint.save(path, tensors, {"title": "a model, not a training"})
    with pytest.raises(CheckpointError, match="holds no training to continue"):
        ScaleTrainer(photo(), TINY, seed=3).load(path)


def test_a_run_that_is_there_is_not_overwritten(photo: Photo, tmp_path: Path) -> None:
    train_global_structure(photo(), TINY, tmp_path, progress=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {CHECKPOINT, "log.jsonl", *(f"scale-{scale:02d}.png" for scale in range(5))}
    with pytest.raises(TrainingError, match="holds a training already"):
        train_global_structure(photo(), TINY, tmp_path, progress=False)
    finished = train_global_structure(photo(), TINY, tmp_path, resume=True, progress=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert not finished.training
    assert not any(parameter.requires_grad for parameter in finished.parameters())
    tensors = checkpoint.with_prefix("generator", checkpoint.load(tmp_path / CHECKPOINT)[0])
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in finished.state_dict().items())


@pytest.mark.parametrize("kind", [TINY, changed(SinGANStructureConfig(), **SINGAN)])
def test_a_checkpoint_of_the_first_release_goes_on_with_its_own_streams(
    photo: Photo, tmp_path: Path, kind: StructureConfig
) -> None:
    path = tmp_path / CHECKPOINT
    trainer = ScaleTrainer(photo(), kind, seed=3)
    trainer.save(path)
    tensors, meta = checkpoint.load(path)
    del meta["streams"]
    if "double_every" in meta["identity"]["config"]:  # SinGAN's had these keys, too
        meta["identity"]["config"] |= {"vae_refinements": 0, "kl_weight": 1.0}
    checkpoint.save(path, tensors, meta)
    expected = ScaleTrainer(photo(), kind, seed=3).generator
    torch.manual_seed(3 * 10_007 + 1)
    expected.grow()
    for _ in range(2):  # and what goes on from it does as well
        trainer = ScaleTrainer(photo(), kind, seed=3)
        trainer.load(path)
        trainer.save(path)
        trainer.learner.enter(1)
        mine, theirs = (g.refiners[0].state_dict() for g in (trainer.generator, expected))
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
