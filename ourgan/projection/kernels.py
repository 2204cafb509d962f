"""The compiled loops where numba is installed, those in numpy where not; rows shared among threads."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

CHOICE = "OURGAN_KERNELS"  # "numba" or "numpy"; without it, numba where it is installed


def is_compiled() -> bool:
    """Return whether the loops are numba's: without it they are slower, not different."""
    return os.environ.get(CHOICE, "numba") == "numba" and importlib.util.find_spec("numba") is not None


def search_loops() -> ModuleType:
    """Return the module with `sweep` and `vote`."""
    if is_compiled():
        from ourgan.projection import compiled_search

        return compiled_search
    from ourgan.projection import plain_search

    return plain_search


def carry_loops() -> ModuleType:
    """Return the module with `cut`, `seams` and `relax`."""
    if is_compiled():
        from ourgan.projection import compiled_carry

        return compiled_carry
    from ourgan.projection import plain_carry

    return plain_carry


def gather_loop() -> Callable[..., None]:
    """Return `gather`."""
    if is_compiled():
        from ourgan.projection.compiled_gather import gather
    else:
        from ourgan.projection.plain_carry import gather
    return gather


def over_rows(loop: Callable[..., None], height: int, *arguments: Any, threads: int = 1) -> None:
    """Run `loop(first, last, *arguments)` for rows 0 to `height`, in `threads` shares at a time.

    Threads of our own and not numba's: its layers abort a process in which two threads start loops at once.
    """
    shares = max(1, min(threads, height // 16))
    if shares == 1:
        loop(0, height, *arguments)
        return
    edges = [height * n // shares for n in range(shares + 1)]
    with ThreadPoolExecutor(shares) as pool:
        for share in [pool.submit(loop, *edge, *arguments) for edge in itertools.pairwise(edges)]:
            share.result()
