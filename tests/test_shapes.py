"""Shapes in the signatures are true: pytest runs the rooms named in pyproject.toml under jaxtyping."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from ourgan.benchmark.holdout import bicubic_upscaler, holdout_pairs
from ourgan.metrics import layout, lpips, sifid
from ourgan.models.rrdbnet import RRDBNet
from ourgan.training import losses

IMAGE, LOWER, GREY, BATCH = (torch.rand(shape) for shape in ((3, 8, 9), (3, 7, 9), (1, 8, 9), (2, 3, 8, 9)))

OF_ONE: list[Callable[[Tensor], object]] = [
    layout.layout_size,
    bicubic_upscaler,
    holdout_pairs,
    lambda image: layout.pixel_differences([image, image]),
    lambda image: layout.diversity([image, image]),
    lambda image: sifid.extract_statistics(image, sifid.si_fd_extractor("relu2_2")),
]
OF_TWO: list[Callable[[Tensor, Tensor], object]] = [
    layout.row_colour_error,
    layout.row_distribution_distance,
    layout.row_distances,
    layout.distance_to_photo,
    lpips.lpips,
    lpips.st_lpips,
    sifid.sifid,
    sifid.si_fd,
]


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [GREY, BATCH, IMAGE.byte()], ids=["grey", "batch", "bytes"])
def test_what_is_no_colour_picture_is_refused(wrong: Tensor) -> None:
    for measure in OF_ONE:
        with pytest.raises(TypeCheckError):
            measure(wrong)
    for measure in OF_TWO:
        for pair in ((IMAGE, wrong), (wrong, IMAGE)):
            with pytest.raises(TypeCheckError):
                measure(*pair)


@pytest.mark.parametrize("measure", [layout.row_colour_error, layout.distance_to_photo, lpips.psnr])
def test_sizes_that_must_agree_are_compared(measure: Callable[[Tensor, Tensor], float]) -> None:
    assert measure(IMAGE, 0.5 * IMAGE) > 0
    with pytest.raises(TypeCheckError):
        measure(IMAGE, LOWER)


def test_results_have_the_shapes_that_are_said() -> None:
    assert layout.row_distances(IMAGE, IMAGE).shape == (8,)
    assert layout.pixel_differences([IMAGE, IMAGE, IMAGE]).shape == (3, 3)
    assert bicubic_upscaler(IMAGE).shape == (3, 32, 36)


def test_networks_and_losses_are_checked_too() -> None:
    network, images = RRDBNet(channels=8, blocks=1, growth=4), torch.rand(2, 3, 4, 5)
    assert network(images).shape == (2, 3, 16, 20)
    assert losses.kl_loss(images, images).shape == ()
    with pytest.raises(TypeCheckError):
        network(images[0])
    with pytest.raises(TypeCheckError):
        losses.kl_loss(images, images[:, :, :3])
