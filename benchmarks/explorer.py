"""How long each control of the explorer takes to answer, with the shipped model, without a browser.

    OURGAN_WEIGHTS=package python benchmarks/explorer.py [--threads 2]

The widgets are set as a browser would set them, in an event loop as in a kernel; the time ends when the
worker is idle and the picture is there. What takes over two seconds shows progress in its panel. Then the
deep zoom of scenes with detail from the photo, from its smallest level to the first sharp tile. In brackets
the processor time, which does not depend on what runs beside.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ourgan._core.devices import best_device
from ourgan._core.errors import OurganError
from ourgan._core.provenance import device_name
from ourgan.config import SIZES
from ourgan.explorer import Explorer
from ourgan.explorer.deep_zoom.source import SceneSource
from ourgan.explorer.state.background import ByteCache
from ourgan.explorer.widgets.base import walk
from ourgan.pipeline import OurGAN

MODELS = Path(__file__).parents[1] / "data/models"


def controls(explorer: Explorer) -> dict[str, list[Callable[[], object]]]:
    """Return what a person does, three times each."""
    widgets = {name: widget for widget in walk(explorer) for name in widget._dom_classes}

    def sets(name: str, *values: object) -> list[Callable[[], object]]:
        return [functools.partial(setattr, widgets[f"ourgan-{name}"], "value", value) for value in values]

    def presses(name: str, times: int = 1) -> list[Callable[[], object]]:
        return [widgets[f"ourgan-{name}"].click] * times

    return {
        "another seed": sets("seed", 21, 22, 23),
        "(open noise and width)": sets("tabs", "Noise and width"),
        "noise of a stage": sets("strength-1", 0.5, 1.5, 0.8),
        "half the width": sets("width", 0.5),
        "twice the width": sets("width", 2),
        "four times the width": sets("width", 4),
        "back to the photo's width": sets("width", 1),
        "without the vertical coordinate": sets("coordinate", False),
        "and with it": sets("coordinate", True),
        "(open two seeds)": sets("tabs", "Two seeds"),
        "a step from one seed to another": sets("share", 3, 6, 9),
        "(open the edits)": sets("tabs", "Edit"),
        "an edit": presses("apply", 3),
        "an edit taken back": presses("undo", 3),
        "(open the seam lab)": sets("tabs", "Seam lab"),
        "seam lab, first strip and weights": presses("measure"),
        "seam lab, overlap": sets("overlap", 8, 16, 32),
        "seam lab, tile": sets("tile", 32, 16, 64),
        "a page of the gallery": sets("tabs", "Gallery") + presses("next", 2),
        "(open the edits again)": sets("tabs", "Edit"),
        "the scene redrawn from the photo": sets("scene-switch", "projected"),
        "another seed, drawn and redrawn": sets("seed", 31, 32, 33),
    }


async def measure() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as out:
        models = MODELS / "picos-de-europa", MODELS / "picos-de-europa-plain"
        explorer = Explorer(*models, out=out, scene="drawn")

        async def idle() -> None:
            await asyncio.sleep(0.02)  # what comes after a short pause has come
            while explorer.context.worker.busy():
                await asyncio.sleep(0.002)

        await idle()
        for name, actions in controls(explorer).items():
            seconds, spent = [], []
            for act in actions:
                started, processor = time.perf_counter(), time.process_time()
                act()
                await idle()
                seconds.append(time.perf_counter() - started)
                spent.append(time.process_time() - processor)
            if not name.startswith("("):
                median, most = statistics.median(seconds), max(seconds)
                print(
                    f"{name}: {median:.2f} s, at most {most:.2f} [{statistics.median(spent):.2f}]", flush=True
                )
        deep_zoom(explorer.session.model)
        explorer.close()


def deep_zoom(model: OurGAN) -> None:
    """Measure tiles in the order in which the viewer asks for them, of scenes with detail from the photo."""
    for size in SIZES:
        try:
            sources = [
                SceneSource(model, seed, size, ByteCache(), scene="projected", detail="photo")
                for seed in (41, 42, 43)
            ]
        except OurganError as error:
            print(f"deep zoom at {size}: {error}")
            continue
        levels = range(len(sources[0].shapes))
        seconds, spent = [], []
        for source in sources:
            started, processor = time.perf_counter(), time.process_time()
            for level in levels:
                source.pixels((level, 0, 0))
            seconds.append(time.perf_counter() - started)
            spent.append(time.process_time() - processor)
        median, most = statistics.median(seconds), max(seconds)
        what = f"deep zoom at {size}, all levels to the first sharp tile"
        print(f"{what}: {median:.2f} s, at most {most:.2f} [{statistics.median(spent):.2f}]", flush=True)


def main() -> None:
    """Measure with the threads that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{device_name(best_device())}, {arguments.threads} threads, torch {torch.__version__}")
    asyncio.run(measure())


if __name__ == "__main__":
    main()
