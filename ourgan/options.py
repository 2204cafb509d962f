"""The options of the `ourgan` command, one function for each of its commands. Nothing here imports torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from ourgan._core.arguments import parse_bytes, parse_steps
from ourgan.config import BACKBONES, DETAILS, METHODS, PROFILES, SCENES, SIZES


def reproduce_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `ourgan reproduce`."""
    command.add_argument("--profile", help=f"{', '.join(PROFILES)}, or a .toml")
    command.add_argument("--only", type=_names, metavar="01,05", help="these notebooks alone")
    command.add_argument("--out", type=Path, metavar="DIR", help="default: runs/reproduce-PROFILE")
    command.add_argument("--commit-notebooks", action="store_true", help="put executed notebooks in place")


def train_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `ourgan train`."""
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


def pretrain_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `ourgan pretrain`."""
    command.add_argument("images", metavar="FOLDER|USER/DATASET", help="of images, here or on the Hub")
    command.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    command.add_argument("--profile")
    command.add_argument("--backbone", choices=BACKBONES, help="default: the profile's")
    command.add_argument("--seed", type=int)
    command.add_argument("--resume", action="store_true", help="go on from the last checkpoint")


def synthesize_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `ourgan synthesize`."""
    command.add_argument("model", metavar="MODEL", help="a directory, or user/repo on the Hub")
    command.add_argument("--revision", metavar="REV", help="commit, tag or branch of a model on the Hub")
    command.add_argument("--seed", type=int)
    command.add_argument("--size", choices=SIZES)
    command.add_argument(
        "--out", type=Path, required=True, metavar="FILE.tif", help="tiled, with smaller levels; or FILE.png"
    )
    command.add_argument("--width", type=int, metavar="PX", help="of the scene in step 1; the photo's is 256")
    command.add_argument("--scene", choices=SCENES, default="auto", help="projected: redrawn from the photo")
    command.add_argument(
        "--detail", choices=DETAILS, default="auto", help="auto: the photo's where it can be"
    )
    command.add_argument("--photo", type=Path, metavar="FILE", help="of the model; default: kept with it")
    command.add_argument("--novelty", type=float, metavar="0..1", help="of projected scenes; default: 0.5")
    command.add_argument(
        "--weights", metavar="NAME|FILE", help="that draw steps 2 to 4 in place of the model's"
    )
    command.add_argument("--memory-budget", type=parse_bytes, metavar="1GiB", help="for the whole process")
    command.add_argument("--method", choices=METHODS)
    command.add_argument("--overlap", metavar="48|erf|tolerance=1", help="of tiles; default: the model's own")
    command.add_argument("--resume", action="store_true", help="go on with a picture that was begun")
    command.add_argument("--overwrite", action="store_true", help="replace FILE.tif if it exists")
    command.add_argument(
        "--parts", type=int, metavar="N", help="ranges of rows that workers make; the same command goes on"
    )
    _worker_options(command)


def evaluate_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `ourgan evaluate`."""
    command.add_argument("real", type=Path, metavar="REAL")
    command.add_argument("samples", type=Path, nargs="+", metavar="SAMPLE")
    command.add_argument("--json", dest="json_file", type=Path, metavar="FILE")


def benchmark_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `ourgan benchmark`."""
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


def cache_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `ourgan cache`."""
    command.add_argument("--clear", action="store_true", help="remove them")


def _worker_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--cluster", metavar="tcp://HOST:PORT|FILE.toml", help="Dask; default: this machine")
    command.add_argument("--workers", type=int, metavar="N", help="default: one for each GPU, or core")


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in text.split(",") if name))
