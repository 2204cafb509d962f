"""Numbers about pictures: SIFID, LPIPS and what stands in for them offline, layout and variety.

Each metric of `ourgan evaluate` and `ourgan benchmark` is a line of `registry.METRICS`. This room may import
`weights`, `io`, `models` and `_core`, and knows of no training and no pipeline.
"""

from ourgan._core.lazy import lazy

# Neither `lpips` nor `sifid`, which are names of modules: `from ourgan.metrics.lpips import lpips`.
__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "layout": [
            "distance_to_photo",
            "diversity",
            "row_colour_error",
            "row_distances",
            "row_distribution_distance",
        ],
        "lpips": ["mean_pairwise"],
        "registry": ["METRICS", "Metric", "find_metric"],
    },
)
