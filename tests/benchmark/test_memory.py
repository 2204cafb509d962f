"""Table 2: theory against counting by hand, and real processes whose memory is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import STRUCTURE

from ourgan._core.errors import OurganError
from ourgan.benchmark.memory import synthesis_theory, table_2, training_theory
from ourgan.benchmark.memory_probe import Measured, measure_synthesis, measure_training
from ourgan.config import HPVAEGANConfig, SuperResolutionConfig
from ourgan.io.pixels import write_image
from ourgan.models.generators import HPVAEGAN
from ourgan.pipeline import OurGAN
from ourgan.upscale.upscaler import Upscaler

TINY = (
    STRUCTURE
    + """
[esrgan]
patch = 32
batch_size = {batch}
discriminator_channels = 8
"""
)


@pytest.fixture
def photo_file(photo, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    write_image(tmp_path / "photo.png", photo(width=320))
    return tmp_path / "photo.png"


def profile(directory: Path, batch: int) -> str:
    path = directory / f"tiny-{batch}.toml"
    path.write_text(TINY.format(batch=batch))
    return str(path)


@pytest.mark.parametrize(("backbone", "parameters"), [("esrgan", 16_697_987), ("swinir", 11_715_559)])
def test_theory_of_synthesis_is_the_last_layer_but_one_and_all_parameters(
    backbone: str, parameters: int
) -> None:
    theory = synthesis_theory(backbone)
    # 64 channels in and 64 out, at four times the subregion's sides with its overlap (Eq. 5).
    assert theory.features == 4 * 128 * (4 * 290) * (4 * 532)
    assert theory.parameters == 4 * 2 * parameters and theory.gradients == 0
    assert synthesis_theory(backbone, "16k").parameters == 4 * 3 * parameters
    if backbone == "swinir":
        assert theory.total / 1e9 == pytest.approx(1.35, abs=0.01)  # Table 2


def test_theory_of_training_grows_with_the_batch(tmp_path: Path) -> None:
    one, three = (training_theory("esrgan", profile(tmp_path, batch)) for batch in (2, 6))
    assert three.features == 3 * one.features and three.parameters == one.parameters
    assert one.gradients == one.features + one.parameters
    # Of RRDBNet's 351 convolutions at 8x8: 69 dense blocks of 4 x 32 + 64 channels, two more of 64 ...
    trunk = (69 * (4 * 32 + 64) + 2 * 64) * 64
    enlarged = 64 * 16**2 + 2 * 64 * 32**2 + 3 * 32**2
    judged = one.features // 4 // 2 - trunk - enlarged
    assert 0 < judged < trunk  # what is left is the discriminator's


def test_the_paper_stands_beside_ours_and_what_was_not_measured_is_empty() -> None:
    rows = {(row["model"], row["from"].split(",")[0]): row for row in table_2()}
    assert rows["SinGAN", "the paper"]["training"] == 10.40  # the last of two rows: theory
    assert rows["OUR-GAN", "the paper"]["synthesis"] == 1.35
    assert rows["OUR-GAN, ours", "not measured"]["training"] is None
    training = [Measured(f"step {n}", "a GPU", n * 10**9, 0, n * 10**8, 1, 1.0) for n in (1, 3, 2)]
    ours = table_2(training, [Measured("4k", "a CPU", 2 * 10**9, 0, None, None, 1.0)])[-1]
    assert (
        ours["training"] == 0.3 and ours["synthesis"] == 2.0
    )  # the GPU's; the process's where there is none
    assert "step 3 on a GPU; 4k on a CPU" in ours["from"]
    assert table_2(size="16k")[0] == {
        "model": "OUR-GAN-16K",
        "training": 19.6,
        "synthesis": 12.5,
        "from": "the paper, Sec. 4.4, measured",
    }


def test_training_is_measured_in_a_process_of_its_own(photo_file: Path, tmp_path: Path) -> None:
    first = measure_training(photo_file, 1, profile(tmp_path, 2))
    assert first.what == "training, step 1, tiny-2 profile" and first.peak and first.idle
    second = measure_training(photo_file, 2, profile(tmp_path, 2))
    assert second.what.endswith("tiny-2 profile, esrgan") and second.peak
    assert (second.allocated is not None) == torch.cuda.is_available() == (second.driver is not None)
    # Network, gradients, moments and average of 16.7 M parameters: 334 MB that step 1 has not.
    assert second.peak - first.peak > 300e6


def test_synthesis_is_measured_and_a_failure_is_one_line(tmp_path: Path) -> None:
    config = HPVAEGANConfig(
        width=24, min_width=16, vae_refinements=0, gan_stages=1, channels=8, layers=1, latent_channels=8
    )
    generator = HPVAEGAN(config, 0.75)
    generator.grow()
    settings = SuperResolutionConfig(noise_std=0.0, overlap=8)
    OurGAN(generator, Upscaler(settings, device=torch.device("cpu"))).save_pretrained(tmp_path / "model")
    found = measure_synthesis(tmp_path / "model", "1k")
    assert found.what == "synthesis, 1k, esrgan" and found.peak and found.peak > 2e8
    assert found.seconds > 0
    with pytest.raises(
        OurganError, match=r"measuring memory \(synthesize\): .*nothing: no such model"
    ) as failed:
        measure_synthesis(tmp_path / "nothing", "1k")
    assert "\n" not in str(failed.value)
