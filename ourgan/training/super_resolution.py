"""Training of a super-resolution network (Alg. F.2 to F.5), one iteration at a time."""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ourgan._core.devices import autocast, compute_dtype, dtype_name
from ourgan._core.strict_toml import to_dict
from ourgan.config import SuperResolutionTraining
from ourgan.metrics.lpips import psnr, st_lpips
from ourgan.models.discriminators import UNetDiscriminator, VGGDiscriminator
from ourgan.training import checkpoint, losses
from ourgan.training.checkpoint import BestWeights, Validation
from ourgan.training.losses import PerceptualLoss, Trunk
from ourgan.training.nan_report import check_finite, gradient_norm
from ourgan.training.patches import Patches
from ourgan.training.run import Line, Progress
from ourgan.training.seeds import seeded, stream

LOG_EVERY = 10  # iterations


class SuperResolutionTrainer:
    """The state of a training, and the next iteration: a `Trainer` for `ourgan.training.run`.

    The generator steps first, the discriminator then on the same patches. `ema` is the exponential
    moving average of the generator: what is validated, and kept where it was best.

    `network`, RRDBNet or SwinIR with the weights to start from, is trained in place: "esrgan" by a
    relativistic loss and VGG-128, "swinir" by a vanilla loss and a U-Net. `identity` is what else must be
    equal for a checkpoint to be continued, as plain data; `trunk` is of the perceptual loss.
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
        self.device, self.backbone = torch.device(device), backbone
        self.patches, self.config = patches, config
        self.dtype = compute_dtype(config.dtype, self.device)
        self.iteration = 0
        self.seed, self._extra = seed, identity or {}
        self.best = BestWeights()
        place: dict[str, Any] = {"device": self.device, "memory_format": torch.channels_last}
        self.network = network.to(**place).float().train().requires_grad_(True)
        self.ema = copy.deepcopy(self.network).eval().requires_grad_(False)
        if config.checkpointing:
            self.network.checkpointing = True  # type: ignore[assignment]
        channels, esrgan = config.discriminator_channels, backbone == "esrgan"
        with seeded(stream(seed, "weights", "discriminator")):
            made = VGGDiscriminator(channels, config.patch) if esrgan else UNetDiscriminator(channels)
        self.discriminator = made.to(**place).train()
        self.perceptual = PerceptualLoss(config.perceptual_layers, trunk).to(**place)
        self.perceptual.layers.to(self.dtype)
        self.optimizer = self._adam(self.network)
        self.optimizer_d = self._adam(self.discriminator)
        self._generator_loss, self._discriminator_loss = losses.ADVERSARIAL[backbone]

    @property
    def finished(self) -> bool:
        """Whether all iterations are done, or validation has not improved `config.patience` times."""
        return self._last or bool(self.config.patience and self.best.waited >= self.config.patience)

    @property
    def _last(self) -> bool:
        return self.iteration >= self.config.iterations

    def step(self) -> Progress:
        """Do the next iteration. Raises NotFinite, before that network learns, for a loss or a gradient."""
        started, config = time.monotonic(), self.config
        lr, hr = (side.to(self.device) for side in self.patches.batch(self.iteration, config.batch_size))
        for optimizer in (self.optimizer, self.optimizer_d):
            optimizer.param_groups[0]["lr"] = config.rate(self.iteration)
        adversarial = self.iteration >= config.l1_iterations
        sr, values = self._generator_step(lr, hr, adversarial)
        if adversarial:
            values["discriminator"] = self._discriminator_step(sr, hr)
        self._update_ema()
        self.iteration += 1
        return Progress(
            self.position,
            losses=values,
            seconds=time.monotonic() - started,
            total=self.iteration,
            logged=self.iteration % LOG_EVERY == 0 or self._last,
            milestone=self.iteration % config.validate_every == 0 or self._last,
        )

    def _generator_step(self, lr: Tensor, hr: Tensor, adversarial: bool) -> tuple[Tensor, dict[str, float]]:
        """Minimise L_G = perceptual + lambda adversarial + eta L1; return the SR images and the losses."""
        config, terms = self.config, {}
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.dtype):
            sr = self.network(lr.contiguous(memory_format=torch.channels_last))
        sr = sr.float()
        terms["l1"] = (sr - hr).abs().mean()
        total = terms["l1"]
        if adversarial:
            terms["perceptual"] = self.perceptual(sr, hr)
            terms["adversarial"] = self._adversarial(sr, hr)
            total = (
                config.reconstruction_weight * terms["l1"]
                + config.perceptual_weight * terms["perceptual"]
                + config.adversarial_weight * terms["adversarial"]
            )
        values = {name: float(value.detach()) for name, value in terms.items()}
        self._check(values)
        total.backward()
        self._check({"gradient of the generator": gradient_norm(self.network)})
        self.optimizer.step()
        return sr.detach(), values

    def _adversarial(self, sr: Tensor, hr: Tensor) -> Tensor:
        self.discriminator.requires_grad_(False)
        with autocast(self.device, self.dtype):
            # Two calls, not one batch: batch normalisation must not mix real and fake.
            real = self.discriminator(hr) if self.backbone == "esrgan" else hr
            fake = self.discriminator(sr)
        self.discriminator.requires_grad_(True)
        return self._generator_loss(real, fake)

    def _discriminator_step(self, sr: Tensor, hr: Tensor) -> float:
        self.optimizer_d.zero_grad(set_to_none=True)
        with autocast(self.device, self.dtype):
            real, fake = self.discriminator(hr), self.discriminator(sr)
        loss = self._discriminator_loss(real, fake)
        self._check({"discriminator": float(loss.detach())})
        loss.backward()
        self._check({"gradient of the discriminator": gradient_norm(self.discriminator)})
        self.optimizer_d.step()
        return float(loss.detach())

    @torch.no_grad()
    def _update_ema(self) -> None:
        keep = min(self.config.ema, (1 + self.iteration) / (10 + self.iteration))
        for averaged, current in zip(self.ema.parameters(), self.network.parameters(), strict=True):
            averaged.lerp_(current, 1 - keep)

    @torch.no_grad()
    def validate(self) -> Validation:
        """Judge `ema` by the patches' validation crops, means over them."""
        distances, ratios = [], []
        for lr, hr in self.patches.validation():
            with autocast(self.device, self.dtype):
                sr = self.ema(lr.to(self.device)[None])[0]
            sr = sr.float().clamp(0, 1).cpu()
            distances.append(st_lpips(sr, hr))
            ratios.append(psnr(sr, hr))
        return Validation(self.iteration, sum(distances) / len(distances), sum(ratios) / len(ratios))

    # -- for the loop -----------------------------------------------------------------------------

    @property
    def position(self) -> dict[str, int]:
        """The iterations done."""
        return {"iteration": self.iteration}

    @property
    def status(self) -> str:
        """What the progress bar says: the iteration, and the best validation."""
        value = self.best.validation.st_lpips
        best = f" ST-LPIPS {value:.3f}" if math.isfinite(value) else ""
        return f"{self.iteration}/{self.config.iterations}{best}"

    @property
    def work(self) -> tuple[int, int]:
        """Iterations done, and all iterations."""
        return self.iteration, self.config.iterations

    def begin(self, run: Path) -> list[Line]:
        """Validate the weights it starts from."""
        return self.milestone(run)

    def milestone(self, run: Path) -> list[Line]:
        """Validate, and keep the best weights in the directory `run`."""
        values = self.validate()
        self.best.update(values, self.ema, run)
        return [values.line()]

    def best_network(self, run: Path) -> nn.Module:
        """Return the averaged network with the best weights by validation, in evaluation mode."""
        self.best.load_into(self.ema, run)
        return self.ema

    # -- state ------------------------------------------------------------------------------------

    def save(self, path: Path, **metadata: Any) -> None:
        """Write the whole state atomically, and remove the weights beside it that are no longer the best."""
        meta = {"iteration": self.iteration, "identity": self.identity(), **self.best.metadata()}
        checkpoint.save(path, checkpoint.collect(self._modules(), self._optimizers()), meta | metadata)
        self.best.remove_others(path.parent)

    def load(self, path: Path) -> dict[str, Any]:
        """Continue from `save`, and return its metadata.

        CheckpointError for another training's, a damaged one, and one without the best weights beside it.
        """
        tensors, meta = checkpoint.load(path)
        checkpoint.check_identity(path, meta, self.identity())
        with checkpoint.fitting(path):
            checkpoint.restore(tensors, self._modules(), self._optimizers())
            self.iteration = int(meta["iteration"])
        self.best.restore(meta, path.parent)
        return meta

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for a checkpoint to be continued, as plain data."""
        return {
            "backbone": self.backbone,
            "config": to_dict(self.config) | {"dtype": dtype_name(self.dtype)},
            "seed": self.seed,
            "perceptual": self.perceptual.trunk_name,
            **self._extra,
        }

    def _modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, "average": self.ema, "discriminator": self.discriminator}

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"optimizer": self.optimizer, "optimizer_d": self.optimizer_d}

    def _adam(self, module: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(module.parameters(), lr=self.config.learning_rate, betas=self.config.betas)

    def _check(self, values: dict[str, float]) -> None:
        number = self.iteration + 1
        text = (
            f"iteration {number}: the {{name}} is {{value}}; the last checkpoint is kept: resume with "
            "--resume, or start again with a lower learning_rate or dtype float32"
        )
        check_finite(values, text, self._modules(), None, iteration=number, identity=self.identity())
