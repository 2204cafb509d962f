"""Drawings and contact sheets of the notebooks: they show what was measured elsewhere.

`draw_*` return a matplotlib figure, `*_sheet` a contact sheet. They may import what `ourgan.reproduce` may.
"""

from ourgan._core.lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "receptive_field": [
            "NORMS",
            "PAPER_RADII",
            "draw_effective_field",
            "draw_network_shares",
            "draw_radius_over_crop",
            "draw_shares",
            "draw_theoretical_fields",
        ],
        "tiles": [
            "draw_difference_maps",
            "draw_network_seams",
            "draw_seams",
            "draw_split",
            "draw_tile_cost",
            "seam_crop_sheet",
        ],
        "generators": [
            "ablation_sheet",
            "draw_disagreement",
            "draw_losses",
            "draw_pyramid",
            "draw_row_brightness",
            "draw_row_distances",
            "edit_sheet",
            "generator_sheet",
            "paint_landscape",
        ],
        "photo_detail": ["draw_matches", "draw_search", "pieces_sheet", "source_sheet"],
        "super_resolution": [
            "comparison_sheet",
            "degradation_sheet",
            "draw_budgets",
            "draw_memory",
            "draw_noise",
            "draw_training",
            "meeting_sheet",
            "window_sheet",
        ],
    },
)
