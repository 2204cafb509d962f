"""The public names: they resolve, say what they take, and cost nothing before somebody asks for them."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

import ourgan

ROOMS = [
    "ourgan",
    "ourgan.benchmark",
    "ourgan.explorer",
    "ourgan.io",
    "ourgan.metrics",
    "ourgan.models",
    "ourgan.reproduce",
    "ourgan.reproduce.figures",
    "ourgan.training",
    "ourgan.upscale",
]
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
HEAVY = ("torch", "numpy", "matplotlib", "PIL", "ipywidgets", "IPython", "pandas")


def loads(code: str, *modules: str) -> list[str]:
    """Which of `modules` a fresh interpreter has loaded after `code`."""
    ask = f"{code}; import sys; print(*(m for m in {modules!r} if m in sys.modules))"
    return subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True
    ).stdout.split()


def test_the_list_is_flat() -> None:
    names = {"OurGAN", "train", "evaluate", "Explorer", "read_image", "load_profile", "OurganError"}
    assert set(ourgan.__all__) == names == set(dir(ourgan))
    with pytest.raises(AttributeError, match=r"module 'ourgan' has no attribute 'GAN'"):
        _ = ourgan.GAN


@pytest.mark.parametrize("name", ourgan.__all__)
def test_each_says_what_it_takes(name: str) -> None:
    thing = getattr(ourgan, name)
    assert thing.__doc__ and thing.__doc__.split("\n")[0].endswith(".")
    if inspect.isfunction(thing):
        assert "Raises:" in thing.__doc__
        assert all(f" {argument}: " in thing.__doc__ for argument in inspect.signature(thing).parameters)


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_resolves(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__doc__ and module.__all__
    for name in module.__all__:
        assert not inspect.ismodule(getattr(module, name)), f"{room}.{name} is taken by a module"


def test_importing_a_room_is_cheap() -> None:
    assert loads("; ".join(f"import {room}" for room in ROOMS), *HEAVY) == []


@pytest.mark.slow
def test_a_picture_needs_no_drawing_library() -> None:
    assert loads("import ourgan.pipeline", "torch", "matplotlib", "pandas", "IPython") == ["torch"]


def wanted() -> Iterator[tuple[str, str]]:
    """What the notebooks import from the package and take from its figures: module and name."""
    for path in NOTEBOOKS.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        for node in ast.walk(ast.parse("\n".join(c.source for c in cells if c.cell_type == "code"))):
            match node:
                case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "ourgan":
                    yield from ((module, alias.name) for alias in names)
                case ast.Attribute(value=ast.Name(id="figures"), attr=name):
                    yield "ourgan.reproduce.figures", name


def test_the_notebooks_need_few_modules_and_find_every_name() -> None:
    modules = set()
    for module, name in set(wanted()):
        found = getattr(importlib.import_module(module), name, None)
        if found is None or inspect.ismodule(found):  # a module, which is imported as such
            modules.add(importlib.import_module(f"{module}.{name}").__name__)
        else:
            modules.add(module)
    assert len(modules) <= 15, sorted(modules)
