"""Download of a model from the Hub: its own files, each with its checksum."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ourgan._core.files import PHOTOS, sha256
from ourgan.hub.client import (
    COMMIT,
    PATIENCE,
    SHA256,
    HubError,
    HubUnreachable,
    ask,
    check_name,
    explain_failure,
    explain_refusal,
    hub_cache,
    is_inside,
)

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

logger = logging.getLogger("ourgan.hub")

NEEDED = ("config.json", "global.safetensors")
MODEL_PATTERNS = ["config.json", "*.safetensors", "README.md", "*.jpg", *PHOTOS]
OTHER_PATTERNS = ["*/*"]  # the client lets a * stand for a / too
NAME = re.compile(r"config\.json|README\.md|[\w.-]+\.(safetensors|jpg)|photo\.(png|tif|webp)", re.ASCII)


def download_model(
    repository: str,
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Path:
    """Download the model in `repository`; return its directory in the Hub's cache.

    A commit that is in the cache costs no request; anything else is looked up, and where the Hub is out of
    reach the cached copy is used, with a warning.

    Args:
        repository: "user/repo".
        revision: a commit, tag or branch; the default branch where it is None.
        endpoint: the Hub's address, if it is another than its client's.
        cache: the cache directory, if it is another than that of the Hub's client.

    Raises:
        HubError: no such repository or revision, not a model, gated, out of reach, altered on the way, a
            full disk.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    check_name(repository)
    endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
    cache = hub_cache(cache)
    if revision and COMMIT.fullmatch(revision) and (directory := _find_in_cache(repository, revision, cache)):
        return directory
    api = HfApi(endpoint=endpoint)
    try:
        info = ask(
            lambda: api.model_info(repository, revision=revision, files_metadata=True, timeout=PATIENCE),
            endpoint,
        )
        return _fetch(repository, revision, info, endpoint, cache)
    except HubUnreachable as error:
        if directory := _find_in_cache(repository, revision, cache):
            logger.warning("%s; using the copy of %s in the cache, %s", error, repository, directory.name)
            return directory
        at = f" --revision {revision}" if revision else ""
        raise HubUnreachable(
            f"{error} and {repository} (config.json, *.safetensors) is not in {cache}; "
            f"fetch it where there is a network with: hf download {repository}{at}"
        ) from error
    except HfHubHTTPError as error:
        raise explain_refusal(error, repository, revision, endpoint) from error


def _fetch(repository: str, revision: str | None, info: ModelInfo, endpoint: str, cache: Path) -> Path:
    """Download what `info` lists of a model, each file compared with the checksum that it gives."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    commit, checksums = str(info.sha), _list_checksums(repository, info, endpoint)
    new = {
        name: checksum
        for name, checksum in checksums.items()
        if not isinstance(try_to_load_from_cache(repository, name, cache_dir=cache, revision=commit), str)
    }
    for name, checksum in new.items():
        _check_announced(repository, commit, name, checksum, endpoint)
    for attempt in (1, 2):
        try:
            directory = _snapshot(repository, revision, cache, endpoint=endpoint)
        except HfHubHTTPError:
            raise
        except Exception as error:  # also those of the client's HTTP library, which it has changed twice
            raise explain_failure(error, repository, cache) from error
        if directory.name != commit:
            raise HubError(f"{repository}: changed while it was fetched; try again")
        altered = [name for name, checksum in new.items() if _hash(directory / name, checksum) != checksum]
        for name in altered:
            (directory / name).resolve().unlink()
            (directory / name).unlink(missing_ok=True)
        if not altered:
            return directory
        if attempt == 1:
            logger.warning("%s: %s differs from its checksum; fetching it again", repository, altered[0])
    raise HubError(
        f"{repository}: {altered[0]} differs twice from its checksum {new[altered[0]]}; "
        "refused: a mirror or proxy on the way may alter files"
    )


def _snapshot(repository: str, revision: str | None, cache: Path, **options: Any) -> Path:
    """Download the files of a model that are not in the cache yet; return their directory."""
    from huggingface_hub import snapshot_download

    directory: str = snapshot_download(
        repository,
        revision=revision,
        cache_dir=cache,
        allow_patterns=MODEL_PATTERNS,
        ignore_patterns=OTHER_PATTERNS,
        **options,
    )
    return Path(directory)


def _list_checksums(repository: str, info: ModelInfo, endpoint: str) -> dict[str, str]:
    """Return the checksums of the model's files: SHA-256 of a large file, git's SHA-1 of a small one."""
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
            raise HubError(f"{repository}: has no {name} at {info.sha}, so it is not an OUR-GAN model")
    return checksums


def _check_announced(repository: str, commit: str, name: str, checksum: str, endpoint: str) -> None:
    """Compare a file's headers, from which the client makes names in its cache, with what was listed."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repository, name, revision=commit, endpoint=endpoint)
    answer = ask(lambda: get_hf_file_metadata(url, timeout=PATIENCE), endpoint)
    if (answer.commit_hash, answer.etag) != (commit, checksum):
        raise HubError(f"{repository}: {name} is announced with another checksum than listed; refused")


def _hash(path: Path, like: str) -> str:
    if SHA256.fullmatch(like):
        return sha256(path)
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _find_in_cache(repository: str, revision: str | None, cache: Path) -> Path | None:
    """Return the copy of a revision; of the default branch the newest that is whole, as the log then says."""
    from huggingface_hub.errors import LocalEntryNotFoundError
    from huggingface_hub.file_download import repo_folder_name

    try:
        directory = _snapshot(repository, revision, cache, local_files_only=True)
        if _is_whole(directory):
            return directory
    except LocalEntryNotFoundError:
        pass
    if revision is not None:
        return None
    folder = cache / repo_folder_name(repo_id=repository, repo_type="model") / "snapshots"
    whole = [snapshot for snapshot in folder.glob("*") if _is_whole(snapshot)]
    if not whole:
        return None
    logger.warning("%s: its newest version was not fetched whole; an earlier one serves", repository)
    return max(whole, key=lambda snapshot: snapshot.stat().st_mtime)


def _is_whole(directory: Path) -> bool:
    """Return whether a copy has the files of a model, those of the steps that its config.json names too."""
    if not all((directory / name).is_file() for name in NEEDED):
        return False
    try:
        steps = json.loads((directory / "config.json").read_bytes())["steps"]
        return all((directory / f"sr{int(step)}.safetensors").is_file() for step in steps)
    except (ValueError, KeyError, TypeError):
        return True  # names no steps; whether it is a model's is seen when it is read
