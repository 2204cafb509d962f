"""Records say from what a figure came, and lie beside it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from ourgan._core import provenance
from ourgan._core.errors import OurganError
from ourgan._core.provenance import record, save_figure

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


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_figure_and_sidecar(tmp_path, suffix):
    figure, axes = plt.subplots()
    axes.plot([0, 1])
    path = tmp_path / "figures" / f"fig7{suffix}"
    save_figure(figure, path, {"figure": "7"})
    plt.close(figure)
    with Image.open(path) as image:
        assert np.asarray(image.convert("L")).min() < 100 < np.asarray(image.convert("L")).mean()
    assert json.loads((tmp_path / "figures/fig7.json").read_text()) == {"figure": "7"}

    picture = Image.new("RGB", (30, 20), "red")
    save_figure(picture, path, {"figure": "8"})
    with Image.open(path) as image:
        assert image.size == (30, 20)
    assert json.loads((tmp_path / "figures/fig7.json").read_text()) == {"figure": "8"}
    assert len(list(path.parent.iterdir())) == 2


def test_figure_that_cannot_be_written_is_one_line(tmp_path):
    picture = Image.new("RGB", (3, 2))
    (tmp_path / "file").touch()
    for path, words in ((tmp_path / "a.svg", "written as"), (tmp_path / "file/a.png", "cannot be written")):
        with pytest.raises(OurganError, match=words) as caught:
            save_figure(picture, path, {})
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError):
        save_figure(picture, tmp_path / "a.png", {"path": tmp_path})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
