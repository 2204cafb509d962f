"""Training of SinGAN, scale by scale: only the newest block learns, against a critic of its own scale.

An iteration is three updates of the critic, each with other noise at every scale, then three of the block.
Beside the critic's, the block has one more task: from z* at the coarsest scale and no noise at the others,
it has to reconstruct the photo. Networks and their departures: `ourgan.models.singan`. One more is here:
the three updates of the block share the noise of the critic's last, as in the public code, but each is made
from a picture drawn anew. There, the first picture's graph served all three, with weights that had moved.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ourgan.config import SinGANConfig
from ourgan.models.hp_vae_gan import Discriminator
from ourgan.models.singan import SinGAN
from ourgan.training.gradient_penalty import critic_step, score_gradient
from ourgan.training.hp_vae_gan import GlobalStructureTrainer, forked
from ourgan.training.losses import reconstruction_loss
from ourgan.training.nan_report import gradient_norm


class SinGANTrainer(GlobalStructureTrainer):
    """The state of a training of SinGAN, and the next iteration; arguments as `GlobalStructureTrainer`."""

    config: SinGANConfig
    generator: SinGAN
    network = SinGAN
    critic_channels = 0  # of the discriminator that is there

    @property
    def is_vae(self) -> bool:
        """No scale is one."""
        return False

    # -- stages -------------------------------------------------------------------------------

    def _choose_what_learns(self) -> None:
        generator, config, scale = self.generator, self.config, self.scale
        block = generator.refiners[-1] if scale else generator.decoder
        generator.requires_grad_(False)
        block.requires_grad_(True)
        self.optimizer = torch.optim.Adam(block.parameters(), lr=config.learning_rate, betas=config.betas)
        if self.critic_channels != config.channels_at(scale):  # as wide, it goes on from the last scale's
            with forked(self.seed, 1000 + scale):
                self.discriminator = Discriminator(config.at(scale))
            self.critic_channels = config.channels_at(scale)
        assert self.discriminator is not None
        self.discriminator.to(self.device, self.image_dtype)
        self.optimizer_d = torch.optim.Adam(
            self.discriminator.parameters(), lr=config.learning_rate, betas=config.betas
        )
        with torch.no_grad():  # what is below does not learn any more: reconstructed once
            self.below = generator.reconstruction_noise
            for s in range(scale):
                self.below = self._made(s, self.below)

    @torch.no_grad()
    def _measure_amplitude(self) -> float:
        """a_n = amplitude x RMSE of the enlarged reconstruction, before the new block adds to it."""
        enlarged = self.generator.enlarge(self.below, self.scale)
        rmse = (enlarged - self.photos[self.scale]).square().mean().sqrt()
        return self.config.noise_amplitude * float(rmse)

    # -- one iteration --------------------------------------------------------------------------

    def _gan_step(self) -> dict[str, Tensor]:
        for _ in range(self.config.critic_steps):
            below, noise = self._drawn()
            losses = self._update_critic(below, noise)
        for _ in range(self.config.generator_steps):
            losses = self._update_block(below, noise) | losses
        return losses

    def _update_critic(self, below: Tensor, noise: Tensor | None) -> dict[str, Tensor]:
        assert self.discriminator is not None and self.optimizer_d is not None
        with torch.no_grad():
            fake = self._made(self.scale, below, noise)
        self.optimizer_d.zero_grad()
        critic = critic_step(
            self.discriminator,
            self.photos[self.scale],
            fake,
            mix=float(torch.rand((), generator=self.rng)),
            penalty_weight=self.config.penalty_weight,
            dtype=self.dtype,
        )
        losses = {"critic": -(critic.real + critic.fake), "penalty": critic.penalty}
        self._finite(losses)
        self._finite({"critic's gradient": gradient_norm(self.discriminator)}, "")
        self.optimizer_d.step()
        return losses

    def _update_block(self, below: Tensor, noise: Tensor | None) -> dict[str, Tensor]:
        assert self.discriminator is not None
        fake = self._made(self.scale, below, noise)
        reconstruction = reconstruction_loss(self._made(self.scale, self.below), self.photos[self.scale])
        score, gradient = score_gradient(self.discriminator, fake.detach(), dtype=self.dtype)
        losses = {"reconstruction": reconstruction.detach(), "score": score}
        self._finite(losses)
        self.optimizer.zero_grad()
        torch.autograd.backward(
            [self.config.reconstruction_weight * reconstruction, fake],
            [None, -self.config.adversarial_weight * gradient],
        )
        self._finite({"generator's gradient": gradient_norm(self.generator)}, "")
        self.optimizer.step()
        return losses

    def _set_rates(self) -> None:
        """A tenth of the rate for the last share of the iterations, at once."""
        left = self.config.stage_iterations(self.scale) - self.iteration
        late = left <= self.config.decay_share * self.config.stage_iterations(self.scale)
        for optimizer in (self.optimizer, self.optimizer_d):
            assert optimizer is not None
            optimizer.param_groups[0]["lr"] = self.config.learning_rate * (0.1 if late else 1)

    # -- forward passes ---------------------------------------------------------------------------

    def _made(self, scale: int, below: Tensor, noise: Tensor | None = None) -> Tensor:
        """The image of `scale` from that of the scale below; at the coarsest `below` is the noise."""
        return self.generator.refine(below, scale, noise) if scale else self.generator.decode(below)

    @torch.no_grad()
    def _drawn(self) -> tuple[Tensor, Tensor | None]:
        """New noise at every scale: the image below the current one, and the noise of the current one."""
        below, noise = self._normal(0), None
        for s in range(self.scale):
            below, noise = self._made(s, below, noise), self._normal(s + 1)
        return below, noise

    def work(self, scale: int) -> int:
        """Cost of one iteration at `scale` relative to others, for the time that is left."""
        config = self.config
        cost = [h * w * config.channels_at(s) ** 2 // 64 for s, (h, w) in enumerate(self.generator.sizes)]
        # In passes of one network: three images up and down the critic, two up and down the block.
        own = 11 * config.critic_steps + 8 * config.generator_steps
        return own * cost[scale] + config.critic_steps * sum(cost[:scale])
