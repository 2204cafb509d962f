"""Public names of a package that are imported when somebody asks for them.

    __getattr__, __dir__, __all__ = lazy(__name__, {"tiles": ["TilePlan", "split"], "noise": ["add_noise"]})

in an `__init__.py` makes `from ourgan.upscale import TilePlan` work, and costs nothing before that: neither
torch nor matplotlib is imported for a name that nobody uses, and no circle of imports can arise.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return what a package needs as `__getattr__`, `__dir__` and `__all__` (PEP 562).

    Args:
        package: full name of the package.
        names: public names by the module that defines them, a path below the package ("_core.errors").
    """
    modules = {name: f"{package}.{module}" for module, those in names.items() for name in those}

    def resolve(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(modules[name]), name)

    return resolve, lambda: sorted(modules), sorted(modules)
