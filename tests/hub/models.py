"""A model as the Hub sees it, and what the tests of both directions look at."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ourgan.hub import HubError

NAME = "someone/mountains"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = {
    "config.json": b"{}",
    "global.safetensors": b"twelve bytes",
    "README.md": b"# mountains",
    "samples.jpg": b"\xff\xd8\xff",
    "training/checkpoint.pt": b"a pickle",
    "notes.txt": b"not of a model",
    "deep/down.safetensors": b"neither",
}
TAKEN = {"config.json", "global.safetensors", "README.md", "samples.jpg"}


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def one_line(error: pytest.ExceptionInfo[HubError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def content(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }
