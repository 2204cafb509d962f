"""Models on the Hugging Face Hub: a model directory from there, and one to there.

A repository of kind "model" holds the files of a model directory at its top. Nothing but these files is
fetched or sent.
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
