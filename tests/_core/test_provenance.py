"""Records say from what a figure came, and lie beside it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from ourgan._core import provenance
from ourgan._core.provenance import record

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A real git repository with one commit, which `record` takes for its own."""
    monkeypatch.setattr(provenance, "_CHECKOUT", tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def test_record_describes_code_machine_and_moment():
    made = record(figure="7", seed=3, device="cpu")
    assert made["figure"] == "7" and made["seed"] == 3
    assert made["ourgan"] == importlib.metadata.version("ourgan")
    assert made["torch"] == torch.__version__
    assert made["cpu_threads"] == torch.get_num_threads()
    assert made["device"] and made["device"] != "cpu"
    assert abs(datetime.fromisoformat(made["time"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert json.loads(json.dumps(made)) == made


def test_record_names_the_commit_and_whether_it_was_changed(checkout, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(ROOT / ".git"))  # as a hook of another repository would set it
    head = (checkout / ".git/refs/heads").glob("*")
    (commit,) = (path.read_text().strip() for path in head)
    assert re.fullmatch("[0-9a-f]{40}", commit)
    made = record()
    assert (made["commit"], made["dirty"]) == (commit, False)
    (checkout / "untracked.txt").touch()
    assert record()["dirty"] is False
    (checkout / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert record()["dirty"] is True


def test_record_without_git_says_null(checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(checkout))  # no git to be found
    assert (record()["commit"], record()["dirty"]) == (None, None)


def test_installed_copy_does_not_borrow_the_commit_around_it(checkout, monkeypatch):
    inside = checkout / "site-packages"
    inside.mkdir()
    monkeypatch.setattr(provenance, "_CHECKOUT", inside)
    assert record()["commit"] is None


def test_record_refuses_what_json_cannot_say_or_it_says_itself():
    with pytest.raises(TypeError):
        record(photo=Path("a.jpg"))
    with pytest.raises(ValueError, match="JSON"):
        record(loss=float("nan"))
    with pytest.raises(ValueError, match="commit, torch"):
        record(torch="2", commit="abc")
