"""The training of super-resolution: one iteration, its losses, and that it can be cut anywhere."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ourgan.config import SuperResolutionTraining, SwinIRTraining
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.training import checkpoint
from ourgan.training.checkpoint import CHECKPOINT, LOG, CheckpointError, TrainingError, Validation
from ourgan.training.finetune import train_super_resolution
from ourgan.training.losses import VGG16, Trunk
from ourgan.training.patches import PhotoPatches
from ourgan.training.super_resolution import SuperResolutionTrainer

Photo = Callable[..., Tensor]
SMALL: dict[str, Any] = {
    "iterations": 6, "patch": 32, "batch_size": 2, "discriminator_channels": 4, "validate_every": 2,
    "milestones": (3,), "dtype": "float32",
}  # fmt: skip
BACKBONES = ["esrgan", "swinir"]


def network(backbone: str) -> nn.Module:
    torch.manual_seed(5)
    if backbone == "esrgan":
        return RRDBNet(channels=8, blocks=2, growth=4)
    return SwinIR(channels=12, depths=(2, 2), heads=2)


def tiny_trunk() -> Trunk:
    """As deep as VGG16, four channels wide: what is tested is the training, not the features."""
    torch.manual_seed(6)
    layers: list[nn.Module] = []
    for place in range(33):
        if place in (0, *(4 * i for i in range(1, 9))):
            layers.append(nn.Conv2d(3 if place == 0 else 4, 4, 3, padding=1))
        else:
            layers.append(nn.Identity())
    for place, _ in VGG16.values():
        layers[place] = nn.Conv2d(4, 4, 3, padding=1)
    return Trunk("a tiny trunk", nn.Sequential(*layers), VGG16)


def trainer(photo: Photo, backbone: str = "esrgan", **changes: Any) -> SuperResolutionTrainer:
    kind = SuperResolutionTraining if backbone == "esrgan" else SwinIRTraining
    config = kind(**SMALL | changes)
    patches = PhotoPatches(
        photo(width=128), patch=32, validation_share=0.25, noise_std=0.02,
        degradation="bicubic" if backbone == "esrgan" else "bsrgan",
    )  # fmt: skip
    return SuperResolutionTrainer(
        network(backbone), backbone, patches, config, seed=1, identity={"step": 2}, trunk=tiny_trunk()
    )


def weights_of(made: SuperResolutionTrainer) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, module in made._modules().items()
        for key, value in module.state_dict().items()
    }


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Which networks have learned."""
    return {key.split(".")[0] for key, value in after.items() if not torch.equal(value, before[key])}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_an_iteration_trains_generator_and_discriminator(photo: Photo, backbone: str) -> None:
    made = trainer(photo, backbone)
    before = weights_of(made)
    done = made.step()
    assert set(done.losses) == {"l1", "perceptual", "adversarial", "discriminator"}
    assert changed(before, weights_of(made)) == {"network", "average", "discriminator"}
    assert all(parameter.grad is None for parameter in made.perceptual.parameters())


def test_first_l1_alone_then_everything(photo: Photo) -> None:
    made = trainer(photo, l1_iterations=2)
    before = weights_of(made)
    assert set(made.step().losses) == set(made.step().losses) == {"l1"}
    assert changed(before, weights_of(made)) == {"network", "average"}
    assert "discriminator" in made.step().losses
    assert "discriminator" in changed(before, weights_of(made))


