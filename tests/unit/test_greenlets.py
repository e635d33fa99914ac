"""Jobs that take turns on an event loop."""

import asyncio
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from threading import get_ident

import pytest
import uvloop

from adapters.greenlets import Greenlets

PATIENCE = 30.0
NAME: ContextVar[str] = ContextVar("NAME")


@pytest.fixture(params=["epoll", "no epoll"])
def greenlets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Greenlets]:
    if request.param == "no epoll":  # as on macOS
        monkeypatch.delattr(select, "epoll")
    greenlets = Greenlets(helpers=4)
    yield greenlets
    greenlets.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def on_a_loop(greenlets: Greenlets, *jobs: Callable[[], None]) -> None:
    """Start the jobs one after the other, and wait until all have ended."""

    async def main() -> None:
        ended = asyncio.Semaphore(0)

        def to_its_end(job: Callable[[], None]) -> None:
            job()
            ended.release()

        for job in jobs:
            greenlets.start(partial(to_its_end, job))
        for _ in jobs:
            await asyncio.wait_for(ended.acquire(), PATIENCE)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_a_job_that_waits_lets_others_work(greenlets: Greenlets, pair: tuple[socket.socket, socket.socket]):
    ours, theirs = pair
    happened: list[str] = []

    def reads() -> None:
        happened.append("waits")
        assert greenlets.wait_for(ours.fileno(), writing=False, seconds=PATIENCE)
        happened.append(ours.recv(10).decode())

    def writes() -> None:
        assert greenlets.wait_for(theirs.fileno(), writing=True, seconds=PATIENCE)
        happened.append("writes")
        theirs.send(b"hello")

    on_a_loop(greenlets, reads, writes)
    assert happened == ["waits", "writes", "hello"]


def test_a_job_may_wait_many_times(greenlets: Greenlets, pair: tuple[socket.socket, socket.socket]):
    ours, theirs = pair
    read: list[bytes] = []

    def asks() -> None:
        for number in range(20):
            theirs.send(b"%d" % number)
            assert greenlets.wait_for(ours.fileno(), writing=False, seconds=PATIENCE)
            read.append(ours.recv(10))

    on_a_loop(greenlets, asks)
    assert read == [b"%d" % number for number in range(20)]


def test_who_waits_for_too_long_is_told_so(greenlets: Greenlets, pair: tuple[socket.socket, socket.socket]):
    silent, _ = pair
    answers: list[bool] = []
    on_a_loop(greenlets, lambda: answers.append(greenlets.wait_for(silent.fileno(), writing=False, seconds=0.05)))
    assert answers == [False]


def test_what_waits_by_itself_runs_in_another_thread_in_the_context_of_the_job(greenlets: Greenlets):
    threads: list[int] = []
    happened: list[str] = []

    def waits() -> str:
        threads.append(get_ident())
        time.sleep(0.05)
        happened.append("waited")
        return NAME.get()

    def job() -> None:
        NAME.set("Asha")
        happened.append(greenlets.run(waits))
        threads.append(get_ident())

    on_a_loop(greenlets, job, lambda: happened.append("meanwhile"))
    assert happened == ["meanwhile", "waited", "Asha"]
    assert threads[0] != get_ident() == threads[1]


def test_what_it_raises_is_raised_in_the_job(greenlets: Greenlets):
    raised: list[BaseException] = []

    def fails() -> None:
        raise ConnectionError("gone")

    def job() -> None:
        try:
            greenlets.run(fails)
        except ConnectionError as error:
            raised.append(error)

    on_a_loop(greenlets, job)
    assert [str(error) for error in raised] == ["gone"]


def test_each_job_has_context_variables_of_its_own(greenlets: Greenlets, pair: tuple[socket.socket, socket.socket]):
    ours, theirs = pair
    seen: list[str] = []

    def first() -> None:
        NAME.set("first")
        greenlets.wait_for(ours.fileno(), writing=False, seconds=PATIENCE)
        seen.append(NAME.get())

    def second() -> None:
        seen.append(NAME.get("nothing"))
        NAME.set("second")
        theirs.send(b"go on")

    on_a_loop(greenlets, first, second)
    assert seen == ["nothing", "first"]


def test_in_a_thread_it_waits_as_a_thread_does(greenlets: Greenlets, pair: tuple[socket.socket, socket.socket]):
    ours, theirs = pair
    assert not greenlets.wait_for(ours.fileno(), writing=False, seconds=0.01)
    theirs.send(b"hello")
    assert greenlets.wait_for(ours.fileno(), writing=False, seconds=PATIENCE)
    assert greenlets.run(get_ident) == get_ident()
