"""The deep zoom in JupyterLab: one notebook, one page, and what a person would try in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from large_pictures import save_picture
from numpy.typing import NDArray
from people import (
    open_notebook,
    pixels_of,
    run_all,
    run_cell,
    settled,
    whereabouts,
    write_notebook,
)
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from toy import toy_model

from ourgan.io.pixels import to_uint8
from ourgan.pipeline import OurGAN

CELLS = [
    (
        "from toy import toy_model\n"
        "from ourgan.explorer.deep_zoom.viewer import DeepZoom\n"
        "model = toy_model()\n"
        "zoom = DeepZoom(model, seed=7)\n"
        "zoom"
    ),
    "file = DeepZoom.from_file('scene.tif')\nfile",
    "zoom.show(8)",
]


@pytest.fixture(scope="module")
def model() -> OurGAN:
    return toy_model()


@pytest.fixture(scope="module")
def scene(lab_directory: Path, photo: Callable[..., object]) -> Path:
    path = lab_directory / "notebooks" / "scene.tif"
    path.parent.mkdir(exist_ok=True)
    save_picture(path, to_uint8(photo(width=1500)), {})
    return path


@pytest.fixture(scope="module")
def opened(browser: Browser, lab: str, lab_directory: Path, scene: Path) -> Iterator[Page]:
    write_notebook(lab_directory / "notebooks" / "zoom.ipynb", CELLS[:2])
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_notebook(page, lab, "zoom.ipynb")
    run_all(page)
    page.locator(".ourgan-deepzoom-place").first.wait_for(timeout=120_000)
    yield page
    page.close()
    assert not errors


@pytest.fixture
def zoom(opened: Page) -> Locator:
    return view(opened, 0)


def view(page: Page, number: int) -> Locator:
    page.locator(".jp-CodeCell").nth(number).scroll_into_view_if_needed()  # before, it may not be drawn
    zoom = page.locator(".jp-CodeCell").nth(number).locator(".ourgan-deepzoom")
    zoom.locator(".ourgan-deepzoom-bar").scroll_into_view_if_needed()
    return zoom


def canvas(zoom: Locator) -> NDArray[np.uint8]:
    return pixels_of(zoom.locator(".openseadragon-canvas canvas").first)


def press(zoom: Locator, name: str) -> None:
    zoom.get_by_role("button", name=name).click()


def alike(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The correlation of two pictures at 64 x 48 pixels, in green, where the toy's scenes differ most."""
    small = [
        np.asarray(Image.fromarray(p).resize((64, 48), Image.Resampling.BOX))[..., 1] for p in (one, other)
    ]
    return float(np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1])


