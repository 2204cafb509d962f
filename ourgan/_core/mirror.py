"""Continuing an axis by reflection."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def mirror_indices(
    length: int, before: int, after: int, *, repeat_edge: bool = False, device: torch.device | None = None
) -> Int[Tensor, " before+length+after"]:
    """Return which element of an axis stands at each position once both ends are continued by reflection.

    Folded as often as it takes, which torch's own padding refuses: a short axis is mirrored several times.

    Args:
        length: of the axis.
        before: positions to add in front of the first element.
        after: positions to add behind the last one.
        repeat_edge: mirror at the edge of the outermost element, "cba|abc|cba", instead of its centre,
            "cb|abc|ba".
        device: where the indices are needed.
    """
    edge = 1 if repeat_edge else 0
    period = max(2 * length - 2 + 2 * edge, 1)
    position = torch.arange(-before, length + after, device=device) % period
    return torch.minimum(position, period - edge - position)
