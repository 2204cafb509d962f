"""Records of how a figure, a picture or a number was made, so that anybody can make it again."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import ourgan

_CHECKOUT = Path(__file__).parents[2]


def record(**what: Any) -> dict[str, Any]:
    """Return a record of code, versions, machine and UTC time, followed by `what` was done.

    Args:
        what: what was done, in plain JSON values. `device`, a torch device or its name, is replaced by the
            device's full name.

    Returns:
        `ourgan` (version), `commit` (40 hex digits, or null outside a git checkout), `dirty` (whether
        tracked files differ from it, or null), `python`, `torch`, `device`, `cpu_threads`, `time`; then
        `what`.

    Raises:
        TypeError: `what` does not fit into JSON.
        ValueError: it has a value that is not finite, or one of the other keys.
    """
    device = torch.device(what.pop("device", "cuda" if torch.cuda.is_available() else "cpu"))
    commit, dirty = _commit(_CHECKOUT)
    facts = {
        "ourgan": ourgan.__version__,
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device_name(device),
        "cpu_threads": torch.get_num_threads(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if taken := sorted(facts.keys() & what.keys()):
        raise ValueError(f"a record says these itself: {', '.join(taken)}")
    json.dumps(what, allow_nan=False)
    return {**facts, **what}


def device_name(device: torch.device) -> str:
    """Return the name by which a reader knows a device: the GPU's, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit(checkout: Path) -> tuple[str | None, bool | None]:
    # An installed copy may lie inside somebody else's repository, whose commit would say nothing about it.
    if not ((checkout / ".git").exists() and (checkout / "pyproject.toml").exists()):
        return None, None
    # Inside a git hook these would point to another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    try:
        return git("rev-parse", "HEAD").strip(), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None  # no git here, or no commit yet
