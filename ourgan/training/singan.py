"""How SinGAN learns: only the newest block, against a discriminator of its own scale.

An iteration is three updates of the discriminator, each with other noise at every scale, then three of the
block. Beside the discriminator's, the block has one more task: from z* at the coarsest scale and no noise at
the others, it has to reconstruct the photo. `ourgan.models.generators` says where the networks depart from
the public code. One departure more is here: the three updates of the block share the noise of the
discriminator's last, as there, but each is made from a picture drawn afresh. There, the first picture's graph
served all three, with weights that had moved.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ourgan.config.structure import SinGANConfig, SinGANTraining, StructureConfig
from ourgan.models.generators import SinGAN
from ourgan.models.pyramid import ConvBlock
from ourgan.training.gradient_penalty import score_gradient
from ourgan.training.losses import reconstruction_loss
from ourgan.training.nan_report import gradient_norm
from ourgan.training.scale_learner import DISCRIMINATOR, ScaleLearner


class SinGANLearner(ScaleLearner):
    """The networks of SinGAN at a scale of their training. Args: as `ScaleLearner`."""

    generator: SinGAN
    training: SinGANTraining

    def __init__(
        self, photo: Float[Tensor, "3 h w"], config: StructureConfig, seed: int, device: torch.device
    ) -> None:
        assert isinstance(config.network, SinGANConfig)
        self.network = config.network
        super().__init__(photo, config, seed, device)

    # -- what learns ------------------------------------------------------------------------------

    def new_generator(self, aspect_ratio: float) -> SinGAN:
        """Return G_0 and z*."""
        return SinGAN(self.network, aspect_ratio)

    def new_discriminator(self) -> ConvBlock | None:
        """Return a discriminator of this scale; as wide as the last scale's, that one goes on."""
        width = self.network.channels_at
        if self.discriminator is not None and width(self.scale) == width(self.scale - 1):
            return None
        with self.seeded_weights(DISCRIMINATOR + self.scale):
            return self.generator.new_discriminator()

    def learners(self) -> list[tuple[nn.Module, float]]:
        """Return the newest block."""
        block = self.generator.refiners[-1] if self.scale else self.generator.decoder
        return [(block, self.training.learning_rate)]

    def prepare(self) -> None:
        """Reconstruct the photo once up to the scale below, which does not learn any more."""
        self.below = self.generator.reconstruction_noise
        for s in range(self.scale):
            self.below = self._image(s, self.below)

    def noise_amplitude(self) -> float:
        """Measure a_n = amplitude x RMSE of the enlarged reconstruction, before the new block adds to it."""
        enlarged = self.generator.enlarge(self.below, self.scale)
        rmse = (enlarged - self.photos[self.scale]).square().mean().sqrt()
        return self.training.noise_amplitude * float(rmse)

    def rate_factor(self) -> float:
        """Return the factor on the rates: a tenth for the last share of the iterations, at once."""
        left = self.scale_iterations - self.iteration
        return 0.1 if left <= self.training.decay_share * self.scale_iterations else 1.0

    def work(self, scale: int) -> int:
        """Return the cost of one iteration at `scale` relative to others."""
        widths, sizes = map(self.network.channels_at, range(self.network.scales)), self.generator.sizes
        cost = [h * w * width**2 // 64 for width, (h, w) in zip(widths, sizes, strict=True)]
        # In passes of one network: three images up and down the discriminator, two up and down the block.
        own = 11 * self.training.critic_steps + 8 * self.training.generator_steps
        return own * cost[scale] + self.training.critic_steps * sum(cost[:scale])

    # -- one iteration ----------------------------------------------------------------------------

    def update(self) -> dict[str, Tensor]:
        """Update the discriminator three times, then the newest block."""
        losses: dict[str, Tensor] = {}
        for _ in range(self.training.critic_steps):
            below, noise = self._draw()
            with torch.no_grad():
                fake = self._image(self.scale, below, noise)
            losses = self.update_discriminator(self.photos[self.scale], fake)
        for _ in range(self.training.generator_steps):
            losses = self._update_block(below, noise) | losses
        return losses

    def _update_block(self, below: Tensor, noise: Tensor | None) -> dict[str, Tensor]:
        assert self.discriminator is not None
        fake = self._image(self.scale, below, noise)
        reconstruction = reconstruction_loss(self._image(self.scale, self.below), self.photos[self.scale])
        score, gradient = score_gradient(self.discriminator, fake.detach(), dtype=self.dtype)
        losses = {"reconstruction": reconstruction.detach(), "score": score}
        self.finite(losses)
        self.backward(reconstruction, fake, gradient)
        self.finite({"generator's gradient": gradient_norm(self.generator)}, "")
        self.optimizer.step()
        return losses

    # -- forward passes ---------------------------------------------------------------------------

    def _image(self, scale: int, below: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the image of `scale` from that of the scale below; at the coarsest `below` is the noise."""
        return self.generator.refine(below, scale, noise) if scale else self.generator.decode(below)

    @torch.no_grad()
    def _draw(self) -> tuple[Tensor, Tensor | None]:
        """Draw noise at every scale; return the image below the current scale, and that scale's noise."""
        below, noise = self.normal(0), None
        for s in range(self.scale):
            below, noise = self._image(s, below, noise), self.normal(s + 1)
        return below, noise
