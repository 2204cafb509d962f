"""Local files of weights: what fits, what does not, and everything that must not be opened."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from released import TINY, Hostile, tiny_entry, tiny_state
from safetensors.torch import save, save_file
from spandrel.architectures.Compact import Compact
from spandrel.architectures.SwinIR import SwinIR as TheirSwinIR
from torch import Tensor

from ourgan import weights
from ourgan.models.rrdbnet import RRDBNet
from ourgan.weights import Released, WeightsError


@pytest.fixture
def tiny() -> dict[str, Tensor]:
    return tiny_state()


@pytest.fixture
def entry() -> Released:
    return tiny_entry()


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


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_under_a_wrong_name_is_refused_unopened(
    write: object, entry: Released, tmp_path: Path
) -> None:
    assert callable(write)
    path = tmp_path / "weights.safetensors"
    write(tiny_state(), path)
    with pytest.raises(WeightsError, match="is a pickle"):
        weights.from_file(entry, path)


def test_other_files_are_refused(tiny: dict[str, Tensor], entry: Released, tmp_path: Path) -> None:
    path = tmp_path / "page.safetensors"
    whole = save(tiny)
    huge_header = (2**40).to_bytes(8, "little") + whole[8:]
    for content in (b"<!doctype html><title>403</title>", whole[:-1], whole[:5], b"", huge_header):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="not a whole safetensors file"):
            weights.from_file(entry, path)
    with pytest.raises(WeightsError, match="no such file"):
        weights.load(path=tmp_path / "absent.safetensors")


# .pth, .pt, .ckpt


@pytest.mark.parametrize("name", ["a.pth", "a.PTH", "a.pt", "a.Ckpt"])
def test_pickles_of_tensors_are_read_whatever_they_are_called(
    name: str, tiny: dict[str, Tensor], entry: Released, tmp_path: Path
) -> None:
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in tiny.items()}, "epoch": 3}, tmp_path / name
    )
    assert weights.from_file(entry, tmp_path / name).state_dict.keys() == tiny.keys()
    torch.save({"a": Hostile(tmp_path / "it ran")}, tmp_path / name)
    with pytest.raises(WeightsError, match="can run code"):
        weights.from_file(entry, tmp_path / name)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("wrapper", ["", "params_ema", "params", "state_dict"])
def test_pth_files_are_unwrapped(
    wrapper: str, legacy: bool, tiny: dict[str, Tensor], entry: Released, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.pth"
    content: object = OrderedDict(tiny)
    if wrapper:
        worse = {name: torch.zeros_like(value) for name, value in tiny.items()}
        content = (
            {"state_dict": worse, "params": worse, wrapper: tiny}
            if wrapper == "params_ema"
            else {wrapper: tiny}
        )
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    loaded = weights.from_file(entry, path)
    assert loaded.state_dict.keys() == tiny.keys()
    for name, value in tiny.items():
        assert torch.equal(loaded.state_dict[name], value)


@pytest.mark.parametrize("wrapper", ["", "params"])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_a_pth_that_would_run_a_command_is_refused(
    legacy: bool, wrapper: str, tiny: dict[str, Tensor], entry: Released, tmp_path: Path
) -> None:
    path, mark = tmp_path / "hostile.pth", tmp_path / "it ran"
    content = {**tiny, "extra": Hostile(mark)}
    torch.save({wrapper: content} if wrapper else content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        WeightsError, match=r"holds more than tensors \((posix|nt)\.system\), which can run code"
    ):
        weights.from_file(entry, path)
    path.write_bytes(pickle.dumps(Hostile(mark)))
    with pytest.raises(WeightsError) as caught:
        weights.from_file(entry, path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (lambda tiny: {**tiny, "step": 3}, r"'step' is a int"),
        (lambda tiny: {**tiny, "more": dict(tiny)}, r"'more' is a dict"),
        (lambda tiny: {**tiny, 7: torch.zeros(1)}, r"'7' is a Tensor"),
        (lambda tiny: {**tiny, "sparse": torch.zeros(2, 2).to_sparse()}, r"'sparse' is a Tensor"),
        (lambda tiny: {**tiny, "array": np.zeros(2)}, r"holds more than tensors \(numpy\.\S+\)"),
        (lambda tiny: list(tiny.values()), "holds a list"),
        (lambda tiny: RRDBNet(**TINY), r"holds more than tensors \(ourgan\.models\.rrdbnet\.RRDBNet\)"),
    ],
    ids=["number", "nested", "name", "sparse", "array", "list", "module"],
)
def test_a_pth_of_anything_but_tensors_is_refused(
    content: object, complaint: str, tiny: dict[str, Tensor], entry: Released, tmp_path: Path
) -> None:
    assert callable(content)
    torch.save(content(tiny), tmp_path / "more.pth")
    with pytest.raises(WeightsError, match=complaint) as caught:
        weights.from_file(entry, tmp_path / "more.pth")
    assert "\n" not in str(caught.value)


def test_damaged_pth_files_are_refused(tiny: dict[str, Tensor], entry: Released, tmp_path: Path) -> None:
    path = tmp_path / "damaged.pth"
    torch.save(tiny, path)
    whole = path.read_bytes()
    for content in (whole[:-100], whole[: len(whole) // 2], b"", b"<!doctype html><title>403</title>"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"damaged\.pth: (is damaged|no such)") as caught:
            weights.from_file(entry, path)
        assert "\n" not in str(caught.value)


# Another network than the one asked for


def their_swinir(scale: int = 4, upsampler: str = "nearest+conv") -> dict[str, Tensor]:
    network = TheirSwinIR(
        img_size=16, depths=(2,), num_heads=(2,), embed_dim=8, window_size=8, mlp_ratio=2, upscale=scale,
        upsampler=upsampler,
    )  # fmt: skip
    return dict(network.state_dict())


SMALL_RRDBNET = "RRDBNet (1 blocks, 4 channels, x4)"
SMALL_SWINIR = "SwinIR (2 blocks, 8 channels, x4)"
SWINIR = {"architecture": "SwinIR", "arguments": {"channels": 8, "depths": (2,), "heads": 2}}


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
def test_official_swinir_files_load(entry: Released, tmp_path: Path) -> None:
    state = their_swinir()
    torch.save({"params": state}, tmp_path / "swinir.pth")
    assert any(name.endswith("attn_mask") for name in state)
    loaded = weights.from_file(replace(entry, **SWINIR), tmp_path / "swinir.pth").state_dict
    assert state.keys() - loaded.keys() == {
        name for name in state if name.endswith(("attn_mask", "relative_position_index"))
    }


def tiny_but(**arguments: int) -> dict[str, Tensor]:
    return dict(RRDBNet(**TINY | arguments).state_dict())


def compact() -> dict[str, Tensor]:
    return dict(Compact(num_feat=8, num_conv=2).state_dict())


def u_net() -> dict[str, Tensor]:
    return {"conv0.weight": torch.zeros(1), "conv1.weight_orig": torch.zeros(1)}


def one_doubling() -> dict[str, Tensor]:
    return {name: value for name, value in tiny_state().items() if "up2" not in name}


SHUFFLE = "SwinIR (pixel shuffle) (2 blocks, 8 channels, x4)"


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize(
    ("state", "wanted", "found"),
    [
        pytest.param(their_swinir, {}, SMALL_SWINIR, id="swinir"),
        pytest.param(tiny_state, SWINIR, SMALL_RRDBNET, id="rrdbnet"),
        pytest.param(lambda: their_swinir(2), SWINIR, SMALL_SWINIR.replace("x4", "x2"), id="swinir x2"),
        pytest.param(lambda: their_swinir(4, "pixelshuffle"), SWINIR, SHUFFLE, id="pixel shuffle"),
        pytest.param(lambda: their_swinir(4, "pixelshuffledirect"), SWINIR, SHUFFLE, id="light"),
        pytest.param(one_doubling, {}, SMALL_RRDBNET.replace("x4", "x2"), id="rrdbnet x2"),
        pytest.param(lambda: tiny_but(blocks=2), {}, SMALL_RRDBNET.replace("1 b", "2 b"), id="blocks"),
        pytest.param(lambda: tiny_but(channels=6), {}, SMALL_RRDBNET.replace("4 c", "6 c"), id="channels"),
        pytest.param(compact, {}, "a compact network (SRVGGNetCompact)", id="compact"),
        pytest.param(u_net, {}, "a discriminator", id="discriminator"),
        pytest.param(lambda: {"a.b": torch.ones(1)}, {}, "no network that is known (1 names: a.b)", id="no"),
    ],
)
def test_another_network_is_called_by_its_name(
    state: object, wanted: dict[str, object], found: str, entry: Released, tmp_path: Path
) -> None:
    assert callable(state)
    needed = SMALL_SWINIR if wanted else SMALL_RRDBNET
    torch.save(state(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=re.escape(f"other.pth: holds {found}, {needed} is needed")):
        weights.from_file(replace(entry, **wanted), tmp_path / "other.pth")


def test_plain_parameters_only_have_to_be_finite(entry: Released, tmp_path: Path) -> None:
    plain = replace(entry, architecture="", arguments={})
    state = {"features.0.weight": torch.ones(2), "bn.num_batches_tracked": torch.tensor(3)}
    save_file(state, tmp_path / "vgg.safetensors")
    assert weights.from_file(plain, tmp_path / "vgg.safetensors").state_dict.keys() == state.keys()
    state["features.0.weight"][1] = float("nan")
    save_file(state, tmp_path / "vgg.safetensors")
    with pytest.raises(
        WeightsError, match=r"unfit for tiny: features\.0\.weight holds values that are not finite"
    ):
        weights.from_file(plain, tmp_path / "vgg.safetensors")
