"""How HP-VAE-GAN learns, with and without the vertical coordinate (Alg. F.1).

Scales 0 to L are variational autoencoders: E, G_0 and the newest refiner learn to reconstruct the
photo. Every later scale is a GAN: only the newest refiner learns, against a patch discriminator,
and everything below it is frozen and runs without a graph.

Where this departs from the public code, on purpose: the gradient clip counts trainable parameters
only (there, gradients of frozen blocks entered its norm); the spectral norm makes two power
iterations an iteration, not four, since three of the discriminator's passes are one batch here.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ourgan.config.structure import HPVAEGANConfig, HPVAEGANTraining, StructureConfig
from ourgan.models.generators import HPVAEGAN
from ourgan.models.pyramid import ConvBlock
from ourgan.training.gradient_penalty import score_gradient
from ourgan.training.losses import kl_loss, reconstruction_loss
from ourgan.training.scale_learner import DISCRIMINATOR, ScaleLearner


class HPVAEGANLearner(ScaleLearner):
    """The networks of HP-VAE-GAN at a scale of their training. Args: as `ScaleLearner`."""

    generator: HPVAEGAN
    training: HPVAEGANTraining

    def __init__(
        self, photo: Float[Tensor, "3 h w"], config: StructureConfig, seed: int, device: torch.device
    ) -> None:
        assert isinstance(config.network, HPVAEGANConfig)
        self.network = config.network
        super().__init__(photo, config, seed, device)

    # -- what learns ------------------------------------------------------------------------------

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
        image = self._reconstruct(self._latent(mean, std, self._flips()), self.scale)
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

    # -- one iteration ----------------------------------------------------------------------------

    def update(self) -> dict[str, Tensor]:
        """Update what learns at this scale once: Eq. 1 and 2 at VAE scales, Eq. 3 at GAN scales."""
        return self._update_vae() if self.is_vae else self._update_gan()

    def _update_vae(self) -> dict[str, Tensor]:
        """Reconstruct the photo at this scale and at scale 0 (Eq. 1 and 2).

        At scale 0 both terms are the same tensor, as in the public code, so its weight doubles.
        """
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
            below = self._reconstruct(self._latent(self.latent_mean, self.latent_std, flips), scale - 1)
            below_random = self._random(scale - 1)
        image = self.generator.refine(below, scale)
        fake = self.generator.refine(below_random, scale, self.normal(scale))
        losses = self.update_discriminator(photo, fake.detach())
        assert self.discriminator is not None
        reconstruction = reconstruction_loss(image, photo)
        score, gradient = score_gradient(self.discriminator, fake.detach(), dtype=self.dtype)
        losses = {"reconstruction": reconstruction.detach(), **losses, "score": score}
        self.finite(losses)
        self.backward(reconstruction, fake, gradient)
        self._clip_and_step()
        return losses

    def _clip_and_step(self) -> None:
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(trained, self.training.gradient_clip)
        self.finite({"generator's gradient": norm}, "")
        self.optimizer.step()

    # -- forward passes ---------------------------------------------------------------------------

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

    def _reconstruct(self, latent: Tensor, scale: int) -> Tensor:
        image = self.generator.decode(latent)
        for s in range(1, scale + 1):
            image = self.generator.refine(image, s)
        return image

    def _random(self, scale: int) -> Tensor:
        shape = (self.network.latent_channels, *self.generator.sizes[0])
        image = self.generator.decode(self.randn(self.training.batch_size, *shape))
        for s in range(1, scale + 1):
            image = self.generator.refine(image, s, self.normal(s) if self.generator.noisy(s) else None)
        return image
