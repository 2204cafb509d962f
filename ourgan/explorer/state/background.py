"""Work beside the kernel's own thread, of which only the latest request counts, and what it has drawn."""

from __future__ import annotations

import asyncio
import operator
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cachetools import LRUCache

Value = TypeVar("Value")
Dispatch = Callable[[Callable[[], None]], None]
"""Runs a call where widgets may be changed."""
_Request = tuple[Callable[[], Any], Callable[[Any], None], Callable[[Exception], None]]


class ByteCache(LRUCache[Hashable, Any]):
    """Tensors or arrays by key, for any threads; the least recently used ones go first.

    Args:
        limit: bytes that all values may take together.
    """

    def __init__(self, limit: int = 128 * 2**20) -> None:
        super().__init__(limit, getsizeof=operator.attrgetter("nbytes"))
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> Any:
        """Return the value under `key`, or None if there is none."""
        with self._lock:
            return self.get(key)

    def find_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value under `key`, or what `make` returns, which is kept if it fits at all."""
        value: Value | None = self.find(key)
        if value is not None:
            return value
        value = make()  # without the lock: seconds; two threads may make the same, which harms nothing
        with self._lock:
            try:
                return self.setdefault(key, value)
            except ValueError:  # larger than the whole cache
                return value


def dispatch_to_loop() -> Dispatch:
    """Return a function that runs calls in the event loop of this moment, a kernel's, one after another.

    Without a running loop it runs them at once, in the thread that calls it.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return lambda call: call()

    def dispatch(call: Callable[[], None]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(call)

    return dispatch


class Worker:
    """One thread for one explorer; a slider that is dragged requests much and is answered a few times.

    Of all requests under one key only the last is computed; keys take turns, the first requested first.

    Args:
        dispatch: runs the answers; see `dispatch_to_loop`, which is asked when None.
    """

    def __init__(self, dispatch: Dispatch | None = None) -> None:
        self._dispatch = dispatch or dispatch_to_loop()
        self._pending: dict[str, _Request] = {}
        self._turns: dict[str, int] = {}
        self._lock = threading.Lock()
        # Its thread ends with the executor, and this with the last reference to it.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ourgan-explorer")
        self._computing = False

    def submit(
        self,
        key: str,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Compute in the thread, then answer where widgets may be changed.

        Args:
            key: replaces what waits under the same key.
            work: what the thread calls.
            done: called with what `work` returned.
            failed: called instead with what `work`, or `done`, raised.
        """
        with self._lock:
            waiting = key in self._pending
            self._pending[key] = (work, done, failed)
        if not waiting:
            self._thread.submit(self._compute_next)

    def submit_each(
        self,
        key: str,
        works: Sequence[Callable[[], Any]],
        done: Callable[[int, Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Compute one after another under `key`, letting other keys in between.

        Another `submit_each` under the same key, or `drop`, ends it: `done` is not called again.

        Args:
            key: as in `submit`.
            works: what the thread calls, in this order.
            done: called with the index and the result after each.
            failed: called with the first error, which ends it.
        """
        turn = self._turns[key] = self._turns.get(key, 0) + 1

        def go_on(index: int) -> None:
            def answer(result: Any) -> None:
                if self._turns[key] == turn:
                    done(index, result)
                    go_on(index + 1)

            if index < len(works):
                self.submit(key, works[index], answer, failed)

        go_on(0)

    def drop(self, key: str) -> None:
        """End the `submit_each` under `key`; what is being computed for it is finished and forgotten."""
        self._turns[key] = self._turns.get(key, 0) + 1
        with self._lock:
            self._pending.pop(key, None)

    def busy(self) -> bool:
        """Return whether anything waits, is being computed, or is on its way back."""
        with self._lock:
            return self._computing or bool(self._pending)

    def close(self) -> None:
        """Forget what waits; the thread ends after its current work."""
        with self._lock:
            self._pending.clear()
        self._thread.shutdown(wait=False)

    def _compute_next(self) -> None:
        with self._lock:
            if not self._pending:
                return
            work, done, failed = self._pending.pop(next(iter(self._pending)))
            self._computing = True
        result: Any = None
        error: Exception | None = None
        try:
            result = work()
        except Exception as caught:
            error = caught

        def answer() -> None:
            if error is not None:
                failed(error)
                return
            try:
                done(result)
            except Exception as caught:
                failed(caught)  # an event loop would put it where nobody looks

        try:
            self._dispatch(answer)
        finally:
            self._computing = False
