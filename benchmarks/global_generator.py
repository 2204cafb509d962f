"""Seconds an iteration of step 1, scale by scale, beside the public HP-VAE-GAN code in the same process.

    python benchmarks/global_generator.py [--public CHECKOUT] [--iterations 5] [--threads 2]

CHECKOUT is a working tree of github.com/shirgur/hp-vae-gan (commit f372e844). Its own `train` function
runs, with its networks, losses and optimisers, in float32 as published; only its data loader is replaced
by two constant tensors, which spares it the resizing of the photo in every iteration. Both run the paper's
setting: 256 pixels wide, 64 channels, batch 2, scales 0 to 3 as VAE, 4 to 9 as GAN. They take turns
within each scale; medians are compared, so that a drift of the machine's speed hits both.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ceilings import convolution_ceiling

from ourgan._core.provenance import device_name
from ourgan.config import GlobalStructureConfig, HPVAEGANTraining
from ourgan.io.read import read_image
from ourgan.training.scales import ScaleTrainer

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "picos-de-europa.jpg"


class Timed:
    """Stands in for the public code's progress bar: iterates, and takes the time of each iteration."""

    last: Timed

    def __init__(self, iterable: Any, **_: Any) -> None:
        self.iterable: Any = iterable
        self.times: list[float] = []
        Timed.last = self

    def __iter__(self) -> Iterator[int]:
        for item in self.iterable:
            started = time.perf_counter()
            yield item
            self.times.append(time.perf_counter() - started)

    def set_description(self, *_: Any) -> None:
        """Nothing to show."""

    def close(self) -> None:
        """Nothing to close."""


class Public:
    """The public code, driven scale by scale."""

    def __init__(self, checkout: Path, photos: list[torch.Tensor], vae_levels: int, directory: str) -> None:
        for name in ("cv2", "imageio", "kornia", "datasets", "tensorboardX"):
            _stand_in(name)
        _stand_in("datasets.image", SingleImageDataset=object)
        style = types.SimpleNamespace(RESET_ALL="", BRIGHT="", DIM="")
        fore = types.SimpleNamespace(CYAN="", GREEN="", MAGENTA="")
        _stand_in("colorama", Style=style, Fore=fore)
        logger, tools = _stand_in("utils.logger"), _stand_in("utils.tools", create_progressbar=Timed)
        utils = _stand_in("utils", __path__=[str(checkout / "utils")], logger=logger, tools=tools)
        sys.path.insert(0, str(checkout))
        for name in (images := importlib.import_module("utils.images")).__all__:
            setattr(utils, name, getattr(images, name))
        self.code: Any = importlib.import_module("train_image")
        self.photos = photos
        saver = types.SimpleNamespace(
            experiment_dir=directory,
            save_checkpoint=lambda state, name: torch.save(state, f"{directory}/{name}"),
        )
        self.opt = types.SimpleNamespace(
            nc_im=3, nfc=64, latent_dim=128, vae_levels=vae_levels, enc_blocks=2, ker_size=3, num_layer=5,
            stride=1, padd_size=1, discriminator="WDiscriminator2D", min_size=32, max_size=256, lr_g=5e-4,
            lr_d=5e-4, beta1=0.5, lambda_grad=0.1, rec_weight=10.0, kl_weight=1.0, disc_loss_weight=1.0,
            lr_scale=0.2, train_depth=1, grad_clip=5, const_amp=False, train_all=False, img_size=256,
            batch_size=2, visualize=False, device="cpu", noise_amp_init=0.1, scale_factor_init=0.75,
            rec_loss=torch.nn.MSELoss(), Noise_Amps=[], scale_idx=0, netG="", resumed_idx=-1, saver=saver,
            ar=photos[-1].shape[2] / photos[-1].shape[3],
        )  # fmt: skip
        utils.adjust_scales2image(256, self.opt)
        self.generator = self.code.networks_2d.GeneratorHPVAEGAN(self.opt)

    def run(self, scale: int, iterations: int) -> list[float]:
        """Return the seconds of each iteration at `scale`."""
        if scale > len(self.generator.body):
            self.generator.init_next_stage()
        self.opt.scale_idx, self.opt.niter = scale, iterations
        self.opt.Noise_Amps = self.opt.Noise_Amps[:scale]  # it appends one at every call
        photo, first = (x.expand(2, -1, -1, -1) for x in (self.photos[scale], self.photos[0]))
        batches = [[photo, first] if scale else photo] * (iterations + 1)
        self.code.data_loader = self.opt.data_loader = batches
        self.code.train(self.opt, self.generator)
        return Timed.last.times


def _stand_in(name: str, **members: Any) -> types.ModuleType:
    """Put a module of this name where imports find it, in place of what the measured code does not need."""
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module
    return module


def ours(trainer: ScaleTrainer, iterations: int) -> list[float]:
    """Return the seconds of each iteration at the trainer's scale."""
    return [trainer.step().seconds for _ in range(iterations)]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--public", type=Path, metavar="CHECKOUT")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    n = arguments.iterations

    # Entering a scale costs time of its own: one iteration more at each scale is not counted.
    config = GlobalStructureConfig(training=HPVAEGANTraining(iterations=2 * n + 1))
    network = dataclasses.replace(
        config.network, coordinate_encoder=False, coordinate_generator=False, coordinate_discriminator=False
    )
    plain = dataclasses.replace(config, network=network)
    photo = read_image(PHOTO)
    trainers = {
        "plain": ScaleTrainer(photo, plain),
        "coordinate": ScaleTrainer(photo, config),
    }
    photos = [x[:1] for x in trainers["plain"].learner.photos]
    print(f"{device_name(torch.device('cpu'))}, {arguments.threads} threads, torch {torch.__version__}")
    for dtype in (torch.float32, torch.bfloat16):
        print(f"convolution ceiling, {dtype}: {convolution_ceiling(dtype) / 1e9:.0f} GFLOP/s")
    print(f"{'size':>9} {'public':>8} {'plain':>8} {'coordinate':>10} {'ratio':>6} {'ratio':>6}")
    totals = dict.fromkeys(("public", *trainers), 0.0)
    with tempfile.TemporaryDirectory() as directory:
        public = None
        if arguments.public:
            public = Public(arguments.public, photos, config.network.vae_refinements + 1, directory)
        for scale, (height, width) in enumerate(trainers["plain"].generator.sizes):
            medians = _medians(scale, public, trainers, n)
            for name, value in medians.items():
                totals[name] += value
            _row(f"{width}x{height}", medians)
    _row("sum", totals)


def _medians(
    scale: int, public: Public | None, trainers: dict[str, ScaleTrainer], iterations: int
) -> dict[str, float]:
    """Return the median seconds of an iteration at `scale`, taken in turns; 0 for an absent code."""
    times: dict[str, list[float]] = {name: [] for name in ("public", *trainers)}
    for trainer in trainers.values():
        trainer.step()
    for _ in range(2):
        if public:
            times["public"] += public.run(scale, iterations + 1)[1:]
        for name, trainer in trainers.items():
            times[name] += ours(trainer, iterations)
    return {name: statistics.median(values) if values else 0.0 for name, values in times.items()}


def _row(label: str, seconds: dict[str, float]) -> None:
    public, plain, coordinate = seconds["public"], seconds["plain"], seconds["coordinate"]
    ratios = f"{public / plain:6.2f} {public / coordinate:6.2f}"
    print(f"{label:>9} {public:8.3f} {plain:8.3f} {coordinate:10.3f} {ratios}", flush=True)


if __name__ == "__main__":
    main()
