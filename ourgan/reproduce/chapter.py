"""What every notebook does alike: say where it runs, show figures, and leave a record of each.

A notebook begins with `nb = begin("01_effective_receptive_field", profile, seed, photo)` and ends with
`nb.finish()`. Figures go to `$OURGAN_OUT/figures` (the runner sets it), else to `runs/notebooks/figures`.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from IPython.display import HTML, Markdown, display
from IPython.display import Image as Shown
from jaxtyping import Float
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ourgan._core import files, provenance
from ourgan._core.devices import best_device, compute_dtype
from ourgan._core.errors import OurganError
from ourgan.config import Profile, load_profile
from ourgan.io.read import read_image
from ourgan.reproduce import ROOT

PHOTOS = ROOT / "data" / "photos"
SHOWN = 640  # pixels: the longer side of a picture within a notebook
SHOWN_BYTES = 24_000  # of it, if the lowest of QUALITIES allows: ten pictures have to fit in 300 kB
QUALITIES = (65, 50, 40)


def find_photo(photo: str) -> Path:
    """Return the path of a photo: by the name it has in data/photos, or the path as given.

    Raises:
        OurganError: there is neither.
    """
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
    """One run of one notebook: its parameters, the numbers it logged and the figures it showed."""

    name: str
    profile: Profile
    seed: int
    photo_path: Path
    device: torch.device
    out: Path
    started: float
    logged: dict[str, Any] = dataclasses.field(default_factory=dict)
    figures: list[str] = dataclasses.field(default_factory=list)

    def photo(self) -> Float[Tensor, "3 h w"]:
        """Return the photo, (3, h, w) in [0, 1]."""
        return read_image(self.photo_path)

    @functools.cached_property
    def photo_sha256(self) -> str:
        """SHA-256 of the photo's file."""
        return files.sha256(self.photo_path)

    def dtype(self, name: str) -> torch.dtype:
        """Return the type of convolutions on this device for its name in the profile, such as "auto"."""
        return compute_dtype(name, self.device)

    def log(self, **values: Any) -> None:
        """Keep numbers (plain JSON values) for the record: shown at the end, written beside each figure."""
        self.logged |= values

    def record(self, **more: Any) -> dict[str, Any]:
        """Return what this run's figures were made from, in plain JSON values, and `more` of them."""
        number = self.name.split("_")[0]
        return provenance.record(
            notebook=self.name,
            command=f"ourgan reproduce --profile {self.profile.name} --only {number}",
            profile=self.profile.name,
            seed=self.seed,
            photo=self.photo_path.name,
            photo_sha256=self.photo_sha256,
            device=str(self.device),
            seconds=round(time.monotonic() - self.started, 1),
            **more,
        )

    def show(self, figure: Figure | Image.Image, name: str, alt: str, longest: int = SHOWN) -> None:
        """Display a figure here and keep it, with its record, as figures/NAME.

        Args:
            figure: a drawing or a picture.
            name: with suffix: .png for drawings, .jpg for photographs and for drawings that hold some.
            alt: one sentence for those who cannot see it.
            longest: pixels of a picture's longer side within the notebook; less where there are many.
        """
        if isinstance(figure, Figure) and name.endswith(".jpg"):
            figure = as_picture(figure)
        record = self.record(alt=alt, logged=self.logged)
        save_figure(figure, self.out / "figures" / name, record)
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
            picture.thumbnail((longest, longest))
            for quality in QUALITIES:
                picture.save(small := io.BytesIO(), format="jpeg", quality=quality, optimize=True)
                if small.tell() * SHOWN**2 <= SHOWN_BYTES * longest**2:
                    break
        display(Shown(data=small.getvalue(), alt=alt))

    def finish(self) -> None:
        """Write the record of the whole run and show it."""
        record = self.record(logged=self.logged, figures=self.figures)
        files.write_json(self.out / f"{self.name}.json", record)
        rows = {name: value for name, value in record.items() if name != "logged"} | self.logged
        rows["figures"] = ", ".join(self.figures)
        cells = "".join(
            f"<tr><th style='text-align:left'>{_escape(name)}</th><td>{_escape(value)}</td></tr>"
            for name, value in rows.items()
        )
        display(HTML(f"<table>{cells}</table>"))


def begin(name: str, profile: str, seed: int, photo: str) -> Notebook:
    """Open a notebook's run: check its parameters, choose the device, print the versions.

    Args:
        name: the notebook's file name without suffix.
        profile: name of a profile, or the path of one's own.
        seed: of whatever the notebook draws.
        photo: a name from data/photos, or a path.

    Raises:
        OurganError: no such profile or photo.
    """
    loaded = load_profile(profile)
    device = best_device()
    out = Path(os.environ.get("OURGAN_OUT") or ROOT / "runs" / "notebooks")
    out.mkdir(parents=True, exist_ok=True)
    path = find_photo(photo)
    print(f"profile {loaded.name}, seed {seed}, photo {path.name}")
    print(f"torch {torch.__version__} on {provenance.device_name(device)}, {torch.get_num_threads()} threads")
    if loaded.name == "smoke":
        print("The smoke profile shows that everything runs; its numbers are not results.")
    return Notebook(name, loaded, seed, path, device, out, time.monotonic())


def save_figure(
    figure: Figure | Image.Image, path: str | os.PathLike[str], record: dict[str, Any], dpi: int = 150
) -> None:
    """Write a matplotlib figure or a picture as .png or .jpg, and `record` beside it as NAME.json.

    Both are written aside first, the record comes last. Missing directories are made.

    Args:
        figure: what to write.
        path: where to.
        record: what it was made from, see `ourgan._core.provenance.record`.
        dpi: pixels per inch of a matplotlib figure.

    Raises:
        OurganError: another suffix, or the files cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise OurganError(f"{path}: figures are written as .png or .jpg; choose one of these")
    with files.refuse_unwritable(path, "choose another place"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic_path(path.with_suffix(".json")) as aside_record, files.atomic_path(path) as aside:
            if isinstance(figure, Figure):
                figure.savefig(aside, dpi=dpi, bbox_inches="tight")
            else:
                figure.save(aside, quality=92)
            files.write_json(aside_record, record)


def as_picture(figure: Figure) -> Image.Image:
    """Return a drawing that holds photographs as pixels, 100 to the inch, and close it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
    plt.close(figure)
    return Image.open(buffer).convert("RGB")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Markdown:
    """Return a Markdown table, first column left, the others right; floats with three significant digits."""
    lines = [" | ".join(map(_cell, header)), ":--" + " | --:" * (len(header) - 1)]
    lines += [" | ".join(_cell(value) for value in row) for row in rows]
    return Markdown("\n".join(f"| {line} |" for line in lines))


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value).replace("|", "\\|")
    return f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"


def _escape(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("&", "&amp;").replace("<", "&lt;")
