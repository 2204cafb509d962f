"""SwinIR against spandrel's independent one, which loads the official parameter names."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from spandrel import ModelLoader
from spandrel.architectures import SwinIR as spandrel_swinir
from torch import Tensor, nn

from ourgan.models.swinir import RGB_MEAN, SwinIR

Photo = Callable[..., Tensor]
# spandrel calls torch.meshgrid without saying in which order.
pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")


def small(window: int = 8, depths: tuple[int, ...] = (2, 3), seed: int = 0) -> SwinIR:
    """A tiny network whose attention and bias tables matter, unlike those of the initialisation."""
    torch.manual_seed(seed)
    network = SwinIR(channels=12, depths=depths, heads=2, window=window).eval()
    for name, parameter in network.named_parameters():
        nn.init.normal_(parameter, std=2 if name.endswith("table") else 0.2)
    for parameter in (network.conv_last.weight, network.conv_hr.weight):
        nn.init.normal_(parameter, std=0.02)
    return network


def oracle(network: SwinIR) -> nn.Module:
    """spandrel's SwinIR with the parameters of `network`."""
    return ModelLoader().load_from_state_dict(network.state_dict()).model.eval()


def test_paper_configuration_has_the_official_size() -> None:
    with torch.device("meta"):
        network = SwinIR()
        assert network(torch.empty(2, 3, 13, 8)).shape == (2, 3, 52, 32)
    count = sum(p.numel() for p in network.parameters())
    assert count == 11_715_559
    assert (round(2 * count / 1e6, 2), round(3 * count / 1e6, 2)) == (23.43, 35.15)  # the paper's figures
    assert not list(network.buffers())
    state = network.state_dict()
    assert state["layers.5.residual_group.blocks.5.attn_mask"].shape == (64, 64, 64)
    assert state["layers.0.residual_group.blocks.0.attn.relative_position_index"].shape == (64, 64)
    # An official file holds 36 indices and 18 masks besides, and nothing else that is not a parameter.
    assert len(state) == len(list(network.parameters())) + 36 + 18
    assert (network.scale, network.window, network.size_multiple) == (4, 8, 8)
    assert not network.checkpointing


@pytest.mark.slow
def test_paper_configuration_equals_the_oracle_on_a_photo(photo: Photo) -> None:
    torch.manual_seed(1)
    network = SwinIR().eval()
    for parameter in network.parameters():
        if parameter.ndim == 2:  # attention and MLPs as strong as in a trained network
            parameter.data *= 3
    image = photo(width=40)[None, :, :24]
    with torch.no_grad():
        ours, theirs = network(image), oracle(network)(image)
    assert theirs.std() > 0.02
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(24, 40), (16, 17), (29, 12), (8, 8), (5, 7)])
@pytest.mark.parametrize("window", [4, 8])
def test_small_network_equals_the_oracle(photo: Photo, height: int, width: int, window: int) -> None:
    network = small(window)
    pixels = photo(width=64)
    image = torch.stack([pixels[:, top : top + height, 5 : 5 + width] for top in (3, 9)])
    with torch.no_grad():
        ours, theirs = network(image), oracle(network)(image)
    assert ours.shape == (2, 3, 4 * height, 4 * width)
    assert theirs.std() > 0.05
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (1, 9), (4, 8)])
def test_images_too_small_for_one_reflection(photo: Photo, height: int, width: int) -> None:
    image = photo(width=64)[None, :, :height, :width]
    mirrored = torch.tensor([[0] * 8, [0, 1] * 4, [0, 1, 2, 1, 0, 1, 2, 1], [0, 1, 2, 3, 2, 1, 0, 1]])
    rows = mirrored[height - 1]
    columns = torch.arange(width) if width == 8 else mirrored[min(width, 4) - 1]
    if width == 9:
        columns = torch.tensor([*range(9), 7, 6, 5, 4, 3, 2, 1])
    network = small()
    with torch.no_grad():
        padded = network(image[:, :, rows][:, :, :, columns])
        assert torch.equal(network(image), padded[:, :, : 4 * height, : 4 * width])


