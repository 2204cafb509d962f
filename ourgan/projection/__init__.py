"""A sample of step 1 redrawn from the photo's own pixels: patches found, voted, and carried to any size.

Pure functions on uint8 and integer arrays, exact on any number of threads; imports nothing but `_core`.
"""

from ourgan._core.lazy import lazy

# Not `project`, `carry` and `copying`, which are names of modules.
__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "carry": ["Pieces", "bands", "components", "pieces_of"],
        "copying": ["Copying", "correspondences", "measured"],
        "project": ["Projection", "Schedule", "coarse_to_fine", "refine"],
        "search": ["UNIT", "Distance", "random_field", "resized", "sources_of", "sweep", "uses", "vote"],
    },
)
