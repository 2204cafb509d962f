"""What a person does in JupyterLab, and what they see."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import nbformat
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, expect

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
PATIENCE = 600_000  # ms: two cores, shared with who knows what


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def open_notebook(page: Page, lab: str, name: str) -> None:
    page.goto(lab.format(f"/tree/{name}"))
    page.locator(".jp-Notebook").wait_for(timeout=PATIENCE)
    idle(page)


def idle(page: Page) -> None:
    page.get_by_text("| Idle").wait_for(timeout=PATIENCE)


def run_all(page: Page) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


def run_cell(page: Page, text: str) -> None:
    """The cell that has this text, as with Ctrl-Enter."""
    page.locator(".jp-CodeCell").filter(has_text=text).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def pixels_of(canvas: Locator) -> NDArray[np.uint8]:
    """(H, W, 3): what is drawn on a canvas."""
    data = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
    return decoded(base64.b64decode(data.partition(",")[2]))


def decoded(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def settled(zoom: Locator) -> None:
    """Until a deep zoom has all tiles that it wants."""
    expect(zoom).to_have_attribute("data-pending", "0", timeout=PATIENCE)
    zoom.page.wait_for_timeout(300)  # one may want more after an animation
    expect(zoom).to_have_attribute("data-pending", "0", timeout=PATIENCE)


def whereabouts(zoom: Locator) -> tuple[float, int, int]:
    """(percent, x, y) from the line above a deep zoom."""
    words = zoom.locator(".ourgan-deepzoom-place").inner_text().replace(",", "").split()
    return float(words[0]), int(words[4]), int(words[6])


def picture_of(image: Locator) -> NDArray[np.uint8]:
    """(H, W, 3): an <img> as it came, whatever its size on the screen."""
    data = image.evaluate(
        """async image => {
            await image.decode();
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            canvas.getContext('2d').drawImage(image, 0, 0);
            return canvas.toDataURL('image/png');
        }"""
    )
    return decoded(base64.b64decode(data.partition(",")[2]))
