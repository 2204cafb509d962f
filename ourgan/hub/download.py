"""A model directory from the Hub: only a model's own files, each compared with the checksum listed there."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ourgan._core.files import sha256
from ourgan.hub.client import (
    COMMIT,
    PATIENCE,
    SHA256,
    HubError,
    HubUnreachable,
    ask,
    broken,
    check_name,
    hub_cache,
    is_inside,
    refusal,
)

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

logger = logging.getLogger("ourgan.hub")

NEEDED = ("config.json", "global.safetensors")
PATTERNS = ["config.json", "*.safetensors", "README.md", "*.jpg"]
NO_PATTERNS = ["*/*"]  # the client lets a * stand for a / too
NAME = re.compile(r"config\.json|README\.md|[\w.-]+\.(safetensors|jpg)", re.ASCII)


def download_model(
    repository: str,
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Path:
    """The directory, in the Hub's cache, of the model in `repository` ("user/repo").

    `revision`: a commit, tag or branch; the default branch where it is None. A commit that is in the cache
    costs no request; anything else is looked up, and where the Hub is out of reach the cached copy is used,
    with a warning. `endpoint` and `cache` replace the Hub's address and its client's cache directory.
    Raises HubError in one line: no such repository or revision, not a model, gated, out of reach, altered
    on the way, a full disk.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    check_name(repository)
    endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
    directory = hub_cache(cache)
    if revision and COMMIT.fullmatch(revision) and (found := _cached(repository, revision, directory)):
        return found
    api = HfApi(endpoint=endpoint)
    try:
        info = ask(
            lambda: api.model_info(repository, revision=revision, files_metadata=True, timeout=PATIENCE),
            endpoint,
        )
        return _fetch(repository, revision, info, endpoint, directory)
    except HubUnreachable as error:
        if found := _cached(repository, revision, directory):
            logger.warning("%s; using the copy of %s in the cache, %s", error, repository, found.name)
            return found
        at = f" --revision {revision}" if revision else ""
        raise HubUnreachable(
            f"{error} and {repository} (config.json, *.safetensors) is not in {directory}; "
            f"fetch it where there is a network with: hf download {repository}{at}"
        ) from error
    except HfHubHTTPError as error:
        raise refusal(error, repository, revision, endpoint) from error


def _fetch(repository: str, revision: str | None, info: ModelInfo, endpoint: str, cache: Path) -> Path:
    """Download what `info` lists of a model, each file compared with the checksum that it gives."""
    from huggingface_hub import snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    commit, checksums = str(info.sha), _listed(repository, info, endpoint)
    new = {
        name: checksum
        for name, checksum in checksums.items()
        if not isinstance(try_to_load_from_cache(repository, name, cache_dir=cache, revision=commit), str)
    }
    for name, checksum in new.items():
        _agree(repository, commit, name, checksum, endpoint)
    for attempt in (1, 2):
        try:
            found = Path(
                snapshot_download(
                    repository,
                    revision=revision,
                    endpoint=endpoint,
                    cache_dir=cache,
                    allow_patterns=PATTERNS,
                    ignore_patterns=NO_PATTERNS,
                )
            )
        except HfHubHTTPError:
            raise
        except Exception as error:  # also those of the client's HTTP library, which it has changed twice
            raise broken(error, repository, cache) from error
        if found.name != commit:
            raise HubError(f"{repository}: changed while it was fetched; try again")
        altered = [name for name, checksum in new.items() if _checksum(found / name, checksum) != checksum]
        for name in altered:
            (found / name).resolve().unlink()
            (found / name).unlink(missing_ok=True)
        if not altered:
            return found
        if attempt == 1:
            logger.warning("%s: %s differs from its checksum; fetching it again", repository, altered[0])
    raise HubError(
        f"{repository}: {altered[0]} differs twice from its checksum {new[altered[0]]}; "
        "refused: a mirror or proxy on the way may alter files"
    )


def _listed(repository: str, info: ModelInfo, endpoint: str) -> dict[str, str]:
    """Checksums of the model's files: SHA-256 of a large file, git's SHA-1 of a small one."""
    if not COMMIT.fullmatch(info.sha or ""):
        raise HubError(f"{repository}: {endpoint} names no commit; is it a Hub?")
    checksums = {}
    for sibling in info.siblings or ():
        name, checksum = sibling.rfilename, sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        if not is_inside(name):
            raise HubError(f"{repository}: lists a file {name!r} outside of itself; refused")
        if NAME.fullmatch(name):
            if not (SHA256 if sibling.lfs else COMMIT).fullmatch(checksum or ""):
                raise HubError(f"{repository}: {endpoint} lists {name} without a checksum; is it a Hub?")
            checksums[name] = str(checksum)
    for name in NEEDED:
        if name not in checksums:
            raise HubError(f"{repository}: has no {name} at {info.sha}, so it is no OUR-GAN model")
    return checksums


def _agree(repository: str, commit: str, name: str, checksum: str, endpoint: str) -> None:
    """Ask for a file's headers, from which the client makes names in its cache."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repository, name, revision=commit, endpoint=endpoint)
    answer = ask(lambda: get_hf_file_metadata(url, timeout=PATIENCE), endpoint)
    if (answer.commit_hash, answer.etag) != (commit, checksum):
        raise HubError(f"{repository}: {name} is announced with another checksum than listed; refused")


def _checksum(path: Path, like: str) -> str:
    if SHA256.fullmatch(like):
        return sha256(path)
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _cached(repository: str, revision: str | None, cache: Path) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            repository,
            revision=revision,
            cache_dir=cache,
            allow_patterns=PATTERNS,
            ignore_patterns=NO_PATTERNS,
            local_files_only=True,
        )
    except LocalEntryNotFoundError:
        return None
    return Path(found) if all((Path(found) / name).is_file() for name in NEEDED) else None
