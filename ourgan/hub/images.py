"""Images of a data set on the Hub, to pre-train super-resolution on."""

from __future__ import annotations

import os
from pathlib import Path

from ourgan.hub.client import (
    PATIENCE,
    HubError,
    HubUnreachable,
    ask,
    broken,
    check_name,
    hub_cache,
    said,
)

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")


def download_images(
    repository: str,
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Path:
    """The directory, in the Hub's cache, of the image files of the data set `repository` ("user/dataset").

    Only files that are images are fetched; a data set that keeps them inside parquet files or archives has
    none. Raises HubError in one line: no such data set, none of its files is an image, out of reach.
    """
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    check_name(repository)
    endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
    directory = hub_cache(cache)
    api = HfApi(endpoint=endpoint)
    try:
        info = ask(lambda: api.dataset_info(repository, revision=revision, timeout=PATIENCE), endpoint)
    except HubUnreachable as error:
        raise HubUnreachable(
            f"{error}; fetch the images of {repository} where there is a network with: "
            f"hf download --repo-type dataset {repository}, and give their folder"
        ) from error
    except HfHubHTTPError as error:
        raise HubError(
            f"{repository}: no data set that you may read is there ({said(error)}); check its name, or log "
            "in with `hf auth login`"
        ) from error
    if not any(sibling.rfilename.lower().endswith(SUFFIXES) for sibling in info.siblings or ()):
        raise HubError(
            f"{repository}: none of its files is an image ({', '.join(SUFFIXES)}); unpack its archives or "
            "parquet files into a folder, and give that"
        )
    try:
        found = snapshot_download(
            repository,
            repo_type="dataset",
            revision=info.sha,
            endpoint=endpoint,
            cache_dir=directory,
            allow_patterns=[f"*{form}" for suffix in SUFFIXES for form in (suffix, suffix.upper())],
        )
    except Exception as error:  # also those of the client's HTTP library, which it has changed twice
        raise broken(error, repository, directory) from error
    return Path(found)
