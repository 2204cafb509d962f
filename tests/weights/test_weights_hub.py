"""Weights from the Hub and its cache: the real client against a server on loopback."""

from __future__ import annotations

import hashlib
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub.server import serve
from released import REVISION, tiny_entry, tiny_state
from safetensors.torch import save
from torch import Tensor

from ourgan import weights
from ourgan.weights import Released, WeightsError, sources

GENUINE = weights.read_registry()["realesrgan-x4plus"]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_out_of_reach", {})


@pytest.fixture
def tiny() -> dict[str, Tensor]:
    return tiny_state()


@pytest.fixture
def entry() -> Released:
    return tiny_entry()


@pytest.fixture
def hub_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "hub")


@pytest.mark.usefixtures("hub_mode")
def test_hub_is_asked_once_and_then_the_cache_serves(
    tiny: dict[str, Tensor], entry: Released, tmp_path: Path
) -> None:
    cache = tmp_path / "hub"
    with serve() as hub:
        hub.publish(entry.repository, {entry.file: save(tiny)}, REVISION)
        first = weights.find(entry, endpoint=hub.endpoint, cache=cache)
        assert hub.methods(entry.file).count("GET") == 1
    assert first.source == f"hub: someone/tiny@{REVISION}/tiny.safetensors"
    assert (first.sha256, first.licence) == (entry.sha256, "CC0-1.0")
    second = weights.find(entry, endpoint=hub.endpoint, cache=cache)  # nobody listens there now
    assert second.source == first.source
    for name, value in tiny.items():
        assert torch.equal(second.state_dict[name], value)


def flipped(body: bytes) -> bytes:
    """`body` with one bit of its last weight changed."""
    return body[:-3] + bytes([body[-3] ^ 1]) + body[-2:]


@pytest.mark.usefixtures("hub_mode")
def test_flipped_bit_is_quarantined_and_fetched_again(
    tiny: dict[str, Tensor], entry: Released, tmp_path: Path
) -> None:
    cache, body = tmp_path / "hub", save(tiny)
    with serve() as hub:
        hub.publish(entry.repository, {entry.file: body}, REVISION)
        hub.bodies[entry.file] = [flipped(body), body]
        loaded = weights.find(entry, endpoint=hub.endpoint, cache=cache)
        assert hub.methods(entry.file).count("GET") == 2
    assert torch.equal(loaded.state_dict["conv_last.bias"], tiny["conv_last.bias"])
    (bad,) = (tmp_path / "hub-quarantine").iterdir()
    assert bad.read_bytes() == flipped(body)
    assert not any(path.is_file() and path.read_bytes() == flipped(body) for path in cache.rglob("*"))


