"""OurGAN.push_to_hub and from_pretrained("user/repo"), as a person calls them, against a loopback Hub."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub.server import TOKEN, Hub, serve

from ourgan import OurGAN, OurganError
from ourgan.io.model_dir import ModelError

MODEL = Path(__file__).parents[2] / "data" / "models" / "picos-de-europa"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as running:
        yield running


def process(hub: Hub, home: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, since the Hub's client reads its settings when it is imported."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1", "OURGAN_WEIGHTS": "package", **settings,
    }  # fmt: skip
    command = [sys.executable, *command]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_model_that_was_pushed_draws_the_same_pulled_and_again_offline(hub: Hub, tmp_path: Path) -> None:
    code = """
import sys
from ourgan import OurGAN
mine = OurGAN.from_pretrained(sys.argv[1], device="cpu")
print(mine.push_to_hub("someone/picos").rsplit("/", 1)[1])
pulled = OurGAN.from_pretrained("someone/picos", device="cpu")
assert pulled.directory != mine.directory and pulled.metadata == mine.metadata
assert pulled.sample(7).equal(mine.sample(7))
"""
    pushed = process(hub, tmp_path, "-c", code, str(MODEL))
    assert pushed.returncode == 0, pushed.stderr
    commit = pushed.stdout.strip()
    assert hub.repositories["model", "someone/picos"].commits[-1].oid == commit
    hub.requests.clear()
    code = """
import sys
from ourgan import OurGAN
again = OurGAN.from_pretrained("someone/picos", revision=sys.argv[2], device="cpu")
assert again.sample(7).equal(OurGAN.from_pretrained(sys.argv[1], device="cpu").sample(7))
"""
    pulled = process(hub, tmp_path, "-c", code, str(MODEL), commit, HF_HUB_OFFLINE="1")
    assert pulled.returncode == 0, pulled.stderr
    assert hub.requests == []


@pytest.mark.slow
def test_a_picture_in_parts_of_a_model_by_its_name_on_the_hub(hub: Hub, tmp_path: Path) -> None:
    push = """
import sys
from ourgan import OurGAN
OurGAN.from_pretrained(sys.argv[1]).push_to_hub("someone/picos")
"""
    assert process(hub, tmp_path, "-c", push, str(MODEL)).returncode == 0
    files: list[Path] = []
    parts = ["--parts", "3", "--workers", "1"]
    for model, options in ((str(MODEL), ["--method", "stream"]), ("someone/picos", parts)):
        files.append(tmp_path / f"{len(files)}.tif")
        command = ["synthesize", model, "--size", "1k", "--width", "16", "--out", str(files[-1]), *options]
        drawn = process(hub, tmp_path, "-m", "ourgan", *command)
        assert drawn.returncode == 0, drawn.stderr
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
def test_a_refusal_reaches_the_command_line_in_one_line(hub: Hub, tmp_path: Path) -> None:
    out = str(tmp_path / "scene.tif")
    refused = process(hub, tmp_path, "-m", "ourgan", "synthesize", "someone/absent", "--out", out)
    assert refused.returncode == 2
    lines = refused.stderr.strip().splitlines()
    assert len(lines) == 1 and "someone/absent" in lines[0]
    assert not (tmp_path / "scene.tif").exists()


def test_a_directory_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(MODEL, tmp_path / "someone/picos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ourgan.hub.download_model", None)
    OurGAN.from_pretrained("someone/picos", device="cpu")


def test_what_is_neither_is_said_so() -> None:
    with pytest.raises(ModelError, match="no such model directory"):
        OurGAN.from_pretrained("no/such/path")
    loaded = dataclasses.replace(OurGAN.from_pretrained(MODEL, device="cpu"), directory=None)
    with pytest.raises(OurganError, match="lies in no directory"):
        loaded.push_to_hub("someone/picos")