def test_official_files_load_strictly_and_come_back(tmp_path: Path) -> None:
    network = small()
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    held = load_file(tmp_path / "network.safetensors")
    # Not the loaded one: that would hold whatever the file says about positions and masks.
    fresh = spandrel_swinir.SwinIR(
        embed_dim=12,
        depths=[2, 3],
        num_heads=[2, 2],
        window_size=8,
        mlp_ratio=2,
        upscale=4,
        upsampler="nearest+conv",
    )
    assert set(fresh.state_dict()) == set(held)
    for name, value in fresh.named_buffers():
        assert torch.equal(value, held[name]), name
    theirs = ModelLoader().load_from_file(tmp_path / "network.safetensors").model
    for name, value in theirs.state_dict().items():
        assert torch.equal(value, held[name]), name
    other = small(seed=5)
    # The masks of another training size, as in the classical networks, or none at all.
    for side in (64, 16, None):
        state = dict(theirs.state_dict())
        for name in [name for name in state if name.endswith("attn_mask")]:
            state[name] = torch.zeros(side or 1, 64, 64)
            if side is None:
                del state[name]
        other.load_state_dict(state, strict=True)
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), network.parameters(), strict=True))
    nested = nn.Sequential(small(seed=6))
    nested.load_state_dict(nn.Sequential(network).state_dict(), strict=True)
    assert torch.equal(nested[0].conv_last.weight, network.conv_last.weight)
    del state["norm.weight"]
    with pytest.raises(RuntimeError, match=r"norm\.weight"):
        other.load_state_dict(state, strict=True)


def test_nothing_goes_stale(photo: Photo) -> None:
    image = photo(width=32)[None]
    network, other = small(), small(seed=3)
    with torch.no_grad():
        before = network(image)
        expected = other(image)
        network.load_state_dict(other.state_dict())
        assert torch.equal(network(image), expected) and not torch.equal(before, expected)
        assert network(image[:, :, :16, :24]).shape == (1, 3, 64, 96)
        assert network.double()(image.double()).dtype == torch.float64
        for parameter in network.float().parameters():
            if parameter.shape == (225, 2):
                parameter.zero_()
        assert not torch.equal(network(image), expected)


def psnr(image: Tensor, exact: Tensor) -> float:
    return float(10 * torch.log10(1 / (image.float() - exact).square().mean()))


def test_bfloat16_stays_close_to_float32(photo: Photo) -> None:
    network = small()
    image = photo(width=40)[None, :, :24]
    twin = copy.deepcopy(network).bfloat16()
    with torch.no_grad():
        exact = network(image)
        pure = twin(image.bfloat16())
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(image)
    assert pure.dtype == torch.bfloat16
    assert psnr(pure, exact) > 40 and psnr(mixed, exact) > 40


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "autocast"])
def test_every_parameter_gets_its_gradient_in_every_precision(photo: Photo, precision: str) -> None:
    network = small()
    image = torch.stack([photo(width=32)[:, :16], photo(width=32)[:, 3:19]])
    exact = torch.autograd.grad(network(image).square().sum(), network.parameters())
    if precision == "bfloat16":
        network, image = network.bfloat16(), image.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
        network(image).square().sum().backward()
    for (name, parameter), expected in zip(network.named_parameters(), exact, strict=True):
        assert parameter.grad is not None and parameter.grad.isfinite().all()
        difference = (parameter.grad.float() - expected).norm() / expected.norm()
        assert difference < (1e-5 if precision == "float32" else 0.4), (name, float(difference))


def test_gradients_equal_the_oracle_s(photo: Photo) -> None:
    network = small().double()
    theirs = oracle(network).double()
    theirs.mean = theirs.mean.new_tensor(RGB_MEAN, dtype=torch.float64)[None, :, None, None]  # not rounded
    image = photo(width=32)[None, :, :13].double()
    network(image).square().sum().backward()
    theirs(image).square().sum().backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-7, atol=1e-9, msg=name)


def saved_bytes(network: SwinIR, image: Tensor) -> tuple[int, list[Tensor]]:
    """What autograd keeps between the passes, parameters apart, and the gradients."""
    kept = {}
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = network(image).square().sum()
    return sum(kept.values()), list(torch.autograd.grad(loss, list(network.parameters())))


def test_checkpointing_keeps_less_and_gives_the_same_gradients(photo: Photo) -> None:
    network = small(depths=(6, 6))
    image = photo(width=32)[None, :, :16]
    plain, gradients = saved_bytes(network, image)
    network.checkpointing = True
    checkpointed, again = saved_bytes(network, image)
    rest, _ = saved_bytes(small(depths=()), image)  # the upsampling, whose maps are kept in either case
    assert checkpointed - rest < 0.15 * (plain - rest)
    assert all(torch.equal(a, b) for a, b in zip(gradients, again, strict=True))
    with torch.no_grad():
        assert network(image).shape == (1, 3, 64, 128)


def test_init_is_the_official_one() -> None:
    torch.manual_seed(2)
    network = SwinIR(channels=60, depths=(1,))
    layer = network.layers[0].residual_group["blocks"][0]
    for weight in (layer.attn.qkv.weight, layer.attn.proj.weight, layer.mlp.fc1.weight, layer.mlp.fc2.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert layer.attn.relative_position_bias_table.std().item() == pytest.approx(0.02, rel=0.1)
    assert not layer.attn.qkv.bias.any() and not layer.mlp.fc2.bias.any()
    assert network.conv_first.bias.any()


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="7 heads cannot share 180 channels"):
        SwinIR(heads=7)
