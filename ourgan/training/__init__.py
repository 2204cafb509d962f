"""From a photo to a model directory: Alg. F.1 to F.5, their losses, and runs that survive being killed.

May import every room but `benchmark`, `reproduce`, `explorer` and `cli`; open `train.py` first.
"""

from ourgan._core.lazy import lazy

# Neither `train` nor `finetune`, which are names of modules: `from ourgan import train`.
__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "checkpoint": ["read_log"],
        "degradation": ["bicubic_downscale", "bsrgan"],
        "scales": ["ScaleTrainer", "sample_sheet", "train_global_structure"],
        "seeds": ["stream"],
        "super_resolution": ["SuperResolutionTrainer"],
    },
)