def test_the_generators_loss_is_the_weighted_sum(photo: Photo) -> None:
    """One step of plain gradient descent, computed from the three losses by hand."""
    made = trainer(photo, reconstruction_weight=0.3, perceptual_weight=0.7, adversarial_weight=0.2)
    reference = trainer(photo)
    low, high = made.patches.batch(0, 2)
    upscaled = reference.network(low)
    real, fake = reference.discriminator(high), reference.discriminator(upscaled)
    bce = nn.functional.binary_cross_entropy_with_logits
    adversarial = (
        bce(real.detach() - fake.mean(), torch.zeros(2, 1))
        + bce(fake - real.detach().mean(), torch.ones(2, 1))
    ) / 2
    total = (
        0.3 * (upscaled - high).abs().mean() + 0.7 * reference.perceptual(upscaled, high) + 0.2 * adversarial
    )
    expected = torch.autograd.grad(total, list(reference.network.parameters()))
    made._generator_step(low, high, adversarial=True)
    for parameter, gradient in zip(made.network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_the_average_follows_with_a_growing_memory(photo: Photo) -> None:
    made = trainer(photo, ema=0.15)
    start = {name: value.clone() for name, value in made.ema.named_parameters()}
    made.step()
    for name, value in made.ema.named_parameters():
        now = made.network.get_parameter(name)
        torch.testing.assert_close(value, 0.1 * start[name] + 0.9 * now)  # (1 + 0) / (10 + 0)
    before = {name: value.clone() for name, value in made.ema.named_parameters()}
    made.step()
    for name, value in made.ema.named_parameters():
        now = made.network.get_parameter(name)
        torch.testing.assert_close(value, 0.15 * before[name] + 0.85 * now)  # 2 / 11 is more than 0.15


def test_the_rate_falls_at_the_milestones(photo: Photo) -> None:
    made = trainer(photo, milestones=(1, 2), decay=0.1)
    rates = []
    for _ in range(3):
        made.step()
        rates.append((made.optimizer.param_groups[0]["lr"], made.optimizer_d.param_groups[0]["lr"]))
    assert rates == [(1e-4, 1e-4), pytest.approx((1e-5, 1e-5)), pytest.approx((1e-6, 1e-6))]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_it_learns_one_batch_by_heart(photo: Photo, backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer(photo, backbone, iterations=40, l1_iterations=40, learning_rate=5e-3, milestones=())
    batch = made.patches.batch(0, 2)
    monkeypatch.setattr(made.patches, "batch", lambda iteration, size: batch)
    losses = [made.step().losses["l1"] for _ in range(40)]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_checkpointing_changes_memory_and_not_the_result(photo: Photo, backbone: str) -> None:
    plain, saving = trainer(photo, backbone), trainer(photo, backbone, checkpointing=True)
    kept = []
    for made in (plain, saving):
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            made.step()
        kept.append(sum(sizes.values()))
    assert changed(weights_of(plain), weights_of(saving)) == set()
    assert saving.network.checkpointing and not plain.network.checkpointing


@pytest.mark.parametrize("backbone", BACKBONES)
def test_bfloat16_stays_near_float32(photo: Photo, backbone: str) -> None:
    losses = [trainer(photo, backbone, dtype=dtype).step().losses for dtype in ("float32", "bfloat16")]
    for name, value in losses[0].items():
        assert losses[1][name] == pytest.approx(value, rel=0.05), name


# Runs


@pytest.mark.parametrize("backbone", BACKBONES)
def test_resumed_at_any_iteration_it_ends_with_the_same_bits(
    photo: Photo, tmp_path: Path, backbone: str
) -> None:
    whole = trainer(photo, backbone)
    best, lines = train_super_resolution(whole, tmp_path / "whole", progress=False)
    cut = trainer(photo, backbone)
    for _ in range(3):
        cut.step()
    cut.save(tmp_path / "cut.safetensors")
    resumed = trainer(photo, backbone)
    resumed.load(tmp_path / "cut.safetensors")
    while not resumed.finished:
        resumed.step()
    last, _ = checkpoint.load(tmp_path / "whole" / CHECKPOINT)
    for name, module in resumed._modules().items():
        if name != "average":  # there the best one is put back
            assert all(
                torch.equal(last[f"{name}.{key}"], value) for key, value in module.state_dict().items()
            )
    moments = checkpoint.collect({}, resumed._optimizers())
    assert all(torch.equal(last[key], value) for key, value in moments.items())
    judged = [line for line in lines if "st_lpips" in line]
    assert [line["iteration"] for line in judged] == [0, 2, 4, 6]
    chosen = min(judged, key=lambda line: line["st_lpips"])["iteration"]
    assert [path.name for path in (tmp_path / "whole").glob("best-*")] == [f"best-{chosen:06d}.safetensors"]
    assert not best.training


def test_training_ends_when_validation_no_longer_improves(
    photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgements = iter([0.5, 0.4, 0.41, 0.45, 0.4, 0.3])

    def judge(made: SuperResolutionTrainer) -> Validation:
        return Validation(made.iteration, next(judgements), 20.0)

    monkeypatch.setattr(SuperResolutionTrainer, "validate", judge)
    made = trainer(photo, iterations=50, validate_every=2, patience=3)
    best, lines = train_super_resolution(made, tmp_path / "run", progress=False)
    assert made.iteration == 8  # three in a row that were not better than 0.4
    assert [line["st_lpips"] for line in lines if "st_lpips" in line] == [0.5, 0.4, 0.41, 0.45, 0.4]
    reference = trainer(photo, iterations=50, validate_every=2, patience=3)
    for _ in range(2):
        reference.step()
    expected = reference.ema.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in best.state_dict().items())
    # And a run that has ended is not trained further.
    again = trainer(photo, iterations=50, validate_every=2, patience=3)
    _, same = train_super_resolution(again, tmp_path / "run", resume=True, progress=False)
    assert again.iteration == 8 and same == lines


@pytest.mark.parametrize("where", ["perceptual", "gradient of the generator", "discriminator"])
def test_nan_stops_the_run_is_named_and_leaves_the_last_checkpoint(
    photo: Photo, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trainer(photo, validate_every=3)
    step = made.step

    def poisoned() -> Any:
        if made.iteration == 4:
            if where == "perceptual":
                made.perceptual.mean.fill_(float("nan"))
            elif where == "discriminator":
                monkeypatch.setattr(
                    made, "_discriminator_loss", lambda real, fake: fake.mean() * float("inf")
                )
            else:
                weight = next(made.network.parameters())
                weight.register_hook(lambda gradient: gradient * float("nan"))
        return step()

    monkeypatch.setattr(made, "step", poisoned)
    with pytest.raises(TrainingError, match=rf"iteration 5: the {where} is (nan|-?inf); the last checkpoint"):
        train_super_resolution(made, tmp_path / "run", progress=False)
    tensors, meta = checkpoint.load(tmp_path / "run" / CHECKPOINT)
    assert meta["iteration"] == 3
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    again = trainer(photo, validate_every=3)
    train_super_resolution(again, tmp_path / "run", resume=True, progress=False)
    assert again.finished


def test_a_run_is_not_overwritten_and_not_continued_by_another(photo: Photo, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_super_resolution(trainer(photo), run, progress=False)
    with pytest.raises(TrainingError, match="holds a training already: continue it with --resume"):
        train_super_resolution(trainer(photo), run, progress=False)
    with pytest.raises(CheckpointError, match=r"learning_rate was 0\.0001 and is now 0\.001"):
        train_super_resolution(trainer(photo, learning_rate=1e-3), run, resume=True, progress=False)
    with pytest.raises(CheckpointError, match="backbone was esrgan and is now swinir"):
        train_super_resolution(trainer(photo, "swinir"), run, resume=True, progress=False)
    other = trainer(photo)
    other._extra["step"] = 3
    with pytest.raises(CheckpointError, match="step was 2 and is now 3"):
        train_super_resolution(other, run, resume=True, progress=False)


def test_the_log_holds_losses_and_validations(photo: Photo, tmp_path: Path) -> None:
    config = dataclasses.asdict(trainer(photo).config)
    assert config["iterations"] == 6
    train_super_resolution(trainer(photo, iterations=12), tmp_path, progress=False)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line["iteration"] for line in lines if "l1" in line] == [10, 12]
    assert all(line["psnr"] > 0 for line in lines if "st_lpips" in line)
