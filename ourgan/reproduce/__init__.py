"""`ourgan reproduce`, and what the notebooks share: their beginning and end, their figures.

It may import every room but the explorer, which is beside it, and the command line; no room imports it.
"""

from pathlib import Path

from ourgan._core.lazy import lazy

ROOT = Path(__file__).parents[2]  # the checkout, with notebooks, photos and models

__getattr__, __dir__, __all__ = lazy(
    __name__, {"chapter": ["PHOTOS", "begin", "table"], "runner": ["reproduce"]}
)
