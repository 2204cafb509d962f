"""Check that text files end well and that TOML, YAML and JSON can be read.

    python tools/check_text.py [FILE ...]

Without files: all that git tracks. Prints a line for each fault and exits with 1 then: trailing space (but
for the two of Markdown), no newline at the end or several, a mark of a merge conflict, a file that its
format's parser refuses, a file that is too large.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

MOST_BYTES = 8_000_000  # the shipped models are the largest files that belong here
PARSERS: dict[str, Callable[[str], object]] = {
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".ipynb": json.loads,
    ".yml": yaml.safe_load,
    ".yaml": yaml.safe_load,
    ".cff": yaml.safe_load,
}


def faults(path: Path) -> Iterator[str]:
    """Yield what is wrong with a file; nothing for a binary one."""
    if path.stat().st_size > MOST_BYTES:
        yield f"more than {MOST_BYTES:,} bytes"
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return
    if "\0" in text or not text:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line != line.rstrip() and not (path.suffix == ".md" and re.search(r"\S  $", line)):
            yield f"line {number}: trailing space"
        if re.match(r"(<{7}|>{7}) |={7}$", line):
            yield f"line {number}: a mark of a merge conflict"
    if not re.search(r"[^\n]\n\Z", text):
        yield "its end is not one newline"
    if parse := PARSERS.get(path.suffix):
        try:
            parse(text)
        except (ValueError, yaml.YAMLError) as error:
            yield " ".join(str(error).split())


def main(names: list[str]) -> int:
    """Print the faults of these files, or of all that git tracks; return the exit code."""
    if not names:
        listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True, text=True)
        names = listed.stdout.split("\0")
    names = [name for name in names if Path(name).is_file() and not name.endswith(".min.js")]
    lines = [f"{name}: {fault}" for name in names for fault in faults(Path(name))]
    print("\n".join(lines), end="\n" if lines else "")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
