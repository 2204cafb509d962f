"""A model whose pictures are as large as the real ones and take no time."""

from __future__ import annotations

import dataclasses

import torch

from ourgan.config import HPVAEGANConfig, SuperResolutionConfig
from ourgan.models.generators import HPVAEGAN
from ourgan.models.rrdbnet import RRDBNet
from ourgan.pipeline import OurGAN
from ourgan.upscale.upscaler import Upscaler
from ourgan.weights import Weights

SMALL = HPVAEGANConfig(
    width=160, min_width=40, vae_refinements=1, gan_stages=1, channels=4, layers=1, latent_channels=4,
)  # fmt: skip


def toy_model(width: int = 160) -> OurGAN:
    """Untrained: 160 pixels wide in step 1, 10,240 at 16K; a seed's noise shows, so that scenes differ."""
    torch.manual_seed(0)
    generator = HPVAEGAN(dataclasses.replace(SMALL, width=width), 0.75)
    for _ in generator.sizes[1:]:
        generator.grow()
    generator.noise_amplitudes = [1.0, 0.5, 0.5]
    settings = SuperResolutionConfig(noise_std=0.02, dtype="float32")
    model = OurGAN(generator, Upscaler(settings, device=torch.device("cpu")))
    network = RRDBNet(4, 1, 2).eval().requires_grad_(False)
    for convolution in (
        network.conv_first,
        network.conv_up1,
        network.conv_up2,
        network.conv_hr,
        network.conv_last,
    ):
        convolution.weight *= 0.2
        convolution.bias *= 0
        for channel in range(3):  # mostly the picture itself, so that three steps of it do not go dark
            convolution.weight[channel, channel, 1, 1] += 1
    model.upscaler._networks[0] = network, Weights("toy", {}, "made here", "", "none")
    return model
