"""Files that hold pictures and models: photographs in, finished pictures and model directories out.

It may import `models`, `config` and `_core`, and knows of no training and no upscaling.
"""

from ourgan._core.lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "read": ["read_image"],
        "pixels": [
            "contact_sheet",
            "crop_middle",
            "from_uint8",
            "preview",
            "pyramid",
            "resize",
            "resize_to_width",
            "to_uint8",
            "write_image",
        ],
    },
)
