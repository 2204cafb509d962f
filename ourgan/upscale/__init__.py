"""Steps 2 to 4 of the paper (Sec. 3.3, Eq. 4 to 8): a scene becomes a large picture, in tiles or in bands.

It may import `metrics`, `weights`, `io`, `models`, `config` and `_core`.
"""

from ourgan._core.lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "bands": ["upscale_in_bands"],
        "noise": ["noise_field"],
        "receptive_field": [
            "EffectiveReceptiveField",
            "TheoreticalReceptiveField",
            "effective",
            "mean_field",
            "theoretical",
        ],
        "schedule": ["BYTES_PER_OUTPUT_PIXEL"],
        "seams": [
            "SeamDifference",
            "level_difference",
            "measure_seams",
            "seam_difference",
            "smallest_overlap",
        ],
        "tiles": [
            "TilePlan",
            "add_noise",
            "choose_tile_plan",
            "concat",
            "split",
            "tile_cost",
            "trim",
            "upscale",
        ],
        "upscaler": ["starting_network"],
    },
)
