"""Probes that hang: the answer comes all the same, and none is started a second time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Semaphore

from adapters.concurrent_probes import ConcurrentProbes
from application.ports.health import Fault, Faults, Part
from tests.concurrency import eventually, together

PATIENCE_SECONDS = 20.0
SOON = 0.05


class HangingProbe:
    """Does not answer until it is let go; then it finds nothing wrong."""

    def __init__(self) -> None:
        self.let_go = Event()
        self.began = Semaphore(0)
        self.calls = 0

    def __call__(self) -> Faults:
        self.calls += 1
        self.began.release()
        self.let_go.wait(PATIENCE_SECONDS)
        return {}


@contextmanager
def hanging_probe() -> Iterator[HangingProbe]:
    probe = HangingProbe()
    try:
        yield probe
    finally:
        probe.let_go.set()


def no_workers() -> Faults:
    return {Part.WORKERS: Fault.ABSENT}


def test_the_faults_of_all_probes_are_joined():
    probe = ConcurrentProbes(
        {Part.REDIS: no_workers, Part.DATABASE: lambda: {Part.BACKLOG: Fault.HALF_FULL}}, seconds=PATIENCE_SECONDS
    )
    assert probe() == {Part.WORKERS: Fault.ABSENT, Part.BACKLOG: Fault.HALF_FULL}


def test_a_part_whose_probe_hangs_is_unreachable_and_the_others_answer():
    with hanging_probe() as database:
        probe = ConcurrentProbes({Part.DATABASE: database, Part.REDIS: no_workers}, seconds=SOON)
        assert probe() == {Part.DATABASE: Fault.UNREACHABLE, Part.WORKERS: Fault.ABSENT}


def test_a_probe_that_still_runs_is_not_started_twice():
    with hanging_probe() as database:
        probe = ConcurrentProbes({Part.DATABASE: database}, seconds=SOON)
        together([probe] * 4)
        assert probe() == {Part.DATABASE: Fault.UNREACHABLE}
        assert database.calls == 1


def test_callers_share_the_outcome_of_a_running_probe():
    with hanging_probe() as database:
        probe = ConcurrentProbes({Part.DATABASE: database}, seconds=PATIENCE_SECONDS)

        def let_go() -> Faults:
            assert database.began.acquire(timeout=PATIENCE_SECONDS)
            database.let_go.set()
            return {}

        actions: list[Callable[[], Faults]] = [probe, let_go]
        assert together(actions) == [{}, {}]


def test_after_it_has_ended_it_is_asked_again():
    with hanging_probe() as database:
        probe = ConcurrentProbes({Part.DATABASE: database}, seconds=SOON)
        assert probe() == {Part.DATABASE: Fault.UNREACHABLE}
        database.let_go.set()
        assert eventually(lambda: probe() == {})
        assert database.calls >= 2


def test_a_probe_that_breaks_counts_as_unreachable():
    def broken() -> Faults:
        raise ZeroDivisionError

    assert ConcurrentProbes({Part.REDIS: broken}, seconds=PATIENCE_SECONDS)() == {Part.REDIS: Fault.UNREACHABLE}
