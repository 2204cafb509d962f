"""A sample of step 1 redrawn from the photo's own pixels: patches found, voted, and carried to any size.

Pure functions on uint8 and integer arrays, exact on any number of threads; imports nothing but `_core`.
"""

from ourgan._core.lazy import lazy

# Not `project`, `carry` and `copying`, which are names of modules.
__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "carry": ["bands", "components", "pieces_of"],
        "copying": ["correspondences", "measured"],
        "project": ["Schedule", "coarse_to_fine", "refine"],
        "search": ["Distance", "random_field", "resized", "sources_of", "sweep", "vote"],
    },
)
