"""Training of a super-resolution network (Alg. F.2 to F.5), one iteration at a time."""

from __future__ import annotations

import copy
import dataclasses
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ourgan._core.devices import autocast, compute_dtype, dtype_name
from ourgan._core.strict_toml import to_dict
from ourgan.config import SuperResolutionTraining
from ourgan.metrics.lpips import psnr, st_lpips
from ourgan.models.discriminators import UNetDiscriminator, VGGDiscriminator
from ourgan.training import checkpoint, losses
from ourgan.training.nan_report import NotFinite, evidence, first_not_finite, gradient_norm
from ourgan.training.perceptual import PerceptualLoss, Trunk


class Patches(Protocol):
    """Where patches come from: `ourgan.training.patches`."""

    def batch(self, iteration: int, size: int) -> tuple[Tensor, Tensor]:
        """LR and HR patches of an iteration."""

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """LR and HR crops to judge by."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """One iteration done."""

    iteration: int  # from 1
    losses: dict[str, float]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Validation:
    """The averaged network on what it was not trained on."""

    iteration: int
    st_lpips: float  # lower is better; training stops by this one
    psnr: float


class SuperResolutionTrainer:
    """The state of a training, and the next iteration.

    The generator steps first, the discriminator then on the same patches. `average` is the exponential
    moving average of the generator: what is validated and kept.

    Args:
        network: RRDBNet or SwinIR with the weights to start from; trained in place.
        backbone: "esrgan" (relativistic loss, VGG-128) or "swinir" (vanilla loss, U-Net).
        patches: where pairs come from.
        config: Table H.2 or H.3.
        identity: what else must be equal for a checkpoint to be continued, as plain data.
        trunk: of the perceptual loss.
    """

    def __init__(
        self,
        network: nn.Module,
        backbone: str,
        patches: Patches,
        config: SuperResolutionTraining,
        *,
        seed: int = 0,
        identity: dict[str, Any] | None = None,
        device: str | torch.device = "cpu",
        trunk: Trunk | None = None,
    ) -> None:
        self.device, self.backbone, self.patches, self.config = (
            torch.device(device),
            backbone,
            patches,
            config,
        )
        self.dtype = compute_dtype(config.dtype, self.device)
        self.iteration = 0
        self.seed, self._extra = seed, identity or {}
        place: dict[str, Any] = {"device": self.device, "memory_format": torch.channels_last}
        self.network = network.to(**place).float().train().requires_grad_(True)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        if config.checkpointing:
            self.network.checkpointing = True  # type: ignore[assignment]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            width = config.discriminator_channels
            discriminator = (
                VGGDiscriminator(width, config.patch) if backbone == "esrgan" else UNetDiscriminator(width)
            )
        self.discriminator = discriminator.to(**place).train()
        self.perceptual = PerceptualLoss(config.perceptual_layers, trunk).to(**place)
        self.perceptual.layers.to(self.dtype)
        self.optimizer = self._adam(self.network)
        self.optimizer_d = self._adam(self.discriminator)
        relativistic = backbone == "esrgan"
        self._generator_loss = (
            losses.relativistic_generator_loss if relativistic else losses.vanilla_generator_loss
        )
        self._discriminator_loss = (
            losses.relativistic_discriminator_loss if relativistic else losses.vanilla_discriminator_loss
        )

    @property
    def finished(self) -> bool:
        """Whether all iterations are done."""
        return self.iteration >= self.config.iterations

    def step(self) -> Progress:
        """One iteration; NotFinite, before that network learns, if a loss or gradient is not finite."""
        started, config = time.monotonic(), self.config
        low, high = (side.to(self.device) for side in self.patches.batch(self.iteration, config.batch_size))
        for optimizer in (self.optimizer, self.optimizer_d):
            optimizer.param_groups[0]["lr"] = config.rate(self.iteration)
        adversarial = self.iteration >= config.l1_iterations
        made, found = self._generator_step(low, high, adversarial)
        if adversarial:
            found["discriminator"] = self._discriminator_step(made, high)
        self._update_average()
        self.iteration += 1
        return Progress(self.iteration, found, time.monotonic() - started)

    def _generator_step(
        self, low: Tensor, high: Tensor, adversarial: bool
    ) -> tuple[Tensor, dict[str, float]]:
        """L_G = perceptual + lambda adversarial + eta L1; returns the images made and the losses."""
        config, terms = self.config, {}
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            made = self.network(low.contiguous(memory_format=torch.channels_last))
        made = made.float()
        terms["l1"] = (made - high).abs().mean()
        total = terms["l1"]
        if adversarial:
            terms["perceptual"] = self.perceptual(made, high)
            terms["adversarial"] = self._adversarial(made, high)
            total = (
                config.reconstruction_weight * terms["l1"]
                + config.perceptual_weight * terms["perceptual"]
                + config.adversarial_weight * terms["adversarial"]
            )
        found = {name: float(value.detach()) for name, value in terms.items()}
        self._check(found)
        total.backward()
        self._check({"gradient of the generator": gradient_norm(self.network)})
        self.optimizer.step()
        return made.detach(), found

    def _adversarial(self, made: Tensor, high: Tensor) -> Tensor:
        self.discriminator.requires_grad_(False)
        with self._autocast():
            # Two calls, not one batch: batch normalisation must not mix real and fake.
            real = self.discriminator(high) if self.backbone == "esrgan" else high
            fake = self.discriminator(made)
        self.discriminator.requires_grad_(True)
        return self._generator_loss(real, fake)

    def _discriminator_step(self, made: Tensor, high: Tensor) -> float:
        self.optimizer_d.zero_grad(set_to_none=True)
        with self._autocast():
            real, fake = self.discriminator(high), self.discriminator(made)
        loss = self._discriminator_loss(real, fake)
        self._check({"discriminator": float(loss.detach())})
        loss.backward()
        self._check({"gradient of the discriminator": gradient_norm(self.discriminator)})
        self.optimizer_d.step()
        return float(loss.detach())

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = min(self.config.ema, (1 + self.iteration) / (10 + self.iteration))
        for mine, theirs in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mine.lerp_(theirs, 1 - keep)

    @torch.no_grad()
    def validate(self) -> Validation:
        """Judge `average` by the patches' validation crops, means over them."""
        distances, ratios = [], []
        for low, high in self.patches.validation():
            with self._autocast():
                made = self.average(low.to(self.device)[None])[0]
            made = made.float().clamp(0, 1).cpu()
            distances.append(st_lpips(made, high))
            ratios.append(psnr(made, high))
        count = len(distances)
        return Validation(self.iteration, sum(distances) / count, sum(ratios) / count)

    def save(self, path: Path, **facts: Any) -> None:
        """Write the whole state atomically."""
        tensors: dict[str, Tensor] = {}
        for name, module in self._modules().items():
            tensors |= checkpoint.prefixed(name, dict(module.state_dict()))
        for name, optimizer in self._optimizers().items():
            tensors |= checkpoint.prefixed(name, checkpoint.optimizer_tensors(optimizer))
        checkpoint.save(path, tensors, {"iteration": self.iteration, "identity": self.identity(), **facts})

    def load(self, path: Path) -> dict[str, Any]:
        """Continue from `save`; returns its facts. Refuses another photo, network, seed or configuration."""
        tensors, meta = checkpoint.load(path)
        checkpoint.check_identity(path, meta, self.identity())
        with checkpoint.fitting(path):
            for name, module in self._modules().items():
                module.load_state_dict(checkpoint.under(name, tensors))
            for name, optimizer in self._optimizers().items():
                checkpoint.restore_optimizer(optimizer, checkpoint.under(name, tensors))
            self.iteration = int(meta["iteration"])
        return meta

    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be continued."""
        return {
            "backbone": self.backbone,
            "config": to_dict(self.config) | {"dtype": dtype_name(self.dtype)},
            "seed": self.seed,
            "perceptual": self.perceptual.trunk_name,
            **self._extra,
        }

    def _modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, "average": self.average, "discriminator": self.discriminator}

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"optimizer": self.optimizer, "optimizer_d": self.optimizer_d}

    def _adam(self, module: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(module.parameters(), lr=self.config.learning_rate, betas=self.config.betas)

    def _autocast(self) -> AbstractContextManager[object]:
        return autocast(self.device, self.dtype)

    def _check(self, found: dict[str, float]) -> None:
        if (name := first_not_finite(found)) is None:
            return
        raise NotFinite(
            f"iteration {self.iteration + 1}: the {name} is {found[name]}; the last checkpoint is kept: "
            "resume with --resume, or start again with a lower learning_rate or dtype float32",
            evidence(found, self._modules(), None, iteration=self.iteration + 1, identity=self.identity()),
        )
