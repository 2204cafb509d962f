"""Pictures that were drawn already, as many as fit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from torch import Tensor


class Cache:
    """Tensors by key; the one not asked for longest goes when `limit` bytes are passed. For any threads.

    `held`: bytes of what is kept.
    """

    def __init__(self, limit: int = 128 * 2**20) -> None:
        self.limit = limit
        self.held = 0
        self._kept: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def get(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """What is kept under `key`, or what `make` gives, which is kept from then on if it fits at all."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()  # without the lock: seconds; two threads may make the same, which harms nothing
        with self._lock:
            if key not in self._kept and made.nbytes <= self.limit:
                self._kept[key] = made
                self.held += made.nbytes
                while self.held > self.limit:
                    _, oldest = self._kept.popitem(last=False)
                    self.held -= oldest.nbytes
        return made
