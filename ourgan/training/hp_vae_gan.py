"""Training of step 1, scale by scale (Alg. F.1).

Scales 0 to L are variational autoencoders: E, G_0 and the newest refiner learn to reconstruct the
photo. Every later scale is a GAN: only the newest refiner learns, against a patch discriminator,
and everything below it is frozen and runs without a graph.

Where this departs from the public code, on purpose: the gradient clip counts trainable parameters
only (there, gradients of frozen blocks entered its norm); the spectral norm makes two power
iterations an iteration, not four, since three of the discriminator's passes are one batch here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ourgan._core.devices import compute_dtype, dtype_name
from ourgan._core.strict_toml import to_dict
from ourgan.config import GlobalStructureConfig
from ourgan.io.pixels import digest, pyramid
from ourgan.models.hp_vae_gan import Discriminator, GlobalGenerator
from ourgan.training import checkpoint
from ourgan.training.gradient_penalty import critic_step, score_gradient
from ourgan.training.losses import kl_loss, reconstruction_loss
from ourgan.training.nan_report import NotFinite, evidence, first_not_finite, gradient_norm


@dataclasses.dataclass(frozen=True)
class Progress:
    """One iteration done."""

    scale: int
    iteration: int  # within the scale, from 1
    losses: dict[str, float]
    seconds: float


class GlobalStructureTrainer:
    """The state of a training of step 1, and the next iteration.

    Args:
        photo: (3, H, W) in [0, 1].
        config: Table H.1 and its open questions.
        seed: of initialisation and noise. On a CPU, the same seed, thread count and torch give the
            same weights bit for bit, interrupted or not.
        device: where the networks live. Noise is always drawn on the CPU.
    """

    network: type[GlobalGenerator] = GlobalGenerator  # what is trained

    def __init__(
        self,
        photo: Tensor,
        config: GlobalStructureConfig,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        self.config = config
        self.seed = seed
        self.device = torch.device(device)
        self.dtype = compute_dtype(config.dtype, self.device)
        self.image_dtype = torch.float64 if self.dtype == torch.float64 else torch.float32
        with forked(seed, 0):
            self.generator = self.network(config, photo.shape[1] / photo.shape[2])
        self.generator.to(self.device, self.image_dtype).compute_dtype = self.dtype
        self.discriminator: Discriminator | None = None
        scaled = pyramid(photo, self.generator.sizes, antialias=config.antialias)
        # One photo, and its mirror where flips are drawn: a batch of equal rows is never computed.
        self.photos = [
            torch.stack([x, x.flip(2)] if config.horizontal_flip else [x])
            .mul(2)
            .sub(1)
            .to(self.device, self.image_dtype)
            for x in scaled
        ]
        self.rng = torch.Generator().manual_seed(seed % 2**63)
        self.scale = -1
        self.iteration = 0
        self._enter(0)

    # -- stages -------------------------------------------------------------------------------

    @property
    def is_vae(self) -> bool:
        """Whether the current scale is trained as a variational autoencoder."""
        return self.scale <= self.config.vae_refinements

    @property
    def finished(self) -> bool:
        """Whether every scale has had its iterations."""
        last = self.config.scales - 1
        return self.scale == last and self.iteration >= self.config.stage_iterations(last)

    def _enter(self, scale: int) -> None:
        """Begin a scale: grow the generator, measure its noise amplitude, choose what learns."""
        self.scale, self.iteration = scale, 0
        if scale:
            with forked(self.seed, scale):
                self.generator.grow()
            self.generator.to(self.device, self.image_dtype)
        self._choose_what_learns()
        if scale:
            self.generator.noise_amplitudes[scale] = self._measure_amplitude()

    def _choose_what_learns(self) -> None:
        generator, config, scale = self.generator, self.config, self.scale
        learning: list[tuple[nn.Module, float]] = []
        if scale:
            learning.append((generator.refiners[-1], config.learning_rate))
        if self.is_vae:
            rate = config.learning_rate * config.learning_rate_scale**scale
            learning += [(generator.encoder, rate), (generator.decoder, rate)]
        generator.requires_grad_(False)
        generator.encoder.train(self.is_vae)  # its spectral norm stands still once it is frozen
        for module, _ in learning:
            module.requires_grad_(True)
        groups = [{"params": list(module.parameters()), "lr": rate} for module, rate in learning]
        self.optimizer = torch.optim.Adam(groups, lr=config.learning_rate, betas=config.betas)
        self.rates = [rate for _, rate in learning]
        self.optimizer_d = None
        if not self.is_vae:
            if self.discriminator is None:  # later scales go on from the last scale's
                with forked(self.seed, 1000):
                    self.discriminator = Discriminator(config).to(self.device, self.image_dtype)
            self.optimizer_d = torch.optim.Adam(
                self.discriminator.parameters(), lr=config.learning_rate, betas=config.betas
            )
            with torch.no_grad():
                self.latent_mean, log_variance = generator.encode(self.photos[0])
                self.latent_std = (0.5 * log_variance).exp()

    @torch.no_grad()
    def _measure_amplitude(self) -> float:
        """a_m = amplitude x RMSE of the reconstruction, the new block included."""
        if self.is_vae:
            mean, log_variance = self.generator.encode(self.photos[0])
            latent = self._latent(mean, (0.5 * log_variance).exp(), self._flips())
        else:
            latent = self._latent(self.latent_mean, self.latent_std, self._flips())
        made = self._reconstruct(latent, self.scale)
        rmse = (made - self.photos[self.scale][:1]).square().mean().sqrt()
        return self.config.noise_amplitude * float(rmse)

    # -- one iteration --------------------------------------------------------------------------

    def step(self) -> Progress:
        """Do the next iteration, entering the next scale first where the current one is done.

        Raises NotFinite, before that network learns, if a loss or a gradient is not finite.
        """
        started = time.perf_counter()
        if self.iteration >= self.config.stage_iterations(self.scale):
            self._enter(self.scale + 1)
        self._set_rates()
        losses = self._vae_step() if self.is_vae else self._gan_step()
        values = self._finite(losses)
        self.iteration += 1
        return Progress(self.scale, self.iteration, values, time.perf_counter() - started)

    def _finite(self, losses: Mapping[str, Tensor | float], kind: str = " loss") -> dict[str, float]:
        """The losses as numbers. Raises NotFinite, with what is known of the moment."""
        values = {name: float(value) for name, value in losses.items()}
        if (name := first_not_finite(values)) is None:
            return values
        here = {"scale": self.scale, "iteration": self.iteration + 1}
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        raise NotFinite(
            f"the {name}{kind} is {values[name]} at scale {here['scale']}, iteration {here['iteration']}: "
            "stopped; train anew in another --out with a lower learning_rate or dtype = 'float32'",
            evidence(values, networks, self.rng.get_state(), **here, identity=self.identity()),
        )

    def _vae_step(self) -> dict[str, Tensor]:
        """Eq. 1 and 2: reconstruct the photo at this scale and at scale 0.

        At scale 0 both terms are the same tensor, as in the public code, so its weight doubles.
        """
        config, flips = self.config, self._flips()
        mean, log_variance = self.generator.encode(self.photos[0])
        latent = self._latent(mean, (0.5 * log_variance).exp(), flips)
        coarse = self.generator.decode(latent)
        made = coarse
        for scale in range(1, self.scale + 1):
            made = self.generator.refine(made, scale)
        reconstruction = reconstruction_loss(made, self.photos[self.scale][flips])
        reconstruction_0 = reconstruction_loss(coarse, self.photos[0][flips])
        kl = kl_loss(mean, log_variance)
        loss = config.reconstruction_weight * (reconstruction + reconstruction_0) + config.kl_weight * kl
        losses = {"reconstruction": reconstruction.detach(), "KL": kl.detach()}
        self._finite(losses)
        self.optimizer.zero_grad()
        loss.backward()
        self._clip_and_step()
        return losses

    def _gan_step(self) -> dict[str, Tensor]:
        """Eq. 3: one update of the discriminator, then one of the newest refiner."""
        config, scale = self.config, self.scale
        assert self.discriminator is not None and self.optimizer_d is not None
        flips = self._flips()
        photo = self.photos[scale][flips]
        with torch.no_grad():
            below = self._reconstruct(self._latent(self.latent_mean, self.latent_std, flips), scale - 1)
            below_random = self._random(scale - 1)
        made = self.generator.refine(below, scale)
        fake = self.generator.refine(below_random, scale, self._normal(scale))

        self.optimizer_d.zero_grad()
        critic = critic_step(
            self.discriminator,
            photo,
            fake.detach(),
            mix=float(torch.rand((), generator=self.rng)),
            penalty_weight=config.penalty_weight,
            dtype=self.dtype,
        )
        # The estimate of the distance between real and fake, and the penalty.
        losses = {"critic": -(critic.real + critic.fake), "penalty": critic.penalty}
        self._finite(losses)
        self._finite({"critic's gradient": gradient_norm(self.discriminator)}, "")
        self.optimizer_d.step()

        reconstruction = reconstruction_loss(made, photo)
        score, gradient = score_gradient(self.discriminator, fake.detach(), dtype=self.dtype)
        losses = {"reconstruction": reconstruction.detach(), **losses, "score": score}
        self._finite(losses)
        self.optimizer.zero_grad()
        torch.autograd.backward(
            [config.reconstruction_weight * reconstruction, fake],
            [None, -config.adversarial_weight * gradient],
        )
        self._clip_and_step()
        return losses

    def _clip_and_step(self) -> None:
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(trained, self.config.gradient_clip)
        self._finite({"generator's gradient": norm}, "")
        self.optimizer.step()

    def _set_rates(self) -> None:
        share = self.config.decay_share
        if not share:
            return
        done = self.iteration / self.config.stage_iterations(self.scale)
        factor = 0.1 ** max(0.0, (done - (1 - share)) / share)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        if self.optimizer_d is not None:
            self.optimizer_d.param_groups[0]["lr"] = self.config.learning_rate * factor

    # -- forward passes ---------------------------------------------------------------------------

    def _flips(self) -> Tensor:
        """Rows of `self.photos` for this batch: [0] for the whole batch unless flips are drawn."""
        if not self.config.horizontal_flip:
            return torch.zeros(1, dtype=torch.long)
        return torch.randint(2, (self.config.batch_size,), generator=self.rng)

    def _randn(self, *shape: int) -> Tensor:
        # float32 whatever the image dtype, so that runs in float64 meet the same noise.
        return torch.randn(shape, generator=self.rng).to(self.device, self.image_dtype)

    def _normal(self, scale: int) -> Tensor:
        return self._randn(self.config.batch_size, 3, *self.generator.sizes[scale])

    def _latent(self, mean: Tensor, std: Tensor, flips: Tensor) -> Tensor:
        epsilon = self._randn(self.config.batch_size, *mean.shape[1:])
        return mean[flips] + std[flips] * epsilon

    def _reconstruct(self, latent: Tensor, scale: int) -> Tensor:
        image = self.generator.decode(latent)
        for s in range(1, scale + 1):
            image = self.generator.refine(image, s)
        return image

    def _random(self, scale: int) -> Tensor:
        shape = (self.config.latent_channels, *self.generator.sizes[0])
        image = self.generator.decode(self._randn(self.config.batch_size, *shape))
        for s in range(1, scale + 1):
            image = self.generator.refine(image, s, self._normal(s) if self.generator.noisy(s) else None)
        return image

    # -- state ------------------------------------------------------------------------------------

    def save(self, path: Path, **facts: Any) -> None:
        """Write the whole state atomically: networks, both optimisers, noise generator, position."""
        tensors = checkpoint.prefixed("generator", self.generator.state_dict())
        tensors |= checkpoint.prefixed("optimizer", checkpoint.optimizer_tensors(self.optimizer))
        if self.discriminator is not None and self.optimizer_d is not None:
            tensors |= checkpoint.prefixed("discriminator", self.discriminator.state_dict())
            tensors |= checkpoint.prefixed("optimizer_d", checkpoint.optimizer_tensors(self.optimizer_d))
        tensors["rng"] = self.rng.get_state()
        checkpoint.save(path, tensors, {"position": self._position(), "identity": self.identity(), **facts})

    def _position(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "iteration": self.iteration,
            "noise_amplitudes": self.generator.noise_amplitudes,
        }

    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be continued."""
        return {
            "config": to_dict(self.config) | {"dtype": dtype_name(self.dtype)},
            "seed": self.seed,
            "sizes": [list(size) for size in self.generator.sizes],
            "photo": digest(self.photos[-1]),
        }

    def load(self, path: Path) -> dict[str, Any]:
        """Continue from `save`; returns its facts. Refuses another photo, seed or configuration."""
        tensors, meta = checkpoint.load(path)
        checkpoint.check_identity(path, meta, self.identity())
        with checkpoint.fitting(path):
            self._restore(tensors, meta["position"])
        return meta

    def _restore(self, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
        for _ in range(position["scale"]):
            self.generator.grow()
        self.generator.to(self.device, self.image_dtype)
        self.generator.load_state_dict(checkpoint.under("generator", tensors))
        self.generator.noise_amplitudes = list(position["noise_amplitudes"])
        self.scale, self.iteration = position["scale"], position["iteration"]
        self._choose_what_learns()
        checkpoint.restore_optimizer(self.optimizer, checkpoint.under("optimizer", tensors))
        if self.discriminator is not None and self.optimizer_d is not None:
            self.discriminator.load_state_dict(checkpoint.under("discriminator", tensors))
            checkpoint.restore_optimizer(self.optimizer_d, checkpoint.under("optimizer_d", tensors))
        self.rng.set_state(tensors["rng"])

    def work(self, scale: int) -> int:
        """Cost of one iteration at `scale` relative to others, in pixels: for the time that is left."""
        pixels = [h * w for h, w in self.generator.sizes]
        return (
            3 * sum(pixels[: scale + 1])
            if scale <= self.config.vae_refinements
            else 8 * pixels[scale] + sum(2 * p for p in pixels[:scale])
        )


@contextlib.contextmanager
def forked(seed: int, stream: int) -> Iterator[None]:
    """Torch's global generator starts from a number of its own for each stream; put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed((seed * 10_007 + stream) % 2**63)
        yield
