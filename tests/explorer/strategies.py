"""What hypothesis draws edits from."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from ourgan.explorer.state.edits import OPERATIONS, Edit, encode_picture

DOT = encode_picture(torch.rand(3, 5, 7))
numbers = st.integers(-40, 60)
sizes = st.integers(1, 60)
edits = st.builds(
    lambda operation, x, y, w, h, to, scale: Edit(
        operation, (x, y, w, h), to, scale, DOT if operation == "paste" else ""
    ),
    st.sampled_from(OPERATIONS), numbers, numbers, sizes, sizes, st.tuples(numbers, numbers),
    st.integers(1, 9),
)  # fmt: skip
