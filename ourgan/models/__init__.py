"""What draws and enlarges: layers, forward passes, and a search of patches. No files, no training.

They may import `projection`, `config` and `_core`.
"""

from ourgan._core.lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "coordconv": ["VerticalCoordConv2d", "coordinate_plane"],
        "rrdbnet": ["RRDBNet"],
        "swinir": ["SwinIR"],
    },
)
