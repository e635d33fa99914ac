"""Who asks the same at the same time shares an answer, and never one that is older than the question."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import pytest

from adapters.stripe.shared_reads import SharedReads
from tests.concurrency import eventually


def test_all_who_come_meanwhile_share_the_next_one():
    shared, go, lock = SharedReads[int](), Event(), Lock()
    asked: list[int] = []

    def read() -> int:
        with lock:
            asked.append(len(asked))
        go.wait(10)
        return len(asked)

    with ThreadPoolExecutor(10) as threads:
        first = threads.submit(shared, "cus_1", read)
        assert eventually(lambda: len(asked) == 1, within=10)
        others = [threads.submit(shared, "cus_1", read) for _ in range(9)]
        assert shared("cus_2", lambda: 7) == 7  # another customer does not wait
        assert eventually(lambda: "cus_1" in shared._next, within=10)
        go.set()
        assert first.result(10) == 1
        assert all(one.result(10) >= 1 for one in others)
    assert len(asked) <= 10
    assert not shared._under_way
    assert not shared._next


def test_a_failure_is_that_of_all_who_shared_it_and_of_nobody_after():
    shared = SharedReads[int]()

    def fail() -> int:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it is the one above
        shared("cus_1", fail)
    assert shared("cus_1", lambda: 1) == 1
