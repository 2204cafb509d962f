"""Steps 2 to 4 of the paper (Sec. 3.3, Eq. 4 to 8): a scene becomes a large picture, in tiles or in bands.

It may import `weights`, `cluster`, `io`, `projection`, `models`, `config` and `_core`.
"""

from ourgan._core.lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "bands": ["BandPlan"],
        "noise": ["add_noise", "noise_field"],
        "parts": ["Parts"],
        "reach": ["TheoreticalReceptiveField", "theoretical"],
        "receptive_field": ["EffectiveReceptiveField", "effective", "mean_field"],
        "schedule": ["BYTES_PER_OUTPUT_PIXEL", "upscale"],
        "seams": [
            "SeamDifference",
            "level_difference",
            "measure_seams",
            "seam_difference",
            "smallest_overlap",
        ],
        "tiles": ["TilePlan", "choose_tile_plan", "concat", "split", "tile_cost", "trim"],
        "upscaler": ["Upscaler", "starting_network"],
    },
)
