"""Notebook 07 as a person meets it, with the shipped model: in JupyterLab, then in Voila.

Its static pictures are left out here, they take a minute; tests/reproduce/test_notebooks.py executes all of
it.
"""

from __future__ import annotations

import ipaddress
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
import servers
from numpy.typing import NDArray
from people import KERNEL, PATIENCE, idle, open_notebook, picture_of, run_all, settled
from playwright.sync_api import Browser, Locator, Page, expect

from ourgan.io.pixels import to_uint8
from ourgan.pipeline import OurGAN

NOTEBOOK = servers.ROOT / "notebooks" / "07_explorer.ipynb"
EXPLORER = "from ourgan.explorer import Explorer"
DRAWN = "As drawn by step 1"
MODEL = servers.ROOT / "data" / "models" / "picos-de-europa"


@pytest.fixture(scope="module")
def model() -> OurGAN:
    return OurGAN.from_pretrained(MODEL, device="cpu")


@pytest.fixture(scope="module")
def opened(browser: Browser, lab: str, lab_directory: Path) -> Iterator[Page]:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    last = next(i for i, cell in enumerate(notebook.cells) if EXPLORER in cell.source)
    notebook.cells = notebook.cells[: last + 1]
    copy = lab_directory / "notebooks" / "07_explorer.ipynb"
    copy.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, copy)
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_notebook(page, lab, "07_explorer.ipynb")
    run_all(page)
    page.locator(".jp-InputPrompt").filter(has_text="[*]").first.wait_for()
    expect(page.locator(".jp-InputPrompt").filter(has_text="[*]")).to_have_count(0, timeout=PATIENCE)
    idle(page)
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts() == []
    switch(scrolled_to(page), "scene", DRAWN)
    expect(page.locator(".ourgan-taken")).to_contain_text("as you chose", timeout=PATIENCE)
    yield page
    page.close()
    assert not errors


@pytest.fixture
def explorer(opened: Page) -> Locator:
    return scrolled_to(opened)


def scrolled_to(page: Page) -> Locator:
    page.locator(".jp-CodeCell").filter(has_text=EXPLORER).scroll_into_view_if_needed()
    explorer = page.locator(".ourgan-explorer").first
    explorer.locator(".ourgan-seed").scroll_into_view_if_needed()
    return explorer


def scene(explorer: Locator, described: str) -> NDArray[np.uint8]:
    """The pixels of the scene, once it is the one described."""
    image = explorer.locator(f".ourgan-picture img[alt*='{described}']")
    image.wait_for(timeout=PATIENCE)
    return picture_of(image)


def switch(explorer: Locator, which: str, name: str) -> Locator:
    """Press a button of a switch below the scene, once it is there; return it."""
    button = explorer.locator(f".ourgan-{which}-switch").get_by_role("button", name=name)
    button.click()
    return button


def set_seed(explorer: Locator, seed: int) -> None:
    box = explorer.locator(".ourgan-seed input")
    box.fill(str(seed))
    box.press("Enter")


def panel(explorer: Locator, name: str) -> None:
    explorer.locator(".ourgan-tabs").get_by_role("button", name=name).click()


def set_width(explorer: Locator, key: str, times: int = 1) -> None:
    """The slider by the keyboard: "Home" for half the photo's width, arrows for a quarter more or less."""
    panel(explorer, "Noise and width")
    explorer.locator(".ourgan-width .noUi-handle").focus()
    for _ in range(times):
        explorer.page.keyboard.press(key)


def look_into(explorer: Locator) -> None:
    """Open the deep zoom of a scene of 128 x 192 pixels, at the smallest size, until it is sharp."""
    panel(explorer, "Deep zoom")
    explorer.locator(".ourgan-zoom-size select").select_option("1k")
    explorer.locator(".ourgan-zoom-open").click()
    zoom = explorer.locator(".ourgan-deepzoom")
    expect(zoom.locator(".ourgan-deepzoom-place")).to_contain_text("of 512 × 768", timeout=PATIENCE)
    settled(zoom)


