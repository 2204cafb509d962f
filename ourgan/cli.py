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
from ourgan._core.arguments import parse_bytes, parse_steps
from ourgan._core.errors import OurganError
from ourgan.config import BACKBONES, DETAILS, METHODS, PROFILES, SCENES, SIZES, load_profile

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
        ("reproduce", "run the notebooks and leave their figures", _reproduce_options, _reproduce,
         "what was finished is kept"),
        ("train", "learn a model from one photo", _train_options, _train, RESUMABLE),
        ("pretrain", "learn super-resolution from many images", _pretrain_options, _pretrain, RESUMABLE),
        ("synthesize", "draw a scene and render it", _synthesize_options, _synthesize, RESUMABLE),
        ("evaluate", "compare samples with their photo", _evaluate_options, _evaluate, "nothing was written"),
        ("benchmark", "the paper's Tables 3 and 4, on the photos one has", _benchmark_options, _benchmark,
         "what is finished is kept; repeat the command to go on"),
        ("cache", "list or clear the photos enlarged for large pictures", _cache_options, _cache,
         "repeat the command"),
    ):  # fmt: skip
        command = commands.add_parser(name, help=description, argument_default=argparse.SUPPRESS)
        command.set_defaults(run=run, interrupted=interrupted)
        add_options(command)
    return parser


def _reproduce_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--profile", help=f"{', '.join(PROFILES)}, or a .toml")
    command.add_argument("--only", type=_names, metavar="01,05", help="these notebooks alone")
    command.add_argument("--out", type=Path, metavar="DIR", help="default: runs/reproduce-PROFILE")
    command.add_argument("--commit-notebooks", action="store_true", help="put executed notebooks in place")


def _train_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("photo", type=Path, metavar="PHOTO")
    command.add_argument("--out", type=Path, required=True, metavar="MODEL_DIR")
    command.add_argument("--profile")
    command.add_argument("--seed", type=int)
    command.add_argument(
        "--steps",
        type=parse_steps,
        metavar="1,2,3",
        help="1: the scene; 2 to 4: super-resolution; default: 1,2,3",
    )
    command.add_argument(
        "--generator",
        metavar="NAME",
        help="of step 1: ourgan (the default), hp-vae-gan (without the coordinate), singan, or patches "
        "(of the photo, which learns nothing: seconds)",
    )
    command.add_argument("--backbone", choices=BACKBONES, help="of steps 2 to 4; default: the profile's")
    command.add_argument(
        "--weights", metavar="NAME|FILE", help="where steps 2 to 4 start; default: released ones"
    )
    command.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    command.add_argument("--credit", metavar="TEXT", help="the photo's author and licence")
    command.add_argument("--tensorboard", type=Path, metavar="DIR", help="also log step 1 there")


def _pretrain_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("images", metavar="FOLDER|USER/DATASET", help="of images, here or on the Hub")
    command.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    command.add_argument("--profile")
    command.add_argument("--backbone", choices=BACKBONES, help="default: the profile's")
    command.add_argument("--seed", type=int)
    command.add_argument("--resume", action="store_true", help="go on from the last checkpoint")


def _synthesize_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="a directory, or user/repo on the Hub")
    command.add_argument("--seed", type=int)
    command.add_argument("--size", choices=SIZES)
    command.add_argument("--out", type=Path, required=True, metavar="FILE.tif")
    command.add_argument("--width", type=int, metavar="PX", help="of the scene in step 1; the photo's is 256")
    command.add_argument("--scene", choices=SCENES, default="auto", help="projected: redrawn from the photo")
    command.add_argument(
        "--detail", choices=DETAILS, default="auto", help="auto: the photo's where it can be"
    )
    command.add_argument("--photo", type=Path, metavar="FILE", help="of the model; default: kept with it")
    command.add_argument("--novelty", type=float, metavar="0..1", help="of projected scenes; default: 0.5")
    command.add_argument("--memory-budget", type=parse_bytes, metavar="1GiB", help="for the whole process")
    command.add_argument("--method", choices=METHODS)
    command.add_argument("--overlap", metavar="48|erf|tolerance=1", help="of tiles; default: the model's own")
    command.add_argument("--resume", action="store_true", help="go on with a picture that was begun")
    command.add_argument("--overwrite", action="store_true", help="replace FILE.tif if it exists")
    command.add_argument(
        "--parts", type=int, metavar="N", help="ranges of rows that workers make; the same command goes on"
    )
    _worker_options(command)


def _evaluate_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("real", type=Path, metavar="REAL")
    command.add_argument("samples", type=Path, nargs="+", metavar="SAMPLE")
    command.add_argument("--json", dest="json_file", type=Path, metavar="FILE")


def _benchmark_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--set", dest="photos", metavar="NAME|FILE.toml", help="of photos")
    command.add_argument("--generators", type=_names, metavar="A,B")
    command.add_argument("--backbones", type=_names, metavar="A,B", help="of steps 2 and 3")
    command.add_argument("--models", nargs="+", metavar="[NAME=]DIR", help="beside those in data/models")
    command.add_argument("--samples", nargs="+", metavar="NAME=DIR", help="scenes by another program")
    command.add_argument("--ways", type=_names, metavar="paper,middle,photo", help="of drawing a picture")
    command.add_argument("--seeds", type=int, metavar="N", help="pictures of each; the paper: 50")
    command.add_argument("--size", metavar="1k|4k")
    command.add_argument("--profile", help="to train missing models with; default: train none")
    command.add_argument("--fine-tune", action="store_true", help="steps 2 and 3 on each photo, too")
    command.add_argument("--out", type=Path, metavar="DIR", default=Path("runs/benchmark"))
    _worker_options(command)


def _cache_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--clear", action="store_true", help="remove them")


def _worker_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--cluster", metavar="tcp://HOST:PORT|FILE.toml", help="Dask; default: this machine")
    command.add_argument("--workers", type=int, metavar="N", help="default: one for each GPU, or core")


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


def _synthesize(model: str, out: Path, parts: int | None = None, **options: Any) -> int:
    from ourgan.pipeline import OurGAN
    from ourgan.upscale.parts import Parts

    workers = {option: options.pop(option) for option in ("cluster", "workers") if option in options}
    if parts is not None:
        _check_parts(options)
        options |= {"method": "stream", "parts": Parts(parts, **workers)}
    elif workers:
        raise OurganError(f"--{min(workers)}: only a picture in parts has workers; add --parts 4, or more")
    OurGAN.from_pretrained(model).synthesize(out=out, **options)
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


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in text.split(",") if name))
