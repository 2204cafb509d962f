"""The discriminator's gradients by explicit formulas (WGAN-GP, Alg. F.1).

The discriminator is piecewise linear: convolutions and LeakyReLU. On the piece around x its gradient
with respect to the image is a chain of transposed convolutions and masks,

    g_0 = W_1^T m_1 W_2^T m_2 ... W_n^T 1,          m_l = 1 or 0.2 by the sign of feature l,

and the masks have no derivative. So the gradient of a penalty P(g_0) with respect to every W_l needs
no double backward: with q_0 = dP/dg_0 and q_l = m_l (W_l q_{l-1}), it is the weight gradient of the
pair (q_{l-1}, u_l), u_l being the chain at layer l. That is the same product as for the plain
losses, whose pairs are (feature_{l-1}, u_l), hence all of them are stacked into one batch: real and
fake and interpolated images go up together, come down together, and share each weight gradient.
Equal to autograd's double backward to rounding (tests/training/test_gradient_penalty.py).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ourgan.models.coordconv import VerticalCoordConv2d, columns_gradient, coordinate_columns
from ourgan.models.pyramid import SLOPE, ConvBlock


def discriminator_step(
    discriminator: ConvBlock,
    real: Float[Tensor, "_ 3 h w"],
    fake: Float[Tensor, "n 3 h w"],
    *,
    mix: float,
    penalty_weight: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """Add the gradient of -mean D(real) + mean D(fake) + GP to the parameters' `.grad` (WGAN-GP, Alg. F.1).

    `real` has one row where the whole batch is the same photo, which is exact since the discriminator has no
    batch statistics. The images that are interpolated are `mix` real + (1 - `mix`) fake. Convolutions run in
    `dtype`; penalty, losses and the sums over rows stay at least float32.

    Returns:
        The three terms; GP = `penalty_weight` mean (|dD/dx| - 1)^2, the norm over channels at every pixel.
    """
    with torch.no_grad():
        interpolated = mix * real + (1 - mix) * fake
        images = torch.cat((real, fake, interpolated)).to(dtype, memory_format=torch.channels_last)
    layers, weights = _layers(discriminator)
    first = len(real) + len(fake)  # where the interpolated images begin
    with torch.no_grad():
        features, scores = _up(layers, weights, images)
        seeds = torch.ones_like(scores)
        seeds[: len(real)] = -1 / scores[: len(real)].numel()
        seeds[len(real) : first] = 1 / scores[len(real) : first].numel()
        chain = _down(layers, weights, features, seeds)
        gradient = _transpose(chain[0][first:], _features_of(layers[0], weights[0], dtype)).to(real.dtype)
        norm = gradient.norm(dim=1, keepdim=True)
        penalty = penalty_weight * (norm - 1).square().mean()
        # dP/dg; at a zero gradient the norm has no derivative, and autograd's choice is 0 as well.
        factor = 2 * penalty_weight / norm.numel() * (norm - 1) / norm.clamp_min(1e-30)
        tangent = (factor * gradient).to(dtype, memory_format=torch.channels_last)
        gradients = _gradients(layers, weights, features, chain, tangent, first)
    torch.autograd.backward([*weights, *(layer.bias for layer in layers)], gradients)
    means = scores.to(real.dtype)
    return -means[: len(real)].mean(), means[len(real) : first].mean(), penalty


def score_gradient(
    discriminator: ConvBlock, images: Float[Tensor, "n 3 h w"], *, dtype: torch.dtype
) -> tuple[Float[Tensor, ""], Float[Tensor, "n 3 h w"]]:
    """Return the mean score of images in [-1, 1], and its gradient with respect to them."""
    layers, weights = _layers(discriminator)
    with torch.no_grad():
        features, scores = _up(layers, weights, images.to(dtype, memory_format=torch.channels_last))
        chain = _down(layers, weights, features, torch.full_like(scores, 1 / scores.numel()))
        gradient = _transpose(chain[0], _features_of(layers[0], weights[0], dtype))
    return scores.to(images.dtype).mean(), gradient.to(images.dtype)


def _layers(discriminator: ConvBlock) -> tuple[list[VerticalCoordConv2d], list[Tensor]]:
    layers = [layer for layer in discriminator.convolutions if isinstance(layer, VerticalCoordConv2d)]
    return layers, [layer.effective_weight() for layer in layers]


def _features_of(layer: VerticalCoordConv2d, weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.detach()[:, : layer.in_channels].to(dtype, memory_format=torch.channels_last)


def _up(
    layers: list[VerticalCoordConv2d], weights: list[Tensor], images: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Return the input of every layer, and the map of scores."""
    features = [images]
    for layer, weight in zip(layers[:-1], weights, strict=False):
        features.append(F.leaky_relu_(layer.convolve(features[-1], weight), SLOPE))
    return features, layers[-1].convolve(features[-1], weights[-1])