@pytest.mark.usefixtures("hub_mode")
def test_a_file_that_stays_wrong_is_refused_with_both_checksums(
    tiny: dict[str, Tensor], entry: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = flipped(save(tiny))
    with serve() as hub:
        hub.publish(entry.repository, {entry.file: bad}, REVISION)
        for mode in ("hub", "auto"):
            monkeypatch.setenv("OURGAN_WEIGHTS", mode)
            with pytest.raises(WeightsError) as caught:
                weights.find(entry, endpoint=hub.endpoint, cache=tmp_path / "hub")
            assert hashlib.sha256(bad).hexdigest() in str(caught.value)
            assert entry.sha256 in str(caught.value)
        assert hub.methods(entry.file).count("GET") == 4


def test_damaged_cache_heals_itself(
    tiny: dict[str, Tensor], entry: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "hub")
    cache, body = tmp_path / "hub", save(tiny)
    with serve() as hub:
        hub.publish(entry.repository, {entry.file: body}, REVISION)
        weights.find(entry, endpoint=hub.endpoint, cache=cache)
        (cached,) = cache.rglob(entry.file)
        cached.write_bytes(body[:-7])
        weights.find(entry, endpoint=hub.endpoint, cache=cache)
        (cached,) = cache.rglob(entry.file)
        assert cached.read_bytes() == body


@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_refusals_of_the_hub_fall_through_to_the_package(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "auto")
    with serve() as hub:
        hub.status = status
        loaded = weights.find(GENUINE, endpoint=hub.endpoint, cache=tmp_path / "hub")
        assert hub.methods(GENUINE.file) == ["HEAD"]  # no retries
    assert loaded.source.startswith("package: ")
    assert f"the Hub refused {GENUINE.repository}" in caplog.text


def test_offline_setting_of_the_client_is_honoured(
    entry: Released, tmp_path: Path, hub_mode: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with serve() as hub:
        with pytest.raises(WeightsError, match="out of reach"):
            weights.find(entry, endpoint=hub.endpoint, cache=tmp_path / "hub")
        assert hub.requests == []


def test_silent_hub_costs_little_and_only_once(
    entry: Released, tmp_path: Path, hub_mode: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub  # noqa: F401  (its import is not what is measured)

    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts and never answers
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setattr("ourgan.hub.client.PATIENCE", 1.0)
        start = time.monotonic()
        with pytest.raises(WeightsError, match="out of reach") as caught:
            weights.find(entry, endpoint=endpoint, cache=tmp_path / "hub")
        assert time.monotonic() - start < 2
    assert "hf download someone/tiny" in str(caught.value)
    start = time.monotonic()
    with pytest.raises(WeightsError, match="out of reach"):
        weights.find(entry, endpoint=endpoint, cache=tmp_path / "hub")
    assert time.monotonic() - start < 0.5


def test_closed_port_is_given_up_without_retries(entry: Released, tmp_path: Path, hub_mode: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(WeightsError, match="out of reach"):
        weights.find(entry, endpoint=f"http://127.0.0.1:{port}", cache=tmp_path / "hub")
    assert time.monotonic() - start < 5


# Entries that know less: no commit, no checksum


@pytest.fixture
def vague(entry: Released) -> Released:
    return replace(entry, revision="", sha256="", size=0)


def test_without_a_commit_the_one_that_was_found_is_named(
    tiny: dict[str, Tensor], entry: Released, tmp_path: Path, hub_mode: None
) -> None:
    unpinned = replace(entry, revision="")
    with serve() as hub:
        hub.publish(entry.repository, {entry.file: save(tiny)}, REVISION)
        first = weights.find(unpinned, endpoint=hub.endpoint, cache=tmp_path / "hub")
        asked = len(hub.requests)
        hub.publish(entry.repository, {entry.file: b"another commit"})
        second = weights.find(unpinned, endpoint=hub.endpoint, cache=tmp_path / "hub")
        assert len(hub.requests) == asked
    assert first.source == second.source == f"hub: someone/tiny@{REVISION}/tiny.safetensors"


def test_without_a_checksum_that_of_the_hub_is_used_and_said(
    tiny: dict[str, Tensor], vague: Released, tmp_path: Path, hub_mode: None, caplog: pytest.LogCaptureFixture
) -> None:
    body = save(tiny)
    checksum = hashlib.sha256(body).hexdigest()
    with serve() as hub:
        hub.publish(vague.repository, {vague.file: body}, REVISION)
        hub.bodies[vague.file] = [flipped(body), body]
        loaded = weights.find(vague, endpoint=hub.endpoint, cache=tmp_path / "hub")
        assert hub.methods(vague.file).count("GET") == 2
    assert "only the Hub itself vouches for it" in loaded.source and checksum in loaded.source
    assert loaded.sha256 == checksum
    assert f"tiny: no independent checksum is known; it is that of the Hub: {checksum}" in caplog.text
    again = weights.find(vague, endpoint=hub.endpoint, cache=tmp_path / "hub")  # nobody listens there now
    assert again.source == loaded.source
    (cached,) = (tmp_path / "hub").rglob(vague.file)
    cached.write_bytes(flipped(body))
    with pytest.raises(WeightsError, match="out of reach"):
        weights.find(vague, endpoint=hub.endpoint, cache=tmp_path / "hub")


def test_without_any_checksum_nothing_is_loaded(
    tiny: dict[str, Tensor], vague: Released, tmp_path: Path, hub_mode: None
) -> None:
    with serve() as hub:
        hub.publish(vague.repository, {vague.file: save(tiny)}, REVISION)
        hub.headers["ETag"] = f'"{REVISION}"'  # as of a small file, which git keeps
        with pytest.raises(WeightsError, match="neither the registry nor the Hub has a sha256"):
            weights.find(vague, endpoint=hub.endpoint, cache=tmp_path / "hub")
        hub.headers["ETag"] = '"../../../escaped"'
        with pytest.raises(WeightsError, match="does not answer as the Hub does"):
            weights.find(vague, endpoint=hub.endpoint, cache=tmp_path / "hub")
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_busy_hub_is_waited_for_where_no_package_has_the_file(
    tiny: dict[str, Tensor], entry: Released, tmp_path: Path, hub_mode: None
) -> None:
    with serve() as hub:
        hub.publish(entry.repository, {entry.file: save(tiny)}, REVISION)
        hub.statuses = [429]
        weights.find(entry, endpoint=hub.endpoint, cache=tmp_path / "hub")
        assert hub.methods(entry.file)[:2] == ["HEAD", "HEAD"]


def test_a_short_body_and_a_gated_repository_are_named(
    tiny: dict[str, Tensor], entry: Released, tmp_path: Path, hub_mode: None
) -> None:
    body = save(tiny)
    with serve() as hub:
        repository = hub.publish(entry.repository, {entry.file: body}, REVISION)
        hub.bodies[entry.file] = [body[:-1]]
        with pytest.raises(WeightsError, match=r"the download failed .*Consistency check") as caught:
            weights.find(entry, endpoint=hub.endpoint, cache=tmp_path / "hub")
        assert entry.prefetch in str(caught.value)
        repository.gated = True
        with pytest.raises(WeightsError, match="the Hub refused someone/tiny"):
            weights.find(entry, endpoint=hub.endpoint, cache=tmp_path / "hub")