def edit_and_undo(explorer: Locator) -> None:
    """Part of the scene a second time beside it, harmonised by the generator; then as before."""
    set_seed(explorer, 7)
    before = scene(explorer, "Scene of seed 7, 256 x 192")
    panel(explorer, "Edit")
    explorer.locator(".ourgan-operation select").select_option("duplicate it")
    for name, value in {"x": 20, "y": 40, "w": 80, "h": 60, "to-x": 150, "to-y": 40}.items():
        box = explorer.locator(f".ourgan-{name} input")
        box.fill(str(value))
        box.press("Tab")
    explorer.locator(".ourgan-apply").click()
    after = scene(explorer, "1 edits")
    there = np.abs(after.astype(int) - before)[40:100, 150:230].mean()
    assert there > 3
    explorer.locator(".ourgan-undo").click()
    assert np.array_equal(scene(explorer, "Scene of seed 7, 256 x 192"), before)


def cancel_a_rendering(explorer: Locator) -> None:
    """Of half the scene, after it has shown how far it is."""
    set_width(explorer, "Home")
    scene(explorer, "128 x 192 pixels")
    panel(explorer, "Take away")
    name = explorer.locator(".ourgan-name input")
    name.fill(f"cancelled-{os.getpid()}")
    name.press("Tab")
    explorer.locator(".ourgan-size select").select_option("1k")
    explorer.locator(".ourgan-render").click()
    message = explorer.locator(".ourgan-message:visible").last
    expect(explorer.locator(".ourgan-progress")).to_contain_text("%", timeout=PATIENCE)
    explorer.locator(".ourgan-cancel").click()
    expect(message).to_contain_text("ancelled", timeout=PATIENCE)
    expect(explorer.locator(".ourgan-render")).to_be_enabled(timeout=PATIENCE)


def test_another_seed_is_another_picture(explorer: Locator, model: OurGAN) -> None:
    first = scene(explorer, "Scene of seed 7")
    set_seed(explorer, 11)
    second = scene(explorer, "Scene of seed 11")
    for seed, shown in ((7, first), (11, second)):
        assert np.abs(shown.astype(int) - to_uint8(model.sample(seed))).max() <= 1
    assert np.abs(first.astype(int) - second).mean() > 10


def test_it_begins_with_the_photos_pixels_and_switches_by_the_keyboard(
    explorer: Locator, keep: Callable[[str], Path]
) -> None:
    set_seed(explorer, 7)
    drawn = scene(explorer, "Scene of seed 7, 256 x 192")
    line = explorer.locator(".ourgan-taken")
    expect(line).to_contain_text("the paper's way")
    switch(explorer, "detail", "photo")
    redrawn = scene(explorer, "Scene of seed 7, 256 x 192 pixels, redrawn from the photo")
    assert redrawn.shape == drawn.shape and 2 < np.abs(redrawn.astype(int) - drawn).mean() < 40
    expect(line).to_contain_text("redrawn from picos-de-europa.jpg, detail from the photo, too")
    expect(line).to_contain_text("CC BY 4.0")  # whose pixels they are
    panel(explorer, "Gallery")
    explorer.page.screenshot(path=keep("explorer_redrawn.png"))
    panel(explorer, "Deep zoom")
    explorer.locator(".ourgan-zoom-size select").select_option("4k")
    explorer.locator(".ourgan-zoom-open").click()
    zoom = explorer.locator(".ourgan-deepzoom")
    expect(zoom.locator(".ourgan-deepzoom-place")).to_contain_text("of 4,096 × 3,072", timeout=PATIENCE)
    zoom.get_by_role("button", name="One pixel of the picture").click()
    settled(zoom)
    explorer.page.screenshot(path=keep("zoom_redrawn.png"))
    button = explorer.locator(".ourgan-scene-switch").get_by_role("button", name=DRAWN)
    button.focus()
    explorer.page.keyboard.press("Enter")
    expect(line).to_contain_text("the paper's way", timeout=PATIENCE)
    image = explorer.locator(".ourgan-picture img[alt='Scene of seed 7, 256 x 192 pixels']")
    image.wait_for(timeout=PATIENCE)
    assert np.array_equal(picture_of(image), drawn)


