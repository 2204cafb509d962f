"""A step of fine-tuning: seconds against the same written plainly, and memory at the paper's size.

    python benchmarks/training_step.py [--threads 2] [--only speed|memory]

Plain means what one would write first: spandrel's network, float32, no channels_last, the discriminator's two
losses in two passes as in BasicSR. Both run in one process, alternating; batch 4.

Memory is that of the first step with the paper's patch and batch (Tables H.2 and H.3), in a child process:
how far resident memory rises above that of the built networks (gradients and moments included); and what
autograd keeps, counted by its hooks.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import spandrel
import torch
from ceilings import alternating_medians
from torch import Tensor

from ourgan._core.provenance import device_name
from ourgan.config import SuperResolutionTraining, SwinIRTraining
from ourgan.training import losses
from ourgan.training.super_resolution import SuperResolutionTrainer
from ourgan.upscale.networks import NETWORKS

CONFIGS = {"esrgan": SuperResolutionTraining(), "swinir": SwinIRTraining()}
PAPER_GB = 5.59  # Table 2, training


class Noise:
    """Patches of nothing, so that no time goes into making them."""

    def __init__(self, config: SuperResolutionTraining) -> None:
        self.patch = config.patch

    def batch(self, iteration: int, size: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return random LR and HR patches."""
        low, high = (torch.rand(size, 3, side, side) for side in (self.patch // 4, self.patch))
        return low, high

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """Return no patches: nothing is validated."""
        return []


def trainer(backbone: str, **changes: object) -> SuperResolutionTrainer:
    """Return the trainer as `ourgan train` makes it, with new networks."""
    config = dataclasses.replace(CONFIGS[backbone], **changes)  # type: ignore[arg-type]
    return SuperResolutionTrainer(NETWORKS[backbone](), backbone, Noise(config), config)


def plain_step(backbone: str, batch_size: int) -> Callable[[], None]:
    """Return the same step, written plainly."""
    made = trainer(backbone, batch_size=batch_size, dtype="float32")
    state = made.network.state_dict()
    generator = spandrel.ModelLoader().load_from_state_dict(dict(state)).model.train().requires_grad_(True)
    judge = made.discriminator.to(memory_format=torch.contiguous_format)
    config, perceptual = made.config, made.perceptual.to(memory_format=torch.contiguous_format)
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-4) for net in (generator, judge)]
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    relativistic = backbone == "esrgan"

    def step() -> None:
        low, high = made.patches.batch(0, batch_size)
        judge.requires_grad_(False)
        optimizers[0].zero_grad()
        fake = generator(low)
        with torch.no_grad():
            real_logits = judge(high)
        loss = config.reconstruction_weight * (fake - high).abs().mean()
        loss = loss + config.perceptual_weight * perceptual(fake, high)
        fool = losses.relativistic_generator_loss if relativistic else losses.vanilla_generator_loss
        (loss + config.adversarial_weight * fool(real_logits, judge(fake))).backward()
        optimizers[0].step()
        judge.requires_grad_(True)
        optimizers[1].zero_grad()
        fake, half = fake.detach(), 0.5 if relativistic else 1.0
        for images, others, answer in ((high, fake, 1.0), (fake, high, 0.0)):
            logits = judge(images)
            if relativistic:
                logits = logits - judge(others).detach().mean()
            (half * bce(logits, torch.full_like(logits, answer))).backward()
        optimizers[1].step()

    return step


def kept_bytes(made: SuperResolutionTrainer) -> int:
    """Return the bytes autograd keeps of one generator step, each storage once, without the parameters."""
    storages: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for net in made._modules().values() for p in net.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    low, high = made.patches.batch(0, made.config.batch_size)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        made._generator_step(low, high, adversarial=True)
    return sum(storages.values())


def child(backbone: str, checkpointing: str, work: str) -> None:
    """In a process of its own: print the peak of resident memory, or what autograd keeps."""
    made = trainer(backbone, checkpointing=checkpointing == "True", dtype="bfloat16")
    if work == "kept":
        print(kept_bytes(made))
        return
    before = resident("VmRSS")
    made.step()
    print(resident("VmHWM") - before)


def resident(field: str) -> int:
    """Bytes by a field of /proc/self/status; getrusage would begin with the peak of the parent process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def memory(backbone: str) -> None:
    """Print the memory of a step at the paper's size, with and without recomputed activations."""
    networks = trainer(backbone)._modules()
    count = {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()}
    # Parameter, gradient and Adam's two moments in float32; the average has the parameter alone.
    states = 16 * (count["network"] + count["discriminator"]) + 4 * count["average"]
    for checkpointing in (False, True):
        found = {}
        for work in ("step", "kept"):
            command = [sys.executable, __file__, "--child", backbone, str(checkpointing), work]
            run = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ))
            found[work] = int(run.stdout.split()[-1])
        config = CONFIGS[backbone]
        print(
            f"{backbone}, patch {config.patch}, batch {config.batch_size}, bfloat16, checkpointing "
            f"{checkpointing}: a step adds {found['step'] / 1e9:.2f} GB to the resident memory; "
            f"parameters, gradients, moments and average {states / 1e9:.2f} GB; kept by autograd "
            f"{found['kept'] / 1e9:.2f} GB (the paper's training: {PAPER_GB} GB)"
        )


def speed(backbone: str) -> None:
    """Print seconds of a step, ours and plain, alternating."""
    ours = trainer(backbone, batch_size=4)
    plain = plain_step(backbone, 4)
    seconds = alternating_medians({"ours": ours.step, "plain": plain}, repeats=5, warm_up=1)
    print(
        f"{backbone}, batch 4: ours ({str(ours.dtype).removeprefix('torch.')}) {seconds['ours']:.2f} s, "
        f"plain float32 {seconds['plain']:.2f} s, {seconds['plain'] / seconds['ours']:.2f} times"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=("speed", "memory"))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.child:
        child(*arguments.child)
        return
    print(f"{device_name(torch.device('cpu'))}, {arguments.threads} threads, torch {torch.__version__}")
    for backbone in NETWORKS:
        if arguments.only != "memory":
            speed(backbone)
        if arguments.only != "speed":
            memory(backbone)


if __name__ == "__main__":
    main()
