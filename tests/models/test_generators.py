"""The networks of step 1: their sizes, and what a drawn scene depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ourgan.config import HPVAEGANConfig
from ourgan.models.generators import HPVAEGAN, Encoder
from ourgan.upscale.noise import scene_noise

Photo = Callable[..., Tensor]

TINY = HPVAEGANConfig(
    width=40, min_width=16, vae_refinements=2, gan_stages=2, channels=8, layers=2, latent_channels=6
)


def grown(config: HPVAEGANConfig = TINY, aspect_ratio: float = 0.75, seed: int = 0) -> HPVAEGAN:
    """All scales, each with weights of its own and a noise that shows."""
    torch.manual_seed(seed)
    generator = HPVAEGAN(config, aspect_ratio)
    for scale in range(1, config.scales):
        generator.grow()
        for parameter in generator.refiners[-1].parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        generator.noise_amplitudes[scale] = 0.3
    return generator


@torch.no_grad()
def draw(generator: HPVAEGAN, seed: int = 7, **options: object) -> Tensor:
    return generator.draw(scene_noise(seed), **options)  # type: ignore[arg-type]


def networks(config: HPVAEGANConfig) -> dict[str, nn.Module]:
    """Those of a generator with one refiner."""
    generator = HPVAEGAN(config, 0.75)
    generator.grow()
    return {
        "encoder": generator.encoder,
        "decoder": generator.decoder,
        "refiner": generator.refiners[0],
        "discriminator": generator.new_discriminator(),
    }


@pytest.mark.parametrize(
    ("network", "plain", "with_coordinate"),
    [
        ("encoder", 223_360, 227_392),
        ("decoder", 260_931, 264_414),
        ("refiner", 188_931, 192_414),
        ("discriminator", 187_009, 190_474),
    ],
)
def test_parameters_of_the_paper_configuration(network: str, plain: int, with_coordinate: int) -> None:
    off = {f"coordinate_{name}": False for name in ("encoder", "generator", "discriminator")}
    with torch.device("meta"):
        made, without = networks(HPVAEGANConfig())[network], networks(HPVAEGANConfig(**off))[network]
    assert sum(p.numel() for p in made.parameters()) == with_coordinate
    assert sum(p.numel() for p in without.parameters()) == plain


@pytest.mark.parametrize("net", ["encoder", "generator", "discriminator"])
def test_each_network_has_a_switch_for_its_coordinate(net: str) -> None:
    made = networks(dataclasses.replace(TINY, **{f"coordinate_{net}": False}))
    layers = {
        "encoder": [made["encoder"].mean],
        "generator": [made["decoder"].convolutions[0], made["refiner"].convolutions[-1]],
        "discriminator": [made["discriminator"].convolutions[0]],
    }
    for name, those in layers.items():
        assert [layer.coordinate for layer in those] == [name != net] * len(those)


def test_spectral_norm_is_on_every_hidden_layer_of_the_critic_and_on_the_encoder_features() -> None:
    critic = HPVAEGAN(TINY, 0.75).new_discriminator()
    assert [c.spectral_norm for c in critic.convolutions] == [True] * 3 + [False]
    encoder = Encoder(TINY)
    assert [c.spectral_norm for c in encoder.features] == [True] * 3
    assert not encoder.mean.spectral_norm
    assert not encoder.log_variance.spectral_norm


def test_the_encoder_gives_a_latent_of_the_size_of_the_photo(photo: Photo) -> None:
    generator = grown()
    small = photo(width=16)[None] * 2 - 1
    mean, log_variance = generator.encode(small)
    assert mean.shape == log_variance.shape == (1, 6, *small.shape[2:])


@pytest.mark.parametrize("scales", range(5))
def test_a_scene_has_the_size_of_its_scale_and_its_values_are_in_range(scales: int) -> None:
    torch.manual_seed(1)
    generator = HPVAEGAN(TINY, 0.6)
    for _ in range(scales):
        generator.grow()
    scene = draw(generator)
    assert scene.shape == (1, 3, *TINY.sizes(0.6)[scales])
    assert scene.dtype == torch.float32
    assert scene.abs().max() <= 1
    assert scene.std() > 0.01


def test_a_scene_does_not_depend_on_what_was_drawn_before_or_on_the_mode() -> None:
    generator = grown()
    scene = draw(generator, 7)
    other = draw(generator, 8)
    assert (scene - other).abs().mean() > 0.01
    assert torch.equal(draw(generator, 7), scene)
    assert torch.equal(draw(generator.eval(), 7), scene)
    torch.manual_seed(99)
    assert torch.equal(draw(generator.train(), 7), scene)


def test_a_scene_is_that_of_a_batch_of_one_wherever_it_is_drawn() -> None:
    # In a batch the statistics of one scene would leak into the other.
    generator = grown()
    noise = [scene_noise(seed)(0, 6, *TINY.sizes(0.75)[0]) for seed in (7, 8)]
    with torch.no_grad():
        together = generator.decode(torch.stack(noise))[0]
        alone = generator.decode(noise[0][None])[0]
    assert (together - alone).abs().max() > 1e-3
    generator.refiners = nn.ModuleList()
    assert torch.equal(draw(generator, 7)[0], alone)


@pytest.mark.parametrize("width", [24, 40, 41, 100])
def test_a_scene_of_another_width_keeps_the_rows(width: int) -> None:
    generator = grown()
    scene = draw(generator, width=width)
    assert scene.shape == (1, 3, 30, width)
    widths = generator.scale_widths(width)
    assert widths[-1] == width
    assert widths == sorted(widths)


def test_the_width_of_the_photo_is_the_default() -> None:
    generator = grown()
    assert torch.equal(draw(generator, width=40), draw(generator))


def test_in_a_wider_scene_every_row_keeps_its_height() -> None:
    # Were the coordinate stretched with the width, rows would change their place.
    config = dataclasses.replace(TINY, coordinate_padding="extrapolate")
    generator = grown(config)
    for layer in generator.decoder.convolutions:
        layer.weight.data[:, : layer.in_channels] = layer.weight.data[:, : layer.in_channels].mean()
    flat = torch.zeros(1, 6, 12, 1)
    narrow = generator.decoder.convolutions[0](flat.expand(-1, -1, -1, 16))
    wide = generator.decoder.convolutions[0](flat.expand(-1, -1, -1, 50))
    torch.testing.assert_close(wide[..., 20], narrow[..., 8])
    assert narrow[0, :, :, 8].diff(dim=1).abs().max() > 1e-3


def test_scene_noise_is_asked_for_where_the_equations_have_it() -> None:
    for vae_noise, noisy in ((True, [0, 1, 2, 3, 4]), (False, [0, 3, 4])):
        generator = grown(dataclasses.replace(TINY, vae_noise=vae_noise))
        asked: list[tuple[int, ...]] = []

        def normal(*shape: int, asked: list[tuple[int, ...]] = asked) -> Tensor:
            asked.append(shape)
            return scene_noise(3)(*shape)

        with torch.no_grad():
            generator.draw(normal)
        sizes = TINY.sizes(0.75)
        assert asked == [(scale, 3 if scale else 6, *sizes[scale]) for scale in noisy]


@pytest.mark.parametrize("scale", range(5))
def test_the_strength_of_each_scale_acts_on_its_noise_alone(scale: int) -> None:
    generator = grown()
    noise_scales = [1.0] * 5
    assert torch.equal(draw(generator, noise_scales=noise_scales), draw(generator))
    noise_scales[scale] = 0.0
    silent = [*noise_scales]
    assert not torch.equal(draw(generator, noise_scales=silent), draw(generator))

    def normal(at: int, channels: int, height: int, width: int) -> Tensor:
        noise = scene_noise(7)(at, channels, height, width)
        return torch.zeros_like(noise) if at == scale else noise

    with torch.no_grad():
        assert torch.equal(draw(generator, noise_scales=silent), generator.draw(normal))


def test_the_noise_enters_with_its_amplitude_and_not_through_the_skip(photo: Photo) -> None:
    generator = grown()
    image = photo(width=16)[None] * 2 - 1
    height, width = generator.sizes[1]
    noise = scene_noise(1)(1, 3, height, width)[None]
    enlarged = nn.functional.interpolate(image, (height, width), mode="bilinear", align_corners=True)
    with torch.no_grad():
        expected = torch.tanh(enlarged + generator.refiners[0](enlarged + 0.3 * noise))
        torch.testing.assert_close(generator.refine(image, 1, noise), expected)
        generator.noise_amplitudes[1] = 0.0
        assert torch.equal(generator.refine(image, 1, noise), generator.refine(image, 1))


def test_the_encoder_is_not_used_when_drawing() -> None:
    generator = grown()
    scene = draw(generator)
    for parameter in generator.encoder.parameters():
        parameter.data.fill_(float("nan"))
    assert torch.equal(draw(generator), scene)


def test_a_grown_refiner_is_a_copy_that_shares_nothing() -> None:
    generator = grown()
    generator.grow()
    last, new = generator.refiners[-2], generator.refiners[-1]
    for mine, theirs in zip(new.parameters(), last.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.data_ptr() != theirs.data_ptr()


def test_the_precision_of_the_convolutions_does_not_reach_the_images() -> None:
    generator = grown()
    scene = draw(generator)
    generator.compute_dtype = torch.bfloat16
    fast = draw(generator)
    assert fast.dtype == torch.float32
    assert 0 < (fast - scene).abs().mean() < 0.05
    generator.double().compute_dtype = torch.float64
    exact = draw(generator)
    assert exact.dtype == torch.float64
    assert 0 < (exact - scene).abs().max() < 1e-4
