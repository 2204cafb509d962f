"""The list of released weights: what each file is, where it lies, and how sure that is."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ourgan._core.errors import OurganError
from ourgan.hub.client import COMMIT, SHA256


class WeightsError(OurganError):
    """Weights that are absent, not what they claim to be, or unfit."""


@dataclass(frozen=True)
class Package:
    """Where an installed package keeps the same network.

    `format`: "ncnn", with its list of layers in `param`, or "flax". `install`: the arguments of pip.
    """

    distribution: str
    weights: str
    sha256: str
    format: str
    install: str
    param: str = ""


@dataclass(frozen=True)
class Released:
    """An entry of `registry.toml`: a file of one repository of the Hub, and the network it fits.

    `revision`: a commit, or empty where none is known: then the default branch is asked and the commit
    that it stands for is reported. `revision_seen`: the first digits of a commit seen to hold the file.
    `size` in bytes and `sha256`: 0 and empty where not known. `architecture`: RRDBNet or SwinIR, built
    with `arguments`; empty for plain parameters, which another library's network takes.
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
        """The command that puts the file into the Hub's cache."""
        command = f"hf download {self.repository} {self.file}"
        return f"{command} --revision {self.revision}" if self.revision else command


def read_registry() -> dict[str, Released]:
    """The entries of `registry.toml` by name."""
    return parse(importlib.resources.files("ourgan.weights").joinpath("registry.toml").read_text("utf-8"))


def parse(text: str) -> dict[str, Released]:
    """The entries of a registry's text by name.

    Raises WeightsError for a revision that is not a commit: what a branch name means can change, and
    with it every figure.
    """
    entries = {}
    for name, fields in tomllib.loads(text).items():
        package = fields.pop("package", None)
        entry = Released(name=name, package=Package(**package) if package else None, **fields)
        if entry.revision and not COMMIT.fullmatch(entry.revision):
            raise WeightsError(
                f"registry.toml: {name}: revision {entry.revision!r} is no commit of 40 hexadecimal digits; "
                "a branch can move, so name a commit or leave it empty"
            )
        if entry.sha256 and not SHA256.fullmatch(entry.sha256):
            raise WeightsError(f"registry.toml: {name}: sha256 {entry.sha256!r} is not 64 hexadecimal digits")
        entries[name] = entry
    return entries
