"""Does fine-tuning on one photo help, and what does the noise of Eq. 4 buy?

    python benchmarks/fine_tuning.py --work runs/fine-tuning [--profile cpu]

Each network learns from the left two thirds of a photo and is evaluated on its right third: two photos at
steps 2 and 3, one of them at step 3 again with noise, and the two other photos at step 3. Interrupted, it
goes on where it was: trainings resume, and what has been measured is kept in --work. About four minutes a
training on two cores with the cpu profile.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

from ourgan import read_image
from ourgan._core import files, provenance
from ourgan._core.devices import best_device, compute_dtype
from ourgan.benchmark.holdout import (
    bicubic_upscaler,
    evaluate_upscaler,
    holdout_pairs,
    network_upscaler,
    split_photo,
)
from ourgan.config import Profile, load_profile
from ourgan.training.finetune import finetune
from ourgan.upscale.networks import starting_network

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
SWEEP = "picos-de-europa"
CASES = [
    *((photo, step, 0.0) for step in (3, 2) for photo in (SWEEP, "sunset")),
    *((SWEEP, 3, noise) for noise in (0.02, 0.05, 0.1)),
    *((photo, 3, 0.0) for photo in ("stream", "aitzgorri")),
]


def measure(photo_name: str, step: int, noise_std: float, profile: Profile, run: Path) -> dict[str, Any]:
    """Train one network and evaluate it beside bicubic and pre-trained."""
    learned, held_out = split_photo(read_image(PHOTOS / f"{photo_name}.jpg"), step)
    settings = dataclasses.replace(profile.super_resolution, noise_std=noise_std)
    config, device = profile.training(settings.backbone), best_device()
    network, facts = finetune(learned, settings, config, run, resume=True, device=device, title=run.name)
    start, _ = starting_network(settings)
    pairs, dtype = holdout_pairs(held_out), compute_dtype(config.dtype, device)
    upscalers = {
        "bicubic": bicubic_upscaler,
        "pre-trained": network_upscaler(start.to(device), dtype),
        "fine-tuned": network_upscaler(network, dtype),
    }
    found = {
        name: dataclasses.asdict(evaluate_upscaler(upscaler, pairs, noise_std))
        for name, upscaler in upscalers.items()
    }
    return {
        "photo": photo_name,
        "step": step,
        "noise_std": noise_std,
        "facts": dataclasses.asdict(facts),
        **found,
    }


def main() -> None:
    """Measure what is missing, write all, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fine_tuning.json")
    parser.add_argument("--profile", default="cpu")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    profile = load_profile(arguments.profile)
    cells = []
    for photo, step, noise in CASES:
        run = arguments.work / f"{photo}-step{step}-noise{noise:g}"
        cell = run / "judged.json"
        if not cell.exists():
            files.write_json(cell, measure(photo, step, noise, profile, run))
        cells.append(json.loads(cell.read_text()))
        shown = {name: cells[-1][name]["st_lpips"] for name in ("bicubic", "pre-trained", "fine-tuned")}
        print(run.name, " ".join(f"{name} {value:.3f}" for name, value in shown.items()), flush=True)
    backbone = profile.super_resolution.backbone
    record = provenance.record(profile=profile.name, backbone=backbone, sweep=SWEEP)
    training = dataclasses.asdict(profile.training(backbone))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(arguments.out, {"record": record, "training": training, "cells": cells})


if __name__ == "__main__":
    main()
