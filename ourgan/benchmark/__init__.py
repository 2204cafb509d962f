"""`ourgan evaluate` and `ourgan benchmark`: the paper's Tables 2 to 4 again, and whether fine-tuning helps.

It may import every room below the notebooks and the explorer; nothing but these and the command imports it.
"""

from ourgan._core.lazy import lazy

# Not `evaluate`, which is a module's name here: `from ourgan import evaluate`.
__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "config": ["Plan"],
        "holdout": [
            "bicubic_upscaler",
            "evaluate_upscaler",
            "holdout_pairs",
            "most_textured",
            "network_upscaler",
            "split_photo",
        ],
        "memory": ["table_2"],
        "memory_probe": ["measure_synthesis", "measure_training", "memory_trace"],
        "paper": ["STEPS", "TRAINED_AT_1K"],
        "photo_sets": ["load_set"],
        "run": ["benchmark"],
    },
)
