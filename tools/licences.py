"""Writes docs/licences.md: every pinned package, its version and licence, as its own metadata says.

    python tools/licences.py [--check]

Reads constraints.txt and what is installed here; nothing is fetched. `--check` writes nothing, and exits with
1 where the page is not what it would be.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
LONGEST = 60  # characters: some packages put the whole text into the field
NOT_SAID = "not said in its metadata"
HEAD = """# Licences of what this project installs

Written by `python tools/licences.py` from each package's own metadata, for the versions of `constraints.txt`.
It repeats what the packages say, and is no legal advice. Packages that are pinned but not installed on the
machine that wrote this page are listed as such.

| package | version | licence |
|---|---|---|
"""


def pins() -> dict[str, str]:
    """Name -> version, of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==", 1) for line in lines if line and not line.startswith("#"))


def licence(name: str) -> str:
    """Return what the package says: its expression, else its field if that is short, else its classifiers."""
    metadata = importlib.metadata.metadata(name)
    field = " ".join((_first(metadata, "License")).split())
    classifiers = [
        text.rsplit(" :: ", 1)[1]
        for text in metadata.get_all("Classifier") or []
        if text.startswith("License :: ") and text.count(" :: ") > 1
    ]
    short = field if 0 < len(field) <= LONGEST and field.upper() != "UNKNOWN" else ""
    return _first(metadata, "License-Expression") or short or ", ".join(classifiers) or NOT_SAID


def _first(metadata: importlib.metadata.PackageMetadata, field: str) -> str:
    return str((metadata.get_all(field) or [""])[0])


def page() -> str:
    """Return the whole page."""
    rows, unsaid = [], []
    for name, version in sorted(pins().items()):
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            rows.append(f"| {name} | {version} | not installed here |")
            continue
        said = licence(name) if installed == version else f"version {installed} is installed here"
        unsaid += [name] if said == NOT_SAID else []
        rows.append(f"| {name} | {version} | {re.sub(r'[|]', '/', said)} |")
    tail = f"\nWithout a word on it in their metadata: {', '.join(unsaid)}.\n" if unsaid else ""
    return HEAD + "\n".join(rows) + "\n" + tail


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(PAGE.read_text() != page())
    PAGE.write_text(page())
