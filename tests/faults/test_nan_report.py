"""F17: a loss or a gradient that is not finite stops the step, leaves what was good, and is reported."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from at_scale import Photo, at
from test_super_resolution import trainer
from torch import Tensor, nn

from ourgan._core.files import sha256
from ourgan.training.checkpoint import CHECKPOINT, TrainingError
from ourgan.training.finetune import train_super_resolution
from ourgan.training.nan_report import REPORT, report_not_finite
from ourgan.training.scales import ScaleTrainer


def stopped(made: ScaleTrainer, run: Path, words: str, *untouched: nn.Module) -> dict[str, Any]:
    """Save, take one step that fails, and give its report; `untouched` networks must have learned nothing."""
    made.save(run / CHECKPOINT)
    good, before = sha256(run / CHECKPOINT), [p.detach().clone() for n in untouched for p in n.parameters()]
    with pytest.raises(TrainingError, match=words) as caught, report_not_finite(run):
        made.step()
    text = str(caught.value)
    assert text.endswith(f"what is known is in {run / REPORT}") and "\n" not in text
    after = [p for network in untouched for p in network.parameters()]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert sha256(run / CHECKPOINT) == good and not list(run.glob(".partial-*"))
    return json.loads((run / REPORT).read_text())


@pytest.mark.parametrize("scale", [1, 3])
def test_a_gradient_that_is_no_number(photo: Photo, tmp_path: Path, scale: int) -> None:
    made = at(scale, photo)
    made.step()
    weight = made.generator.refiners[-1].convolutions[0].weight
    weight.register_hook(lambda gradient: gradient * float("nan"))
    words = f"the generator's gradient is nan at scale {scale}, iteration 2: stopped"
    report = stopped(made, tmp_path, words, made.generator)  # the critic has learned before
    name = f"generator.refiners.{scale - 1}.convolutions.0.weight"
    assert name in report["gradients_not_finite"]
    assert report["parameters_not_finite"] == []
    assert report["values"] == {"generator's gradient": "nan"}
    assert (report["scale"], report["iteration"]) == (scale, 2)
    good = report["last_good_checkpoint"]
    assert (good["path"], good["scale"], good["iteration"]) == (str(tmp_path / CHECKPOINT), scale, 1)
    assert report["rng_sha256"] == hashlib.sha256(made.learner.rng.get_state().numpy().tobytes()).hexdigest()
    assert report["identity"]["seed"] == 3 and report["identity"]["photo"] and report["torch"]


def test_a_gradient_penalty_that_explodes(photo: Photo, tmp_path: Path) -> None:
    made = at(3, photo, penalty_weight=1e38)
    assert made.learner.discriminator is not None
    words = r"the (penalty loss|discriminator's gradient) is (inf|nan) at scale 3, iteration 1"
    report = stopped(made, tmp_path, words, made.generator, made.learner.discriminator)
    assert set(report["values"].values()) & {"inf", "nan"}
    assert report["last_good_checkpoint"]["iteration"] == 0


def test_a_loss_that_is_no_number(photo: Photo, tmp_path: Path) -> None:
    made = at(0, photo)
    made.learner.photos[0] = made.learner.photos[0] * float("nan")
    words = "the reconstruction loss is nan at scale 0, iteration 1: stopped"
    report = stopped(made, tmp_path, words, made.generator)
    assert report["gradients_not_finite"] == report["parameters_not_finite"] == []


def test_super_resolution_leaves_its_report_beside_the_good_checkpoint(photo: Photo, tmp_path: Path) -> None:
    made = trainer(photo, validate_every=2)
    batch, run = made.patches.batch, tmp_path / "run"

    def poisoned(iteration: int, size: int) -> tuple[Tensor, Tensor]:
        low, high = batch(iteration, size)
        return (low * float("inf") if iteration == 3 else low), high

    made.patches.batch = poisoned  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"iteration 4: the l1 is (nan|inf).*what is known is in"):
        train_super_resolution(made, run, progress=False)
    report = json.loads((run / REPORT).read_text())
    assert report["iteration"] == 4 and report["identity"]["seed"] == 1
    assert report["last_good_checkpoint"] == {"path": str(run / CHECKPOINT), "iteration": 2}
    assert report["parameters_not_finite"] == []


def test_a_report_that_cannot_be_written_does_not_hide_the_fault(photo: Photo, tmp_path: Path) -> None:
    made = at(0, photo)
    made.learner.photos[0] = made.learner.photos[0] * float("nan")
    with (
        pytest.raises(TrainingError, match="loss is nan at scale 0") as caught,
        report_not_finite(tmp_path / "none"),
    ):
        made.step()
    assert REPORT not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
