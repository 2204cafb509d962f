"""The public names: they resolve, say what they take, and cost nothing before somebody asks for them."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import ourgan

ROOMS = ["ourgan", "ourgan.reproduce", "ourgan.reproduce.figures"]
HEAVY = ("torch", "numpy", "matplotlib", "PIL", "ipywidgets", "IPython", "pandas")


def loads(code: str, *modules: str) -> list[str]:
    """Which of `modules` a fresh interpreter has loaded after `code`."""
    ask = f"{code}; import sys; print(*(m for m in {modules!r} if m in sys.modules))"
    return subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True
    ).stdout.split()


def test_the_list_is_flat() -> None:
    names = {"OurGAN", "evaluate", "Explorer", "read_image", "load_profile", "OurganError"}
    assert set(ourgan.__all__) == names == set(dir(ourgan))
    with pytest.raises(AttributeError, match=r"module 'ourgan' has no attribute 'GAN'"):
        _ = ourgan.GAN


@pytest.mark.parametrize("name", ourgan.__all__)
def test_each_says_what_it_takes(name: str) -> None:
    thing = getattr(ourgan, name)
    assert thing.__doc__ and thing.__doc__.split("\n")[0].endswith(".")


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_resolves(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__doc__ and module.__all__
    for name in module.__all__:
        assert not inspect.ismodule(getattr(module, name)), f"{room}.{name} is taken by a module"


def test_importing_a_room_is_cheap() -> None:
    assert loads("; ".join(f"import {room}" for room in ROOMS), *HEAVY) == []


def test_a_picture_needs_no_drawing_library() -> None:
    assert loads("import ourgan.pipeline", "torch", "matplotlib", "pandas", "IPython") == ["torch"]
