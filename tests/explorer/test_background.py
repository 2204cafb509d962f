"""The cache, and the thread that answers the latest request alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ourgan.explorer.state.background import ByteCache, Worker, dispatch_to_loop

Until = Callable[[Callable[[], object]], None]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 12)), max_size=60))
def test_a_cache_never_holds_more_than_its_limit(asked: list[tuple[int, int]]) -> None:
    cache, lengths, order = ByteCache(4 * 20), {}, []
    for key, length in asked:
        known = key in cache
        value = cache.find_or_make(key, lambda n=length: torch.zeros(n))
        assert known == (len(value) == lengths.get(key) and known)
        lengths[key] = len(value)
        order = [other for other in order if other != key] + [key]
        kept = [other for other in order if other in cache]
        assert cache.currsize == 4 * sum(lengths[other] for other in kept) <= cache.maxsize
        assert key in cache and order[len(order) - len(kept) :] == kept and len(cache) == len(kept)


def test_a_cache_does_not_keep_what_is_too_large() -> None:
    cache = ByteCache(8)
    assert len(cache.find_or_make("a", lambda: torch.zeros(9))) == 9
    assert "a" not in cache and cache.currsize == 0


def test_of_many_wishes_the_last_is_done(until: Until) -> None:
    worker, gate, results = Worker(), threading.Event(), []
    worker.submit("other", gate.wait, lambda _: None, results.append)
    for wish in range(50):
        worker.submit("slider", lambda wish=wish: wish, results.append, results.append)
    worker.submit("button", lambda: "pressed", results.append, results.append)
    assert worker.busy()
    gate.set()
    until(lambda: not worker.busy())
    assert results == [49, "pressed"]
    worker.close()


def test_others_come_in_between(until: Until) -> None:
    worker, done = Worker(), []

    def one(index: int, result: str) -> None:
        done.append(result)
        if index == 1:
            worker.submit("slider", lambda: "slider", done.append, done.append)

    worker.submit_each("gallery", [lambda n=n: f"sample {n}" for n in range(4)], one, done.append)
    until(lambda: not worker.busy())
    assert sorted(done) == ["sample 0", "sample 1", "sample 2", "sample 3", "slider"]
    assert done.index("slider") <= 3
    worker.close()


def test_another_row_or_a_drop_ends_the_first(until: Until) -> None:
    worker, done, gate = Worker(), [], threading.Event()
    worker.submit_each(
        "row", [lambda: gate.wait() and "a", lambda: "b"], lambda _, r: done.append(r), done.append
    )
    until(lambda: worker._computing)
    worker.submit_each("row", [lambda: "c", lambda: "d"], lambda _, r: done.append(r), done.append)
    gate.set()
    until(lambda: not worker.busy())
    assert done == ["c", "d"]
    gate.clear()
    worker.submit_each(
        "row", [lambda: gate.wait() and "e", lambda: "f"], lambda _, r: done.append(r), done.append
    )
    until(lambda: worker._computing)
    worker.drop("row")
    gate.set()
    until(lambda: not worker.busy())
    assert done == ["c", "d"]
    worker.close()


def test_an_error_is_handed_back_and_the_worker_goes_on(until: Until) -> None:
    worker, done, failed = Worker(), [], []
    worker.submit("a", lambda: 1 / 0, done.append, failed.append)
    worker.submit_each("b", [lambda: 1, lambda: [][0], lambda: 3], lambda _, r: done.append(r), failed.append)
    until(lambda: not worker.busy())
    worker.submit("c", lambda: 4, done.append, failed.append)
    worker.submit("d", lambda: 5, lambda result: {}[result], failed.append)  # the answer itself goes wrong
    until(lambda: not worker.busy())
    assert done == [1, 4]
    assert [type(error) for error in failed] == [ZeroDivisionError, IndexError, KeyError]
    worker.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ourgan-explorer") and _alive(t)]


def _alive(thread: threading.Thread) -> bool:
    thread.join(5)
    return thread.is_alive()


def test_answers_come_in_the_loop_that_runs() -> None:
    async def notebook() -> tuple[threading.Thread, list[object]]:
        worker, answers = Worker(dispatch_to_loop()), []
        worker.submit("a", lambda: threading.current_thread(), answers.append, answers.append)
        worker.submit("b", lambda: 0, lambda _: answers.append(threading.current_thread()), answers.append)
        for _ in range(500):
            await asyncio.sleep(0.01)
            if len(answers) == 2:
                break
        worker.close()
        return threading.current_thread(), answers

    own, (worked, answered) = asyncio.run(notebook())
    assert worked is not own and answered is own
