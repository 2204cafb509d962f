"""How HP-VAE-GAN and SinGAN learn a scale: what each has of its own beyond `ScaleLearner`."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ourgan.config.structure import HPVAEGANConfig, HPVAEGANTraining, SinGANConfig, SinGANTraining
from ourgan.models.generators import HPVAEGAN, SinGAN
from ourgan.models.pyramid import ConvBlock
from ourgan.training.losses import kl_loss, reconstruction_loss
from ourgan.training.nan_report import gradient_norm
from ourgan.training.scale_learner import DISCRIMINATOR, ScaleLearner


class HPVAEGANLearner(ScaleLearner):
    """HP-VAE-GAN, with and without the vertical coordinate (Alg. F.1).

    Scales 0 to L are variational autoencoders: E, G_0 and the newest refiner learn to reconstruct the
    photo. Every later scale is a GAN: only the newest refiner learns, against a patch discriminator,
    and everything below it is frozen and runs without a graph.

    Where this departs from the public code, on purpose: the gradient clip counts trainable parameters
    only (there, gradients of frozen blocks entered its norm); the spectral norm makes two power
    iterations an iteration, not four, since three of the discriminator's passes are one batch here.
    """

    generator: HPVAEGAN
    network: HPVAEGANConfig
    training: HPVAEGANTraining

    @property
    def is_vae(self) -> bool:
        """Whether the current scale is trained as a variational autoencoder."""
        return self.scale <= self.network.vae_refinements

    def new_generator(self, aspect_ratio: float) -> HPVAEGAN:
        """Return E and G_0."""
        return HPVAEGAN(self.network, aspect_ratio)

    def new_discriminator(self) -> ConvBlock | None:
        """Return the discriminator of the first GAN scale; later scales go on with it."""
        if self.discriminator is not None:
            return None
        with self.seeded_weights(DISCRIMINATOR):
            return self.generator.new_discriminator()

    def learners(self) -> list[tuple[nn.Module, float]]:
        """Return the newest refiner and, at VAE scales, E and G_0 at a rate that falls with the scale."""
        full = self.training.learning_rate
        newest: list[tuple[nn.Module, float]] = [(block, full) for block in self.generator.refiners[-1:]]
        if not self.is_vae:
            return newest
        rate = full * self.training.learning_rate_scale**self.scale
        return [*newest, (self.generator.encoder, rate), (self.generator.decoder, rate)]

    def prepare(self) -> None:
        """At GAN scales, encode the photo, since E is frozen: its spectral norm stands still as well."""
        self.generator.encoder.train(self.is_vae)
        if not self.is_vae:
            self.latent_mean, self.latent_std = self._encode()

    def rows(self, photo: Float[Tensor, "3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """Return the photo, and its mirror where flips are drawn: a batch of equal rows is never computed."""
        return torch.stack([photo, photo.flip(2)] if self.training.horizontal_flip else [photo])

    def noise_amplitude(self) -> float:
        """Measure a_m = amplitude x RMSE of the reconstruction, the new block included."""
        mean, std = self._encode() if self.is_vae else (self.latent_mean, self.latent_std)
        image = self._image(self._latent(mean, std, self._flips()), self.scale)
        rmse = (image - self.photos[self.scale][:1]).square().mean().sqrt()
        return self.training.noise_amplitude * float(rmse)

    def rate_factor(self) -> float:
        """Return the factor on the rates: it falls to a tenth over the last share of the iterations."""
        share = self.training.decay_share
        if not share:
            return 1.0
        done = self.iteration / self.scale_iterations
        return float(0.1 ** max(0.0, (done - (1 - share)) / share))

    def work(self, scale: int) -> int:
        """Return the cost of one iteration at `scale` relative to others, in pixels."""
        pixels = [h * w for h, w in self.generator.sizes]
        if scale <= self.network.vae_refinements:
            return 3 * sum(pixels[: scale + 1])
        return 8 * pixels[scale] + sum(2 * p for p in pixels[:scale])

    def update(self) -> dict[str, Tensor]:
        """Update what learns at this scale once: Eq. 1 and 2 at VAE scales, Eq. 3 at GAN scales."""
        return self._update_vae() if self.is_vae else self._update_gan()

    def _update_vae(self) -> dict[str, Tensor]:
        """Reconstruct the photo here and at scale 0 (Eq. 1, 2), whose weight doubles, as in public code."""
        training, flips = self.training, self._flips()
        mean, log_variance = self.generator.encode(self.photos[0])
        latent = self._latent(mean, (0.5 * log_variance).exp(), flips)
        coarse = self.generator.decode(latent)
        image = coarse
        for scale in range(1, self.scale + 1):
            image = self.generator.refine(image, scale)
        reconstruction = reconstruction_loss(image, self.photos[self.scale][flips])
        reconstruction_0 = reconstruction_loss(coarse, self.photos[0][flips])
        kl = kl_loss(mean, log_variance)
        loss = training.reconstruction_weight * (reconstruction + reconstruction_0) + training.kl_weight * kl
        losses = {"reconstruction": reconstruction.detach(), "KL": kl.detach()}
        self.finite(losses)
        self.optimizer.zero_grad()
        loss.backward()
        self._clip_and_step()
        return losses

    def _update_gan(self) -> dict[str, Tensor]:
        """Update the discriminator once, then the newest refiner (Eq. 3)."""
        scale, flips = self.scale, self._flips()
        photo = self.photos[scale][flips]
        with torch.no_grad():
            below = self._image(self._latent(self.latent_mean, self.latent_std, flips), scale - 1)
            shape = self.training.batch_size, *self.latent_mean.shape[1:]
            below_random = self._image(self.randn(*shape), scale - 1, noisy=True)
        image = self.generator.refine(below, scale)
        fake = self.generator.refine(below_random, scale, self.normal(scale))
        losses = self.update_discriminator(photo, fake.detach())
        losses = self.backward(reconstruction_loss(image, photo), fake, losses)
        self._clip_and_step()
        return losses

    def _clip_and_step(self) -> None:
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(trained, self.training.gradient_clip)
        self.finite({"generator's gradient": norm}, "")
        self.optimizer.step()

    def _flips(self) -> Int[Tensor, " n"]:
        """Draw the rows of `self.photos` for this batch: [0] for the whole batch unless flips are drawn."""
        if not self.training.horizontal_flip:
            return torch.zeros(1, dtype=torch.long)
        return torch.randint(2, (self.training.batch_size,), generator=self.rng)

    def _encode(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the latent of the photo."""
        mean, log_variance = self.generator.encode(self.photos[0])
        return mean, (0.5 * log_variance).exp()

    def _latent(self, mean: Tensor, std: Tensor, flips: Tensor) -> Tensor:
        epsilon = self.randn(self.training.batch_size, *mean.shape[1:])
        return mean[flips] + std[flips] * epsilon

    def _image(self, latent: Tensor, scale: int, *, noisy: bool = False) -> Tensor:
        """Return the images of `scale`, with noise wherever it enters when sampling, or none."""
        image = self.generator.decode(latent)
        for s in range(1, scale + 1):
            noise = self.normal(s) if noisy and self.generator.noisy(s) else None
            image = self.generator.refine(image, s, noise)
        return image


class SinGANLearner(ScaleLearner):
    """SinGAN: the newest block learns, against a discriminator of its own scale.

    An iteration is three updates of the discriminator, each with other noise at every scale, then three of
    the block. Beside the discriminator's, the block has one more task: from z* at the coarsest scale and no
    noise at the others, it has to reconstruct the photo.

    Beside the networks (see `ourgan.models.generators`), one thing departs from the public code: the three
    updates of the block share the noise of the discriminator's last, as there, but each is made from a
    picture drawn afresh. There, the first picture's graph served all three, with weights that had moved.
    """

    generator: SinGAN
    network: SinGANConfig
    training: SinGANTraining

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
        fake = self._image(self.scale, below, noise)
        reconstruction = reconstruction_loss(self._image(self.scale, self.below), self.photos[self.scale])
        losses = self.backward(reconstruction, fake, {})
        self.finite({"generator's gradient": gradient_norm(self.generator)}, "")
        self.optimizer.step()
        return losses

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
