"""What is known when a loss or a gradient is not a finite number: nan_report.json in the run's directory."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ourgan._core import provenance
from ourgan._core.files import write_json
from ourgan.training import checkpoint
from ourgan.training.checkpoint import TrainingError

REPORT = "nan_report.json"


class NotFinite(TrainingError):
    """A loss or a gradient that is not finite. `evidence`: plain data for the report."""

    def __init__(self, text: str, evidence: dict[str, Any]) -> None:
        super().__init__(text)
        self.evidence = evidence


def check_finite(
    values: Mapping[str, float],
    text: str,
    networks: Mapping[str, nn.Module],
    rng: Tensor | None,
    **more: Any,
) -> None:
    """Raise NotFinite for the first of the losses or norms that is NaN or infinite.

    {name} and {value} are filled into the text. The report lists what is not finite in the networks, and has
    the state of the generator of noise, where one is kept, and `more`, which is plain data.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            evidence = _evidence(values, networks, rng)
            raise NotFinite(text.format(name=name, value=value), {**more, **evidence})


def gradient_norm(module: nn.Module) -> float:
    """Return the norm of all gradients of `module`: not finite if one of them is not."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))


def _evidence(
    values: Mapping[str, float], networks: Mapping[str, nn.Module], rng: Tensor | None
) -> dict[str, Any]:
    parameters = {
        f"{title}.{name}": parameter
        for title, network in networks.items()
        for name, parameter in network.named_parameters()
    }
    return {
        "values": {name: value if math.isfinite(value) else str(value) for name, value in values.items()},
        "parameters_not_finite": [name for name, p in parameters.items() if not p.isfinite().all()],
        "gradients_not_finite": [
            name for name, p in parameters.items() if p.grad is not None and not p.grad.isfinite().all()
        ],
        "rng_sha256": None if rng is None else hashlib.sha256(rng.numpy().tobytes()).hexdigest(),
    }


@contextlib.contextmanager
def report_not_finite(run: Path) -> Iterator[None]:
    """Leave nan_report.json in `run` when NotFinite passes through, and name it in the error's line.

    The checkpoint is only looked at. Where the report cannot be written the error passes as it is.
    """
    try:
        yield
    except NotFinite as error:
        record = provenance.record(**error.evidence, error=str(error), last_good_checkpoint=_last_good(run))
        with contextlib.suppress(OSError):
            write_json(run / REPORT, record)
            raise TrainingError(f"{error}; what is known is in {run / REPORT}") from error
        raise


def _last_good(run: Path) -> dict[str, Any] | None:
    path = run / checkpoint.CHECKPOINT
    try:
        meta = checkpoint.load(path)[1]
    except checkpoint.CheckpointError:
        return None
    return {"path": str(path), **meta.get("position", {"iteration": meta.get("iteration")})}
