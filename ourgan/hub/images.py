"""Download of the images of a data set on the Hub."""

from __future__ import annotations

import os
from pathlib import Path

from ourgan._core.files import PICTURES
from ourgan.hub.client import (
    PATIENCE,
    HubError,
    HubUnreachable,
    ask,
    check_name,
    describe_status,
    explain_failure,
    hub_cache,
)


def download_images(
    repository: str,
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Path:
    """Download the image files of a data set; return their directory in the Hub's cache.

    A data set that keeps its images inside parquet files or archives has no image files.

    Args:
        repository: "user/dataset".
        revision: a commit, tag or branch; the default branch where it is None.
        endpoint: the Hub's address, if it is another than its client's.
        cache: the cache directory, if it is another than that of the Hub's client.

    Raises:
        HubError: no such data set, none of its files is an image, out of reach.
    """
    from huggingface_hub import constants, snapshot_download

    check_name(repository)
    endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
    cache = hub_cache(cache)
    commit = _commit_with_images(repository, revision, endpoint)
    try:
        directory = snapshot_download(
            repository,
            repo_type="dataset",
            revision=commit,
            endpoint=endpoint,
            cache_dir=cache,
            allow_patterns=[f"*{form}" for suffix in PICTURES for form in (suffix, suffix.upper())],
        )
    except Exception as error:  # also those of the client's HTTP library, which it has changed twice
        raise explain_failure(error, repository, cache) from error
    return Path(directory)


def _commit_with_images(repository: str, revision: str | None, endpoint: str) -> str | None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

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
            f"{repository}: no data set that you may read is there ({describe_status(error)}); check its "
            "name, or log in with `hf auth login`"
        ) from error
    if not any(sibling.rfilename.lower().endswith(PICTURES) for sibling in info.siblings or ()):
        raise HubError(
            f"{repository}: none of its files is an image ({', '.join(PICTURES)}); unpack its archives or "
            "parquet files into a folder, and give that"
        )
    return info.sha
