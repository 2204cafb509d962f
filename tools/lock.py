"""Write requirements.lock: every package of `make .venv`, with the checksums of all its files.

    pip install uv && python tools/lock.py

Run it after a change of pyproject.toml or constraints.txt. `make .venv LOCKED=1` installs from it, and pip
refuses what has another checksum. For Python 3.11 on Linux, as constraints.txt is.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEADER = "# Written by tools/lock.py: the versions of constraints.txt, with the checksums of their files.\n"
# 3.11.9, because some of the pinned packages refuse the first releases of 3.11.
COMMAND = (
    "uv pip compile pyproject.toml --extra dev --constraint constraints.txt --generate-hashes --no-annotate "
    "--no-header --python-version 3.11.9 --python-platform x86_64-unknown-linux-gnu --quiet"
)


def main() -> None:
    """Ask the package index for the checksums and write the file."""
    done = subprocess.run(COMMAND.split(), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    (ROOT / "requirements.lock").write_text(HEADER + done.stdout)


if __name__ == "__main__":
    main()
