"""F13, F14: model directories and weights that were made to do harm, or that are of another time."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hub.models import NAME, closed_port
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from released import Hostile, tiny_entry, tiny_state
from safetensors.torch import save, save_file
from tiny import structure
from torch import Tensor

from ourgan import weights
from ourgan._core.errors import OurganError
from ourgan.config import SuperResolutionConfig
from ourgan.hub import HubError, HubUnreachable, upload_model
from ourgan.io.model_dir import ModelMetadata, read_model
from ourgan.pipeline import OurGAN
from ourgan.training.scales import ScaleTrainer
from ourgan.upscale.upscaler import Upscaler

TINY = structure(
    width=24, min_width=16, vae_refinements=1, gan_stages=1, channels=4, layers=1, latent_channels=4,
    batch_size=1, iterations=1, dtype="float32",
)  # fmt: skip
fuzzed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
STRANGE = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=9),
    st.just([]), st.just({}), st.just([[]]), st.sampled_from(["../../etc/passwd", "\0", "9" * 5000]),
)  # fmt: skip


@pytest.fixture(scope="module")
def good(photo: Callable[..., Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with nothing wrong in it."""
    trainer = ScaleTrainer(photo(width=64), TINY, seed=3)
    while not trainer.finished:
        trainer.step()
    directory = tmp_path_factory.mktemp("good")
    OurGAN(
        trainer.generator, Upscaler(SuperResolutionConfig()), ModelMetadata(photo="a.jpg")
    ).save_pretrained(directory)
    return directory


@pytest.fixture
def model(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "model")
    return tmp_path / "model"


def refused(directory: Path, words: str = "") -> None:
    began = time.process_time()
    with pytest.raises(OurganError, match=words) as caught:
        read_model(directory)
    assert str(directory) in str(caught.value) and "\n" not in str(caught.value)
    assert time.process_time() - began < 10


def changed(table: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    table = copy.deepcopy(table)
    place: Any = table
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return table


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["format"], 4, "update ourgan"),
        (["global_structure", "novelty"], 1, "unknown key 'novelty'"),
        (["global_structure", "channels"], 10**9, r"channels is 1000000000: it must be at most"),
        (["global_structure", "channels"], 4096, r"global\.safetensors: too small for the [\d,]+ numbers"),
        (["global_structure", "gan_stages"], 10**9, "gan_stages is 1000000000: it must be at most"),
        (["global_structure", "layers"], 10**9, "layers is 1000000000: it must be at most"),
        (["global_structure", "width"], 10**9, "width is 1000000000: it must be at most"),
        (["noise_amplitudes"], [1.0] * 10**6, "noise_amplitudes must be 1 to 3 finite numbers"),
        (["noise_amplitudes"], [1.0, float("nan"), 1.0], "noise_amplitudes must be 1 to 3 finite numbers"),
        (["aspect_ratio"], 1e300, "aspect_ratio 1e\\+300 is not that of a photo"),
        (["aspect_ratio"], float("nan"), "aspect_ratio nan is not that of a photo"),
        (["aspect_ratio"], 10**400, "not a model's configuration"),
        (["super_resolution", "weights"], "/etc/passwd", "unknown weights '/etc/passwd'"),
        (["super_resolution", "noise_std"], float("nan"), "noise_std is nan"),
        (["steps"], {"../2": {}}, "not a model's configuration"),
        (["steps"], {"7": {}}, "missing|steps"),
    ],
)
def test_a_configuration_that_no_training_wrote(model: Path, path: list[str], value: Any, words: str) -> None:
    table = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(changed(table, *path, value=value)))
    refused(model, words)


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 9, "\x00", "﻿{}", "1e999", '"' + "x" * 10_000])
def test_a_configuration_that_is_no_table(model: Path, text: str) -> None:
    (model / "config.json").write_text(text)
    refused(model, "config.json")


