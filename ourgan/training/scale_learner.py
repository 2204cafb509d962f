"""What learns at a scale of step 1, and how: the networks of one scale after the other with their optimisers.

The newest block of the generator learns, as a part of a variational autoencoder or against a discriminator.
`ourgan.training.learners` says which networks do, from what and how fast (Alg. F.1), and
`ourgan.training.scales` leads them from scale to scale.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ourgan._core.devices import compute_dtype
from ourgan.config.structure import StructureConfig
from ourgan.io.pixels import pyramid
from ourgan.models.pyramid import ConvBlock, GlobalGenerator
from ourgan.training import checkpoint
from ourgan.training.gradient_penalty import discriminator_step, score_gradient
from ourgan.training.nan_report import check_finite, gradient_norm
from ourgan.training.seeds import seeded, stream

# Numbers of the streams of weights: this and more for discriminators, the scale for blocks.
DISCRIMINATOR = 1000


class ScaleLearner(ABC):
    """The networks of a training of step 1, at its current scale and iteration.

    They learn from a photo in [0, 1] and live on `device`; noise is always drawn on the CPU.
    """

    def __init__(
        self, photo: Float[Tensor, "3 h w"], config: StructureConfig, seed: int, device: torch.device
    ) -> None:
        self.network, self.training, self.seed, self.device = config.network, config.training, seed, device
        self.streams = 2  # how weights follow from the seed: 1 in checkpoints of the first release
        self.dtype = compute_dtype(self.training.dtype, device)
        self.image_dtype = torch.float64 if self.dtype == torch.float64 else torch.float32
        with self.seeded_weights(0):
            self.generator = self.new_generator(photo.shape[1] / photo.shape[2])
        self.generator.to(device, self.image_dtype).compute_dtype = self.dtype
        self.discriminator: ConvBlock | None = None
        scaled = pyramid(photo, self.generator.sizes, antialias=self.training.antialias)
        self.photos = [self.rows(x).mul(2).sub(1).to(device, self.image_dtype) for x in scaled]
        self.rng = stream(seed, "noise")
        self.scale = self.iteration = 0
        self.enter(0)

    # -- what each generator has of its own -------------------------------------------------------

    @abstractmethod
    def new_generator(self, aspect_ratio: float) -> GlobalGenerator:
        """Return the generator with its coarsest scale alone."""

    @abstractmethod
    def new_discriminator(self) -> ConvBlock | None:
        """Return the discriminator of the current scale, or None where that of the last scale goes on."""

    @abstractmethod
    def learners(self) -> list[tuple[nn.Module, float]]:
        """Return the parts of the generator that learn at the current scale, each with its learning rate."""

    @abstractmethod
    def prepare(self) -> None:
        """Compute what stays the same for all iterations of the current scale; called without gradients."""

    @abstractmethod
    def noise_amplitude(self) -> float:
        """Measure a_m of the current scale, before its block has learned; called without gradients."""

    @abstractmethod
    def update(self) -> Mapping[str, Tensor]:
        """Update the networks of the current scale for one iteration, and return the losses."""

    @abstractmethod
    def rate_factor(self) -> float:
        """Return the factor on all learning rates at the current iteration."""

    @abstractmethod
    def work(self, scale: int) -> int:
        """Return the cost of one iteration at `scale` relative to others."""

    @property
    def is_vae(self) -> bool:
        """Whether the current scale is trained as a variational autoencoder."""
        return False

    def rows(self, photo: Float[Tensor, "3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """Return what batches are made of: the photo, once, as equal rows are never computed twice."""
        return photo[None]

    # -- scales -----------------------------------------------------------------------------------

    @property
    def scale_iterations(self) -> int:
        """The number of iterations of the current scale."""
        return self.training.scale_iterations(self.scale)

    def enter(self, scale: int) -> None:
        """Begin a scale: grow the generator, choose what learns, measure the amplitude of its noise."""
        self.scale, self.iteration = scale, 0
        if scale:
            with self.seeded_weights(scale):
                self.generator.grow()
            self.generator.to(self.device, self.image_dtype)
        self._choose_what_learns()
        if scale:
            with torch.no_grad():
                self.generator.noise_amplitudes[scale] = self.noise_amplitude()

    def _choose_what_learns(self) -> None:
        rate, betas, learners = self.training.learning_rate, self.training.betas, self.learners()
        self.generator.requires_grad_(False)
        for module, _ in learners:
            module.requires_grad_(True)
        groups = [{"params": list(module.parameters()), "lr": own} for module, own in learners]
        self.optimizer = torch.optim.Adam(groups, lr=rate, betas=betas)
        self.rates = [own for _, own in learners]
        self.optimizer_d = None
        if not self.is_vae:
            if (fresh := self.new_discriminator()) is not None:
                self.discriminator = fresh.to(self.device, self.image_dtype)
            assert self.discriminator is not None
            self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), lr=rate, betas=betas)
        with torch.no_grad():
            self.prepare()

    def seeded_weights(self, number: int) -> contextlib.AbstractContextManager[None]:
        """Let the networks built inside begin with the weights of a stream of their own."""
        if self.streams == 1:  # only to continue such a checkpoint to the same bits
            return seeded(torch.Generator().manual_seed((self.seed * 10_007 + number) % 2**63))
        return seeded(stream(self.seed, "weights", number))

    # -- one iteration ----------------------------------------------------------------------------

    def step(self) -> dict[str, float]:
        """Do the next iteration of the current scale, and return the losses.

        Raises NotFinite, before that network learns, if a loss or a gradient is not finite.
        """
        factor = self.rate_factor()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        if self.optimizer_d is not None:
            self.optimizer_d.param_groups[0]["lr"] = self.training.learning_rate * factor
        losses = self.finite(self.update())
        self.iteration += 1
        return losses

    def finite(self, losses: Mapping[str, Tensor | float], kind: str = " loss") -> dict[str, float]:
        """Return the losses as numbers. Raises NotFinite, with what is known of the moment."""
        values = {name: float(value) for name, value in losses.items()}
        here = {"scale": self.scale, "iteration": self.iteration + 1}
        text = (
            f"the {{name}}{kind} is {{value}} at scale {here['scale']}, iteration {here['iteration']}: "
            "stopped; train anew in another --out with a lower learning_rate or dtype = 'float32'"
        )
        check_finite(values, text, self.modules(), self.rng.get_state(), **here)
        return values

    def update_discriminator(
        self, real: Float[Tensor, "_ 3 h w"], fake: Float[Tensor, "n 3 h w"]
    ) -> dict[str, Tensor]:
        """Update the discriminator once (Alg. F.1), and return its losses.

        "critic" is the estimate of the distance between real and fake images, mean D(real) - mean D(fake).
        """
        assert self.discriminator is not None and self.optimizer_d is not None
        self.optimizer_d.zero_grad()
        on_real, on_fake, penalty = discriminator_step(
            self.discriminator,
            real,
            fake,
            mix=float(torch.rand((), generator=self.rng)),
            penalty_weight=self.training.penalty_weight,
            dtype=self.dtype,
        )
        losses = {"critic": -(on_real + on_fake), "penalty": penalty}
        self.finite(losses)
        self.finite({"discriminator's gradient": gradient_norm(self.discriminator)}, "")
        self.optimizer_d.step()
        return losses

    def backward(self, reconstruction: Tensor, fake: Tensor, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Set the gradient of weight x reconstruction - weight x D(fake); return `losses` with both terms."""
        assert self.discriminator is not None
        score, gradient = score_gradient(self.discriminator, fake.detach(), dtype=self.dtype)
        losses = {"reconstruction": reconstruction.detach(), **losses, "score": score}
        self.finite(losses)
        self.optimizer.zero_grad()
        torch.autograd.backward(
            [self.training.reconstruction_weight * reconstruction, fake],
            [None, -self.training.adversarial_weight * gradient],
        )
        return losses

    # -- noise and state --------------------------------------------------------------------------

    def randn(self, *shape: int) -> Tensor:
        """Draw standard normal numbers from the training's own stream."""
        # float32 whatever the image dtype, so that runs in float64 meet the same noise.
        return torch.randn(shape, generator=self.rng).to(self.device, self.image_dtype)

    def normal(self, scale: int) -> Float[Tensor, "n 3 h w"]:
        """Draw the noise of a batch at `scale`."""
        return self.randn(self.training.batch_size, 3, *self.generator.sizes[scale])

    def modules(self) -> dict[str, nn.Module]:
        """Return the networks by the names that a checkpoint has for them."""
        both = {"generator": self.generator, "discriminator": self.discriminator}
        return {name: network for name, network in both.items() if network is not None}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimisers by the names that a checkpoint has for them."""
        both = {"optimizer": self.optimizer, "optimizer_d": self.optimizer_d}
        return {name: optimizer for name, optimizer in both.items() if optimizer is not None}

    def restore(self, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
        """Continue at the position, and with the tensors, of a checkpoint."""
        for _ in range(position["scale"]):
            self.generator.grow()
        self.generator.to(self.device, self.image_dtype)
        checkpoint.restore(tensors, {"generator": self.generator}, {})
        self.generator.noise_amplitudes = list(position["noise_amplitudes"])
        self.scale, self.iteration = position["scale"], position["iteration"]
        self._choose_what_learns()
        checkpoint.restore(tensors, self.modules(), self.optimizers())
        self.rng.set_state(tensors["rng"])
