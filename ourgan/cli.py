"""The `ourgan` command: it reads arguments, calls one function of the package, and prints what came of it.

Options that are left out are not passed on: their defaults are those of the functions. torch takes seconds to
import, so only a command that needs it imports the module of its function.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan.config import load_profile
from ourgan.options import (
    benchmark_options,
    cache_options,
    evaluate_options,
    pretrain_options,
    reproduce_options,
    synthesize_options,
    train_options,
)

RESUMABLE = "continue with the same command and --resume"


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0 done, 1 a notebook failed, 2 wrong use or bad input, 130 interrupted."""
    arguments = vars(_parser().parse_args(argv))
    run, interrupted = arguments.pop("run"), arguments.pop("interrupted")
    if "parts" in arguments:
        interrupted = "repeat the command to go on"
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "httpx2", "httpcore", "httpcore2", "papermill", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        result: int = run(**arguments)
    except OurganError as error:
        print(f"ourgan: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"ourgan: interrupted; {interrupted}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ourgan", description="From one photograph, new scenes like it, up to 16K pixels wide."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, description, add_options, run, interrupted in (
        ("reproduce", "run the notebooks and leave their figures", reproduce_options, _reproduce,
         "what was finished is kept"),
        ("train", "learn a model from one photo", train_options, _train, RESUMABLE),
        ("pretrain", "learn super-resolution from many images", pretrain_options, _pretrain, RESUMABLE),
        ("synthesize", "draw a scene and render it", synthesize_options, _synthesize, RESUMABLE),
        ("evaluate", "compare samples with their photo", evaluate_options, _evaluate, "nothing was written"),
        ("benchmark", "the paper's Tables 3 and 4, on the photos one has", benchmark_options, _benchmark,
         "what is finished is kept; repeat the command to go on"),
        ("cache", "list or clear the photos enlarged for large pictures", cache_options, _cache,
         "repeat the command"),
    ):  # fmt: skip
        command = commands.add_parser(name, help=description, argument_default=argparse.SUPPRESS)
        command.set_defaults(run=run, interrupted=interrupted)
        add_options(command)
    return parser


def _reproduce(only: tuple[str, ...] = (), **options: Any) -> int:
    from ourgan.reproduce.runner import reproduce

    return reproduce(only=only or None, **options)


def _train(photo: Path, out: Path, **options: Any) -> int:
    from ourgan.training.train import train

    train(photo, out, **options)
    print(f"{out}: trained; look at {out / 'samples.jpg'}, then")
    print(f"  ourgan synthesize {out} --seed 7 --size 4k --out scene.tif")
    return 0


def _pretrain(images: str, out: Path, profile: str = "auto", backbone: str = "", **options: Any) -> int:
    from ourgan._core.devices import best_device
    from ourgan.training.finetune import image_folder, pretrain

    loaded = load_profile(profile)
    backbone = backbone or loaded.super_resolution.backbone
    options |= {"noise_std": loaded.super_resolution.noise_std, "device": best_device()}
    pretrain(image_folder(images), backbone, loaded.training(backbone), out, **options)
    print(f"{out}: pre-trained; start from it with")
    print(f"  ourgan train PHOTO --out MODEL_DIR --backbone {backbone} --weights {out}")
    return 0


def _synthesize(
    model: str,
    out: Path,
    parts: int | None = None,
    revision: str | None = None,
    weights: str | None = None,
    **options: Any,
) -> int:
    from ourgan.pipeline import OurGAN
    from ourgan.upscale.parts import Parts

    workers = {option: options.pop(option) for option in ("cluster", "workers") if option in options}
    if parts is not None:
        _check_parts(options)
        options |= {"method": "stream", "parts": Parts(parts, **workers)}
    elif workers:
        raise OurganError(f"--{min(workers)}: only a picture in parts has workers; add --parts 4, or more")
    if revision is not None and Path(model).is_dir():
        raise OurganError(f"--revision is for models on the Hub, and {model} is a directory: leave it out")
    loaded = OurGAN.from_pretrained(model, revision=revision)
    if weights is not None:
        if options["detail"] == "photo":
            raise OurganError("--weights is for networks, and detail photo has none: leave it out")
        loaded, options["detail"] = loaded.using(weights=weights), "network"
    loaded.synthesize(out=out, **options)
    print(f"{out}: done; preview in {out.with_name(f'{out.stem}.preview.jpg')}")
    return 0


def _check_parts(options: dict[str, Any]) -> None:
    for option in ("memory-budget", "overlap", "resume"):
        if option.replace("-", "_") in options:
            raise OurganError(
                f"--{option} does not go with --parts, which draws in bands and goes on by itself"
            )
    if options.get("method") == "tile":
        raise OurganError("--method tile does not go with --parts, which draws in bands: leave it out")


def _evaluate(real: Path, samples: list[Path], json_file: Path | None = None) -> int:
    from ourgan.benchmark.evaluate import evaluate

    report = evaluate(real, samples)
    if json_file:
        with files.refuse_unwritable(json_file):
            files.write_json(json_file, report)
    print(json.dumps({k: v for k, v in report.items() if k != "samples"}, indent=2))
    return 0


def _benchmark(out: Path, **options: Any) -> int:
    from ourgan.benchmark.config import Plan
    from ourgan.benchmark.run import benchmark

    options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    result = benchmark(Plan(out, **options))
    for order in result["orders"]:
        print(f"{order['metric']}, {order['first']} against {order['second']}: {order['verdict']}")
    print(f"{out / 'table.csv'}: {len(result['rows'])} rows; also orders.csv and table.json")
    return 0


def _cache(clear: bool = False) -> int:
    from ourgan.io.pixel_cache import clear_images, report

    print(f"{clear_images() / 2**20:,.0f} MiB freed" if clear else report())
    return 0