def _down(
    layers: list[VerticalCoordConv2d], weights: list[Tensor], features: list[Tensor], seeds: Tensor
) -> list[Tensor]:
    """Return u_l, the gradient at the output of every convolution."""
    chain = [seeds]
    for i in range(len(layers) - 1, 0, -1):
        below = _transpose(chain[0], _features_of(layers[i], weights[i], seeds.dtype))
        chain.insert(0, _mask(below, features[i]))
    return chain


def _gradients(
    layers: list[VerticalCoordConv2d],
    weights: list[Tensor],
    features: list[Tensor],
    chain: list[Tensor],
    tangent: Tensor,
    first: int,
) -> list[Tensor]:
    """Return the gradients of the effective weights, then of the biases."""
    gradients, of_biases = [], []
    for i, (layer, weight) in enumerate(zip(layers, weights, strict=True)):
        below = features[i][first:]
        if i:
            convolved = F.conv2d(
                tangent, _features_of(layers[i - 1], weights[i - 1], tangent.dtype), padding=1
            )
            tangent = _mask(convolved, below)
        # The interpolated images' features have served as masks: their place in the batch takes q.
        below.copy_(tangent)
        kernel = _features_of(layer, weight, tangent.dtype)
        gradient = torch.ops.aten.convolution_backward(
            chain[i],
            features[i],
            kernel,
            None,
            [1, 1],
            [1, 1],
            [1, 1],
            False,
            [0, 0],
            1,
            [False, True, False],
        )[1].to(weight.dtype)
        # Only the plain losses depend on the biases and on the coordinate.
        columns = columns_gradient(chain[i][:first], min(3, chain[i].shape[3]))
        of_biases.append(columns.sum((0, 2, 3)))
        if layer.coordinate:
            extra = _coordinate_gradient(layer, weight, columns, chain[i].shape)
            gradient = torch.cat((gradient, extra), dim=1)
        gradients.append(gradient)
    return gradients + of_biases


def _coordinate_gradient(
    layer: VerticalCoordConv2d, weight: Tensor, columns: Tensor, shape: torch.Size
) -> Tensor:
    with torch.enable_grad():
        coordinate = weight.detach()[:, layer.in_channels :].clone().requires_grad_()
        response = coordinate_columns(coordinate, shape[2], shape[3], layer.coordinate_padding)
        return torch.autograd.grad(response, coordinate, columns)[0]


def _transpose(gradient: Tensor, kernel: Tensor) -> Tensor:
    """Apply the transposed 3x3 convolution with padding 1: a convolution with the kernel turned over."""
    turned = kernel.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
    return F.conv2d(gradient, turned, padding=1)


def _mask(gradient: Tensor, feature: Tensor) -> Tensor:
    # The sign of a LeakyReLU's result is that of its argument.
    masked: Tensor = torch.ops.aten.leaky_relu_backward(gradient, feature, SLOPE, True)
    return masked
