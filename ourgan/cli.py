"""The `ourgan` command."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from pathlib import Path

from ourgan._core.errors import OurganError

METHODS = ("auto", "stream", "tile")
SIZES = ("1k", "4k", "16k")
BACKBONES = ("esrgan", "swinir")
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns 0 done, 1 a notebook failed, 2 wrong use or bad input, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "httpx2", "httpcore", "httpcore2", "papermill", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        result: int = arguments.run(arguments)
    except OurganError as error:
        print(f"ourgan: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"ourgan: interrupted; {arguments.interrupted}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ourgan", description="From one photograph, new scenes like it, up to 16K pixels wide."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("reproduce", help="run the notebooks and leave their figures")
    command.add_argument(
        "--profile", default="auto", help="smoke, quick, cpu, paper-4k, paper-16k, or a .toml"
    )
    command.add_argument("--only", default="", metavar="01,05", help="these notebooks alone")
    command.add_argument("--out", type=Path, metavar="DIR", help="default: runs/reproduce-PROFILE")
    command.add_argument(
        "--commit-notebooks", action="store_true", help="put the executed notebooks in place"
    )
    command.set_defaults(run=_reproduce, interrupted="what was finished is kept")

    command = commands.add_parser("train", help="learn a model from one photo")
    command.add_argument("photo", type=Path, metavar="PHOTO")
    command.add_argument("--out", type=Path, required=True, metavar="MODEL_DIR")
    command.add_argument("--profile", default="auto")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--steps", type=_steps, metavar="1,2,3", help="1: the scene; 2 to 4: super-resolution; default: 1,2,3"
    )
    command.add_argument(
        "--generator",
        metavar="NAME",
        help="of step 1: ourgan (the default), hp-vae-gan (without the coordinate) or singan",
    )
    command.add_argument("--backbone", choices=BACKBONES, help="of steps 2 to 4; default: the profile's")
    command.add_argument(
        "--weights", metavar="NAME|FILE", help="where steps 2 to 4 start; default: released ones"
    )
    command.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    command.add_argument("--credit", default="", metavar="TEXT", help="the photo's author and licence")
    command.add_argument("--tensorboard", type=Path, metavar="DIR", help="also log step 1 there")
    command.set_defaults(run=_train, interrupted="continue with the same command and --resume")

    command = commands.add_parser("pretrain", help="learn super-resolution from many images")
    command.add_argument("images", metavar="FOLDER|USER/DATASET", help="of images, here or on the Hub")
    command.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    command.add_argument("--profile", default="auto")
    command.add_argument("--backbone", choices=BACKBONES, help="default: the profile's")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    command.set_defaults(run=_pretrain, interrupted="continue with the same command and --resume")

    command = commands.add_parser("synthesize", help="draw a scene and render it")
    command.add_argument("model", metavar="MODEL", help="a directory, or user/repo on the Hub")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--size", default="4k", choices=SIZES)
    command.add_argument("--out", type=Path, required=True, metavar="FILE.tif")
    command.add_argument("--width", type=int, metavar="PX", help="of the scene in step 1; the photo's is 256")
    command.add_argument("--memory-budget", type=_bytes, metavar="1GiB", help="for the whole process")
    command.add_argument("--method", default="auto", choices=METHODS)
    command.add_argument(
        "--overlap", metavar="48|erf|tolerance=1", help="of tiles; default: the model's own setting"
    )
    command.add_argument("--resume", action="store_true", help="go on with a picture that was begun")
    command.add_argument("--overwrite", action="store_true", help="replace FILE.tif if it exists")
    command.add_argument(
        "--parts", type=int, metavar="N", help="ranges of rows that workers make; the same command goes on"
    )
    _worker_options(command)
    command.set_defaults(run=_synthesize, interrupted="continue with the same command and --resume")

    command = commands.add_parser("evaluate", help="compare samples with their photo")
    command.add_argument("real", type=Path, metavar="REAL")
    command.add_argument("samples", type=Path, nargs="+", metavar="SAMPLE")
    command.add_argument("--json", type=Path, metavar="FILE")
    command.set_defaults(run=_evaluate, interrupted="nothing was written")

    command = commands.add_parser("benchmark", help="the paper's Tables 3 and 4, on the photos one has")
    _benchmark_options(command)
    command.set_defaults(run=_benchmark, interrupted="what is finished is kept; repeat the command to go on")
    return parser


def _benchmark_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--set", default="shipped", metavar="NAME|FILE.toml", help="of photos")
    command.add_argument("--generators", type=_names, default="ourgan,hp-vae-gan", metavar="A,B")
    command.add_argument("--backbones", type=_names, default="esrgan", metavar="A,B", help="of steps 2 and 3")
    command.add_argument(
        "--models", nargs="+", default=[], metavar="[NAME=]DIR", help="beside those in data/models"
    )
    command.add_argument(
        "--samples", nargs="+", default=[], metavar="NAME=DIR", help="pictures of step 1 by another program"
    )
    command.add_argument("--seeds", type=int, default=8, metavar="N", help="pictures of each; the paper: 50")
    command.add_argument("--size", default="4k", metavar="1k|4k")
    command.add_argument("--profile", default="", help="to train missing models with; default: train none")
    command.add_argument("--fine-tune", action="store_true", help="steps 2 and 3 on each photo, too")
    command.add_argument("--out", type=Path, default=Path("runs/benchmark"), metavar="DIR")
    _worker_options(command)


def _worker_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--cluster", metavar="tcp://HOST:PORT|FILE.toml", help="Dask; default: this machine")
    command.add_argument("--workers", type=int, metavar="N", help="default: one for each GPU, or core")


# torch takes seconds to import: only the command that needs it pays.


def _reproduce(arguments: argparse.Namespace) -> int:
    from ourgan.reproduce.runner import reproduce

    only = [name for name in arguments.only.split(",") if name] or None
    return reproduce(arguments.profile, only, arguments.out, commit_notebooks=arguments.commit_notebooks)


def _train(arguments: argparse.Namespace) -> int:
    from ourgan.config import load_profile
    from ourgan.training.train import train_model

    train_model(
        arguments.photo,
        arguments.out,
        load_profile(arguments.profile),
        steps=arguments.steps or (1, 2, 3),
        generator=arguments.generator,
        backbone=arguments.backbone,
        weights=arguments.weights,
        seed=arguments.seed,
        resume=arguments.resume,
        credit=arguments.credit,
        tensorboard=arguments.tensorboard,
    )
    print(f"{arguments.out}: trained; look at {arguments.out / 'samples.jpg'}, then")
    print(f"  ourgan synthesize {arguments.out} --seed 7 --size 4k --out scene.tif")
    return 0


def _pretrain(arguments: argparse.Namespace) -> int:
    from ourgan._core.devices import best_device
    from ourgan.config import load_profile
    from ourgan.training.finetune import image_folder, pretrain

    profile = load_profile(arguments.profile)
    backbone = arguments.backbone or profile.super_resolution.backbone
    pretrain(
        image_folder(arguments.images),
        backbone,
        profile.training(backbone),
        arguments.out,
        noise_std=profile.super_resolution.noise_std,
        seed=arguments.seed,
        resume=arguments.resume,
        device=best_device(),
    )
    print(f"{arguments.out}: pre-trained; start from it with")
    print(f"  ourgan train PHOTO --out MODEL_DIR --backbone {backbone} --weights {arguments.out}")
    return 0


def _synthesize(arguments: argparse.Namespace) -> int:
    from ourgan.io.canvas import check_output
    from ourgan.pipeline import OurGAN

    if arguments.parts is not None:
        _spread(arguments)
    else:
        for option in ("cluster", "workers"):
            if getattr(arguments, option) is not None:
                raise OurganError(f"--{option}: only a picture in parts has workers; add --parts 4, or more")
        check_output(arguments.out, overwrite=arguments.overwrite, resume=arguments.resume)
        model = OurGAN.from_pretrained(arguments.model)
        model.synthesize(
            arguments.seed,
            arguments.size,
            arguments.out,
            width=arguments.width,
            memory_budget=arguments.memory_budget,
            method=arguments.method,
            overlap=arguments.overlap,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
        )
    print(f"{arguments.out}: done; preview in {arguments.out.with_name(f'{arguments.out.stem}.preview.jpg')}")
    return 0


def _spread(arguments: argparse.Namespace) -> None:
    from ourgan.upscale.parts import synthesize_in_parts

    for option in ("memory_budget", "overlap", "resume"):
        if getattr(arguments, option):
            name = option.replace("_", "-")
            raise OurganError(
                f"--{name} does not go with --parts, which draws in bands and goes on by itself"
            )
    if arguments.method == "tile":
        raise OurganError("--method tile does not go with --parts, which draws in bands: leave it out")
    arguments.interrupted = "repeat the command to go on"
    synthesize_in_parts(
        arguments.model,
        arguments.seed,
        arguments.size,
        arguments.out,
        parts=arguments.parts,
        width=arguments.width,
        cluster=arguments.cluster,
        workers=arguments.workers,
        overwrite=arguments.overwrite,
    )


def _evaluate(arguments: argparse.Namespace) -> int:
    from ourgan._core import files
    from ourgan.benchmark.evaluate import evaluate

    report = evaluate(arguments.real, arguments.samples)
    if arguments.json:
        try:
            files.write_json(arguments.json, report)
        except OSError as error:
            raise OurganError(f"{arguments.json}: cannot be written ({error.strerror})") from None
    print(json.dumps({k: v for k, v in report.items() if k != "samples"}, indent=2))
    return 0


def _benchmark(arguments: argparse.Namespace) -> int:
    from ourgan.benchmark.config import Plan
    from ourgan.benchmark.run import benchmark

    result = benchmark(
        Plan(
            out=arguments.out,
            photos=arguments.set,
            generators=arguments.generators,
            backbones=arguments.backbones,
            models=tuple(arguments.models),
            samples=tuple(arguments.samples),
            seeds=arguments.seeds,
            size=arguments.size,
            profile=arguments.profile,
            fine_tune=arguments.fine_tune,
            cluster=arguments.cluster,
            workers=arguments.workers,
        )
    )
    for order in result["orders"]:
        print(f"{order['metric']}, {order['first']} against {order['second']}: {order['verdict']}")
    print(f"{arguments.out / 'table.csv'}: {len(result['rows'])} rows; also orders.csv and table.json")
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in text.split(",") if name))


def _steps(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-4](,[1-4])*", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of steps; write for example 1,2,3")
    return tuple(sorted({int(step) for step in text.split(",")}))


def _bytes(text: str) -> int:
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    if not match or not (value := int(float(match[1]) * UNITS[match[2]])):
        raise argparse.ArgumentTypeError(f"'{text}' is not an amount of memory; write for example 2GiB")
    return value
