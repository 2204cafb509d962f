"""What every notebook does alike: say where it runs, show figures, and leave a record of each.

A notebook begins with `nb = begin("01_effective_receptive_field", profile, seed, photo)` and ends with
`nb.finish()`. Figures go to `$OURGAN_OUT/figures` (the runner sets it), else to `runs/notebooks/figures`.
"""

from __future__ import annotations

import dataclasses
import io
import os
import time
from pathlib import Path
from typing import Any

import torch
from IPython.display import HTML, display
from IPython.display import Image as Shown
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ourgan._core import files, provenance
from ourgan._core.errors import OurganError
from ourgan.config import Profile, load_profile
from ourgan.io.read import read_image

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "data" / "photos"
SHOWN = 640  # pixels: the longer side of a picture within a notebook
SHOWN_BYTES = 24_000  # of it, if the lowest of QUALITIES allows: ten pictures have to fit in 300 kB
QUALITIES = (65, 50, 40)


def find_photo(photo: str) -> Path:
    """A photo by the name it has in data/photos, or by its path."""
    shipped = PHOTOS / f"{photo}.jpg"
    if shipped.exists():
        return shipped
    path = Path(photo).expanduser()
    if not path.exists():
        names = ", ".join(sorted(p.stem for p in PHOTOS.glob("*.jpg")))
        raise OurganError(f"{photo}: no such photo; use a path, or one of {names}")
    return path


@dataclasses.dataclass
class Notebook:
    """One run of one notebook: its parameters, and what it has found so far."""

    name: str
    profile: Profile
    seed: int
    photo_path: Path
    device: torch.device
    out: Path
    started: float
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    figures: list[str] = dataclasses.field(default_factory=list)

    def photo(self) -> Tensor:
        """The photo, (3, H, W) in [0, 1]."""
        return read_image(self.photo_path)

    def fact(self, **facts: Any) -> None:
        """Keep numbers (plain JSON values) for the record: shown at the end, written beside each figure."""
        self.facts |= facts

    def record(self, **more: Any) -> dict[str, Any]:
        """From what this run's figures come."""
        number = self.name.split("_")[0]
        return provenance.record(
            notebook=self.name,
            command=f"ourgan reproduce --profile {self.profile.name} --only {number}",
            profile=self.profile.name,
            seed=self.seed,
            photo=self.photo_path.name,
            photo_sha256=files.sha256(self.photo_path),
            device=str(self.device),
            seconds=round(time.monotonic() - self.started, 1),
            **more,
        )

    def show(self, figure: Figure | Image.Image, name: str, alt: str, **facts: Any) -> None:
        """Display a figure here and keep it, with its record, as figures/NAME.

        Args:
            name: with suffix: .png for drawings, .jpg for photographs.
            alt: one sentence for those who cannot see it.
            facts: plain JSON values that belong to this figure alone.
        """
        path = self.out / "figures" / name
        provenance.save_figure(figure, path, self.record(alt=alt, facts=self.facts | facts))
        self.figures.append(name)
        # Small, so that a notebook that holds all its pictures can be read on the web; the file is not.
        small = io.BytesIO()
        if isinstance(figure, Figure):
            figure.savefig(small, format="png", dpi=72, bbox_inches="tight")
            plt.close(figure)
            drawing = Image.open(small).convert("RGB").quantize(48)
            drawing.save(small := io.BytesIO(), format="png", optimize=True)
        else:
            picture = figure.convert("RGB")
            picture.thumbnail((SHOWN, SHOWN))
            for quality in QUALITIES:
                picture.save(small := io.BytesIO(), format="jpeg", quality=quality, optimize=True)
                if small.tell() <= SHOWN_BYTES:
                    break
        display(Shown(data=small.getvalue(), alt=alt))

    def finish(self) -> None:
        """Write the record of the whole run and show it."""
        record = self.record(facts=self.facts, figures=self.figures)
        files.write_json(self.out / f"{self.name}.json", record)
        rows = {k: v for k, v in record.items() if k not in ("facts", "alt")} | self.facts
        rows["figures"] = ", ".join(self.figures)
        cells = "".join(
            f"<tr><th style='text-align:left'>{_plain(k)}</th><td>{_plain(v)}</td></tr>"
            for k, v in rows.items()
        )
        display(HTML(f"<table>{cells}</table>"))


def begin(name: str, profile: str, seed: int, photo: str) -> Notebook:
    """Open a notebook's run: check its parameters, choose the device, print the versions."""
    loaded = load_profile(profile)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out = Path(os.environ.get("OURGAN_OUT") or ROOT / "runs" / "notebooks")
    out.mkdir(parents=True, exist_ok=True)
    path = find_photo(photo)
    print(f"profile {loaded.name}, seed {seed}, photo {path.name}")
    print(f"torch {torch.__version__} on {provenance.device_name(device)}, {torch.get_num_threads()} threads")
    if loaded.name == "smoke":
        print("The smoke profile shows that everything runs; its numbers are not results.")
    return Notebook(name, loaded, seed, path, device, out, time.monotonic())


def _plain(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("&", "&amp;").replace("<", "&lt;")