def _places(table: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(table, dict):
        return [path, *(p for key, value in table.items() for p in _places(value, (*path, key)))]
    if isinstance(table, list):
        return [path, *(p for key, value in enumerate(table) for p in _places(value, (*path, key)))]
    return [path]


@fuzzed
@given(data=st.data())
def test_any_strange_value_is_taken_or_refused_in_one_line(
    model: Path, good: Path, data: st.DataObject
) -> None:
    table = json.loads((good / "config.json").read_text())
    place = data.draw(st.sampled_from(_places(table)[1:]))
    (model / "config.json").write_text(json.dumps(changed(table, *place, value=data.draw(STRANGE))))
    try:
        read_model(model)
    except OurganError as error:
        assert str(model) in str(error) and "\n" not in str(error)


@fuzzed
@given(data=st.data())
def test_a_mutated_header_is_read_or_refused_in_one_line(
    model: Path, good: Path, data: st.DataObject
) -> None:
    whole = bytearray((good / "global.safetensors").read_bytes())
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    for at in data.draw(st.lists(st.integers(0, end - 1), min_size=1, max_size=4)):
        whole[at] = data.draw(st.integers(0, 255))
    (model / "global.safetensors").write_bytes(whole)
    try:
        read_model(model)
    except OurganError as error:
        assert str(model) in str(error) and "\n" not in str(error)


def header(**tensors: Any) -> bytes:
    """A safetensors file of this header and 64 bytes of zeros."""
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + bytes(64)


F32 = {"dtype": "F32"}
LIES = {
    "huge shape": header(a={**F32, "shape": [2**62, 4], "data_offsets": [0, 64]}),
    "overflow": header(a={**F32, "shape": [2**63, 2**63], "data_offsets": [0, 64]}),
    "negative": header(a={**F32, "shape": [-16], "data_offsets": [0, 64]}),
    "beyond the file": header(a={**F32, "shape": [16], "data_offsets": [0, 2**60]}),
    "backwards": header(a={**F32, "shape": [16], "data_offsets": [64, 0]}),
    "overlapping": header(
        a={**F32, "shape": [16], "data_offsets": [0, 64]}, b={**F32, "shape": [8], "data_offsets": [32, 64]}
    ),
    "no such type": header(a={"dtype": "EVIL", "shape": [16], "data_offsets": [0, 64]}),
    "deep": struct.pack("<Q", 200_000) + b"[" * 200_000 + bytes(64),
    "a header of 2 ** 63 bytes": struct.pack("<Q", 2**63) + bytes(64),
    "empty": b"",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_safetensors_file_that_lies(model: Path, tmp_path: Path, lie: str) -> None:
    (model / "global.safetensors").write_bytes(LIES[lie])
    refused(model, "damaged|too small|belong together")
    path = tmp_path / "weights.safetensors"
    path.write_bytes(LIES[lie])
    with pytest.raises(weights.WeightsError, match="not a whole safetensors file") as caught:
        weights.from_file(tiny_entry(), path)
    assert "\n" not in str(caught.value)


@fuzzed
@given(data=st.data())
def test_mutated_weights_are_read_or_refused_in_one_line(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(save(tiny_state()))
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    for at in data.draw(st.lists(st.integers(0, end - 1), min_size=1, max_size=4)):
        whole[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated.safetensors"
    path.write_bytes(whole)
    try:
        weights.from_file(tiny_entry(), path)
    except weights.WeightsError as error:
        assert str(path) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_in_the_place_of_weights_is_not_run(model: Path, tmp_path: Path, write: Any) -> None:
    write({"a": Hostile(tmp_path / "it ran")}, model / "global.safetensors")
    refused(model, "damaged|too small")
    assert not (tmp_path / "it ran").exists()


def test_writing_a_model_over_links_leaves_what_they_point_to(good: Path, tmp_path: Path) -> None:
    model, precious = tmp_path / "model", tmp_path / "precious"
    model.mkdir()
    precious.write_bytes(b"somebody's")
    for name in ("global.safetensors", "config.json"):
        (model / name).symlink_to(precious)
    OurGAN.from_pretrained(good).save_pretrained(model)
    assert precious.read_bytes() == b"somebody's"
    assert not any((model / name).is_symlink() for name in ("global.safetensors", "config.json"))


def test_a_link_out_of_a_model_is_not_published(model: Path, tmp_path: Path) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_bytes(b"secret")
    (model / "README.md").symlink_to(secret)
    with pytest.raises(HubError, match=rf"README\.md: is a link to {secret}.*nothing was sent"):
        upload_model(model, NAME, endpoint=closed_port(), token="t")
    # The Hub's own cache is made of links, to files that are the model's.
    cached = tmp_path / "models--a--b"
    (cached / "blobs").mkdir(parents=True)
    snapshot = cached / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for name in ("config.json", "global.safetensors"):
        shutil.copy(model / name, cached / "blobs" / name)
        (snapshot / name).symlink_to(Path("..", "..", "blobs", name))
    with pytest.raises(HubUnreachable):
        upload_model(snapshot, NAME, endpoint=closed_port(), token="t")


def test_an_extra_tensor_of_nan_is_refused_by_name(model: Path) -> None:
    save_file({"more": torch.full((9000,), float("nan"))}, model / "global.safetensors")
    refused(model, "tensor .* is missing")