def check_at_full_size(zoom: Locator, model: OurGAN, seed: int) -> None:
    """Pixel by pixel: a block that is in view as a whole, against the same window of the picture."""
    percent, x, y = whereabouts(zoom)
    seen = canvas(zoom)
    left, top = -(-x // 256) * 256, -(-y // 256) * 256
    column, row = left // 512 * 512, top // 512 * 512
    block = to_uint8(model.crop(seed, "16k", (column, row, 512, 512)))
    expected = block[top - row :, left - column :][:256, :256]
    tile = seen[top - y :, left - x :][:256, :256]
    assert percent == 100 and tile.shape == expected.shape == (256, 256, 3)
    assert np.array_equal(tile, expected) and expected.std() > 1


def test_the_whole_then_by_the_wheel_to_single_pixels(
    zoom: Locator, model: OurGAN, keep: Callable[[str], Path]
) -> None:
    settled(zoom)
    seen = canvas(zoom)
    seen = seen[:, (seen != seen[0, 0]).any(2).any(0)]  # without what is beside it
    same, other = (alike(seen, to_uint8(model.crop(seed, "1k", (0, 0, 640, 480)))) for seed in (7, 8))
    assert same > 0.9 > other
    picture = zoom.locator(".ourgan-deepzoom-picture")
    picture.hover()
    before = whereabouts(zoom)
    zoom.page.mouse.wheel(0, -200)
    zoom.page.wait_for_timeout(500)
    assert whereabouts(zoom) == before  # not clicked yet: the wheel is the notebook's
    view(zoom.page, 0)
    picture.click()
    for _ in range(30):
        zoom.page.mouse.wheel(0, -100)
        zoom.page.wait_for_timeout(100)
        if whereabouts(zoom)[0] > 80:
            break
    assert whereabouts(zoom)[0] > 80
    press(zoom, "One pixel of the picture")
    settled(zoom)
    check_at_full_size(zoom, model, 7)
    zoom.page.screenshot(path=keep("deep_zoom.png"))


def test_keys_are_for_the_picture_alone(zoom: Locator, model: OurGAN) -> None:
    page = zoom.page
    press(zoom, "One pixel of the picture")
    cells = page.locator(".jp-Cell").count()
    _, x, y = whereabouts(zoom)
    for key in ("b", "f", "r", "ArrowRight", "ArrowDown"):  # "b": JupyterLab's for another cell
        page.keyboard.press(key)
        page.wait_for_timeout(300)
    assert page.locator(".jp-Cell").count() == cells
    percent, right, below = whereabouts(zoom)
    assert percent == 100 and right > x and below > y
    page.keyboard.press("0")
    page.wait_for_timeout(800)
    assert whereabouts(zoom)[0] < 20
    page.keyboard.press("Shift+Tab")  # and one gets out again
    expect(zoom.get_by_role("button", name="Full screen")).to_be_focused()


def test_another_window_and_out_of_sight(zoom: Locator, opened: Page) -> None:
    press(zoom, "Show the whole picture")
    opened.wait_for_timeout(800)
    before = whereabouts(zoom)
    picture = zoom.locator(".ourgan-deepzoom-picture")
    picture.evaluate("picture => { picture.parentElement.style.display = 'none'; }")  # as notebooks do
    opened.set_viewport_size({"width": 800, "height": 900})
    opened.wait_for_timeout(500)
    picture.evaluate("picture => { picture.parentElement.style.display = ''; }")
    opened.wait_for_timeout(500)
    assert 0 < whereabouts(zoom)[0] < before[0] and whereabouts(zoom)[1:] == (0, 0)
    bar = zoom.locator(".ourgan-deepzoom-bar")
    assert bar.evaluate("bar => bar.scrollWidth <= bar.clientWidth")
    for width in ("3px", ""):  # on the way from one layout to the next
        picture.evaluate("(picture, width) => { picture.style.width = width; }", width)
        opened.wait_for_timeout(100)
    opened.set_viewport_size({"width": 1280, "height": 900})
    opened.wait_for_timeout(500)
    assert whereabouts(zoom) == before


def test_another_scene_at_the_same_place(zoom: Locator, model: OurGAN) -> None:
    page = zoom.page
    press(zoom, "One pixel of the picture")
    settled(zoom)
    place, before = whereabouts(zoom), canvas(zoom)
    page.locator(".jp-Notebook-footer").click()
    page.locator(".jp-CodeCell").last.locator(".cm-content").fill(CELLS[2])
    run_cell(page, CELLS[2])
    zoom = view(page, 0)
    page.wait_for_timeout(500)
    settled(zoom)
    assert whereabouts(zoom) == place
    assert not np.array_equal(canvas(zoom), before)
    check_at_full_size(zoom, model, 8)


def test_a_page_that_is_loaded_again_goes_on_where_it_was(zoom: Locator, model: OurGAN) -> None:
    page = zoom.page
    press(zoom, "Show the whole picture")
    page.wait_for_timeout(800)
    press(zoom, "Zoom in")
    page.wait_for_timeout(800)
    press(zoom, "One pixel of the picture")
    page.wait_for_timeout(800)
    settled(zoom)
    place = whereabouts(zoom)
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1500)
    page.reload()
    page.locator(".ourgan-deepzoom-place").first.wait_for(timeout=120_000)
    zoom = view(page, 0)
    settled(zoom)
    assert whereabouts(zoom) == place
    check_at_full_size(zoom, model, 8)


def test_a_finished_picture_beside_it_and_one_that_breaks(opened: Page, scene: Path) -> None:
    zoom = view(opened, 1)
    settled(zoom)
    whole = scene.read_bytes()
    os.truncate(scene, 3000)  # as a full disk or a lost share would
    press(zoom, "One pixel of the picture")
    status = zoom.locator(".ourgan-deepzoom-status")
    expect(status).to_contain_text("scene.tif", timeout=30_000)
    assert view(opened, 0).locator(".ourgan-deepzoom-error").count() == 0  # the other one is well
    with scene.open("r+b") as file:
        file.write(whole)
    view(opened, 1)
    status.get_by_role("button", name="Try again").click()
    settled(zoom)
    expect(status).not_to_contain_text("scene.tif")
    _, x, y = whereabouts(zoom)
    pixels = tifffile.imread(scene)
    seen = canvas(zoom)
    height, width = seen.shape[:2]
    assert np.array_equal(seen[: pixels.shape[0] - y], pixels[y : y + height, x : x + width][: len(seen)])
