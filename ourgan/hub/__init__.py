"""Models and data sets on the Hugging Face Hub: downloads with checksums, and the upload of a model.

This room may import `_core` alone. A repository of kind "model" has the files of a model directory at its
top; nothing but these files is downloaded or uploaded.
"""

from ourgan.hub.client import HubError, HubUnreachable, looks_like_repository
from ourgan.hub.download import download_model
from ourgan.hub.images import download_images
from ourgan.hub.upload import upload_model

__all__ = [
    "HubError",
    "HubUnreachable",
    "download_images",
    "download_model",
    "looks_like_repository",
    "upload_model",
]