def test_a_wider_scene(explorer: Locator, model: OurGAN) -> None:
    set_seed(explorer, 7)
    set_width(explorer, "ArrowRight", 4)
    wide = scene(explorer, "512 x 192 pixels")
    assert np.abs(wide.astype(int) - to_uint8(model.sample(7, width=512))).max() <= 1
    set_width(explorer, "ArrowLeft", 4)
    scene(explorer, "256 x 192 pixels")


def test_an_edit_is_injected_and_taken_back(explorer: Locator) -> None:
    edit_and_undo(explorer)


def test_a_rendering_is_cancelled(explorer: Locator) -> None:
    cancel_a_rendering(explorer)


def test_the_deep_zoom_shows_the_scene_at_once(
    explorer: Locator, model: OurGAN, keep: Callable[[str], Path]
) -> None:
    set_width(explorer, "Home")
    scene(explorer, "128 x 192 pixels")
    look_into(explorer)
    explorer.page.screenshot(path=keep("explorer_zoom.png"))


def test_a_page_that_is_loaded_again_goes_on(explorer: Locator, model: OurGAN) -> None:
    page = explorer.page
    set_seed(explorer, 5)
    before = scene(explorer, "Scene of seed 5")
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_text("Save Notebook", exact=True).click()
    page.wait_for_timeout(2000)
    page.reload()
    page.locator(".jp-Notebook").wait_for(timeout=PATIENCE)
    explorer = scrolled_to(page)
    assert np.array_equal(scene(explorer, "Scene of seed 5"), before)
    set_seed(explorer, 6)
    after = scene(explorer, "Scene of seed 6")
    width = before.shape[1]  # the one that an earlier test set: it, too, outlives the page
    assert np.abs(after.astype(int) - to_uint8(model.sample(6, width=width))).max() <= 1


def test_nothing_listens_beyond_loopback_and_nothing_answers_without_the_token(
    explorer: Locator, lab: str
) -> None:
    """With the explorer and its deep zoom at work: every socket of the server, of its kernels and of ours."""
    us = psutil.Process()
    sockets = [
        connection.laddr.ip
        for process in (us, *us.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(sockets) > 5  # the server's, and the kernel's five
    assert all(ipaddress.ip_address(address).is_loopback for address in sockets)
    base = lab.partition("/lab")[0]
    for path in ("/api/kernels", "/api/contents", "/lab/api/workspaces"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(base + path)
        assert refused.value.code == 403
        refused.value.close()


def test_in_voila(browser: Browser, tmp_path: Path, model: OurGAN, keep: Callable[[str], Path]) -> None:
    """The explorer alone, as one would serve it."""
    page = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    drawn = f"Explorer({str(MODEL)!r}, seed=7, scene='drawn', out={str(tmp_path / 'out')!r})"
    page.cells = [nbformat.v4.new_code_cell(f"from ourgan.explorer import Explorer\n{drawn}")]
    nbformat.write(page, tmp_path / "explorer.ipynb")
    with servers.voila(tmp_path, tmp_path / "explorer.ipynb") as address:
        window = browser.new_page(viewport={"width": 1280, "height": 900})
        errors: list[str] = []
        window.on("pageerror", lambda error: errors.append(str(error)))
        window.goto(address, timeout=PATIENCE)
        explorer = window.locator(".ourgan-explorer")
        explorer.wait_for(timeout=PATIENCE)
        first = scene(explorer, "Scene of seed 7")
        set_seed(explorer, 11)
        second = scene(explorer, "Scene of seed 11")
        assert np.abs(second.astype(int) - to_uint8(model.sample(11))).max() <= 1
        assert np.abs(first.astype(int) - second).mean() > 10
        edit_and_undo(explorer)
        cancel_a_rendering(explorer)
        look_into(explorer)
        window.screenshot(path=keep("voila.png"))
        window.close()
        assert not errors
