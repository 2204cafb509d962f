"""Work beside the kernel's own thread: what was asked for last, and only that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Deliver = Callable[[Callable[[], None]], None]
_Asked = tuple[Callable[[], Any], Callable[[Any], None], Callable[[Exception], None]]


def into_this_loop() -> Deliver:
    """How results come back: in the event loop that runs now (a kernel's), where widgets are changed.

    Without one, at once and in whatever thread.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return lambda call: call()

    def deliver(call: Callable[[], None]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(call)

    return deliver


class Worker:
    """One thread for one explorer; a slider that is dragged asks many times and is answered a few.

    Of all that was asked under one key only the last is done; keys take turns, the first key asked first.
    `deliver`: how answers come back.
    """

    def __init__(self, deliver: Deliver | None = None) -> None:
        self._deliver = deliver or into_this_loop()
        self._pending: dict[str, _Asked] = {}
        self._turns: dict[str, int] = {}
        self._lock = threading.Lock()
        # Its thread ends with the executor, and this with the last who holds it.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ourgan-explorer")
        self._computing = False

    def ask(
        self,
        key: str,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Do `work` in the thread, then `done(result)` or `failed(error)` where widgets may be changed."""
        with self._lock:
            waiting = key in self._pending
            self._pending[key] = (work, done, failed)
        if not waiting:
            self._thread.submit(self._next)

    def each(
        self,
        key: str,
        works: Sequence[Callable[[], Any]],
        one: Callable[[int, Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Do one after the other under `key`, letting other keys in between; `one(i, result)` after each.

        Another `each` under the same key, or `drop`, ends it: `one` is not called again.
        """
        turn = self._turns[key] = self._turns.get(key, 0) + 1

        def go(position: int) -> None:
            def done(result: Any) -> None:
                if self._turns[key] == turn:
                    one(position, result)
                    go(position + 1)

            if position < len(works):
                self.ask(key, works[position], done, failed)

        go(0)

    def drop(self, key: str) -> None:
        """End the `each` under `key`; what is being computed for it is not stopped, but forgotten."""
        self._turns[key] = self._turns.get(key, 0) + 1
        with self._lock:
            self._pending.pop(key, None)

    def busy(self) -> bool:
        """Whether anything waits, is being computed, or is on its way back."""
        with self._lock:
            return self._computing or bool(self._pending)

    def close(self) -> None:
        """Forget what waits; the thread ends after what it is at."""
        with self._lock:
            self._pending.clear()
        self._thread.shutdown(wait=False)

    def _next(self) -> None:
        with self._lock:
            if not self._pending:
                return
            work, done, failed = self._pending.pop(next(iter(self._pending)))
            self._computing = True
        outcome: Any = None
        error: Exception | None = None
        try:
            outcome = work()
        except Exception as caught:
            error = caught

        def answer() -> None:
            if error is not None:
                failed(error)
                return
            try:
                done(outcome)
            except Exception as caught:
                failed(caught)  # an event loop would put it where nobody looks

        try:
            self._deliver(answer)
        finally:
            self._computing = False
