"""Many replies at once in one process. Waiting here is for something to happen, never for time to pass."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Event, Semaphore, Thread

import pytest

from application.chat.write_reply import WriteReply
from domain.errors import DependencyDown
from domain.replies import Answer, ClaimedReply, ReplyState
from entrypoints.worker.loop import ReplyLoop
from tests.builders import ASHA, House

PATIENCE = 20.0  # seconds after which a test fails rather than hangs


class HeldModel:
    """Answers when it is let go; an Exception where it was told so."""

    def __init__(self) -> None:
        """Begin holding."""
        self.asked = Semaphore(0)
        self.answers = Semaphore(0)
        self.faults: dict[str, Exception] = {}

    def answer(self, prompt: str, *, within: timedelta) -> Answer:
        """The answer, once one is let go."""
        self.asked.release()
        assert self.answers.acquire(timeout=PATIENCE)
        if prompt in self.faults:
            raise self.faults.pop(prompt)
        return Answer(f"echo: {prompt}", "held")


@dataclass(frozen=True)
class ToldWriteReply(WriteReply):
    """Tells when a reply was written, or not."""

    written: Semaphore

    def __call__(self, reply: ClaimedReply) -> ReplyState | None:
        """As always."""
        try:
            return WriteReply.__call__(self, reply)
        finally:
            self.written.release()


class Shop:
    """A house with a loop, and a room for each message so that all are due at once."""

    def __init__(self, *, concurrency: int) -> None:
        """Open, with nobody at work yet."""
        self.house = House(basic_daily_prompts=1_000)
        self.asha = self.house.user(ASHA)
        self.model = HeldModel()
        self.written = Semaphore(0)
        write = ToldWriteReply(self.house.begin, self.model, self.house.policy, self.written)
        self.loop = ReplyLoop(
            replace(self.house.replying, write=write), self.house.worker_presence, concurrency=concurrency
        )

    def say(self, *texts: str) -> None:
        """One message in a room of its own for each text."""
        for text in texts:
            self.house.say(self.asha, self.house.room(self.asha), text)

    def states(self) -> Counter[ReplyState]:
        """How many replies are in which state."""
        return Counter(row.state for row in self.house.database.tables.replies.values())

    def wait_for(self, what: Semaphore, times: int) -> None:
        """Until it has happened so often."""
        for _ in range(times):
            assert what.acquire(timeout=PATIENCE)


@contextmanager
def shop(concurrency: int = 10) -> Iterator[Shop]:
    """Closed at the end, whatever happened."""
    opened = Shop(concurrency=concurrency)
    try:
        yield opened
    finally:
        opened.model.answers.release(1_000)
        opened.loop.stop(grace_seconds=PATIENCE)


def test_what_is_due_is_written():
    with shop() as here:
        here.model.answers.release(3)
        here.say("a", "b", "c")
        here.loop.answer_due()
        here.wait_for(here.written, 3)
        assert here.states() == {ReplyState.DONE: 3}


def test_no_more_at_once_than_allowed_however_often_it_rings():
    with shop(concurrency=2) as here:
        here.say("a", "b", "c", "d", "e")
        for _ in range(5):
            here.loop.answer_due()
        here.wait_for(here.model.asked, 2)
        assert here.states() == {ReplyState.RUNNING: 2, ReplyState.QUEUED: 3}


def test_a_slot_that_gets_free_takes_the_next_without_another_ring():
    with shop(concurrency=2) as here:
        here.say("a", "b", "c", "d", "e")
        here.loop.answer_due()
        here.model.answers.release(5)
        here.wait_for(here.written, 5)
        assert here.states() == {ReplyState.DONE: 5}


def test_work_is_found_without_any_ring():
    with shop() as here:
        here.say("nobody rang for this")
        here.model.answers.release()
        here.loop.start()
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.DONE: 1}
        assert here.house.worker_presence.announced


def test_an_error_nobody_foresaw_costs_one_attempt_and_no_slot():
    with shop(concurrency=1) as here:
        here.model.faults["a"] = RuntimeError("a bug")
        here.model.answers.release(2)
        here.say("a", "b")
        here.loop.answer_due()
        here.wait_for(here.written, 2)
        assert here.states() == {ReplyState.RUNNING: 1, ReplyState.DONE: 1}
        here.house.clock.advance(here.house.policy.lease)
        here.model.answers.release()
        here.loop._sweep()
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.DONE: 2}


def test_the_sweeper_fails_what_is_hopeless():
    with shop() as here:
        here.say("a", "b")
        here.house.clock.advance(here.house.policy.deadline)
        assert here.loop._sweep()
        assert here.states() == {ReplyState.FAILED: 2}
        assert here.house.used(here.asha) == 0


def test_with_the_database_down_it_says_so_and_goes_on_afterwards():
    with shop() as here:
        here.say("a")
        here.house.database_probe.on = False
        with pytest.raises(DependencyDown):
            here.loop.answer_due()
        assert not here.loop._sweep()
        here.house.database_probe.on = True
        here.model.answers.release()
        assert here.loop._sweep()
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.DONE: 1}


def test_a_database_that_goes_down_before_the_answer_is_stored_loses_nothing():
    with shop() as here:
        here.say("a")
        here.loop.answer_due()
        here.wait_for(here.model.asked, 1)
        here.house.database_probe.on = False
        here.model.answers.release()
        here.wait_for(here.written, 1)
        here.house.database_probe.on = True
        assert here.states() == {ReplyState.RUNNING: 1}
        here.house.clock.advance(here.house.policy.lease)
        here.model.answers.release()
        here.loop._sweep()
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.DONE: 1}


def test_stopping_waits_for_what_is_being_written_and_takes_nothing_more():
    with shop(concurrency=1) as here:
        here.say("a", "b")
        here.loop.answer_due()
        here.wait_for(here.model.asked, 1)
        stopping = Thread(target=here.loop.stop, kwargs={"grace_seconds": PATIENCE})
        stopping.start()
        assert here.loop._stopping.wait(PATIENCE)
        here.model.answers.release()
        stopping.join(PATIENCE)
        assert not stopping.is_alive()
        here.loop.answer_due()
        assert here.states() == {ReplyState.DONE: 1, ReplyState.QUEUED: 1}


def test_what_is_not_finished_in_time_is_handed_back_untried_and_answered_once_by_another():
    with shop() as here:
        here.say("a")
        here.loop.answer_due()
        here.wait_for(here.model.asked, 1)
        here.loop.stop(grace_seconds=0)
        [row] = here.house.database.tables.replies.values()
        assert (row.state, row.attempt) == (ReplyState.QUEUED, 0)
        [other] = here.house.claim()
        here.model.answers.release()
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.RUNNING: 1}  # the late answer of the stopped one was not taken
        assert here.house.write(other) is ReplyState.DONE


def test_stopping_with_the_database_down_ends_all_the_same():
    with shop() as here:
        here.say("a")
        here.loop.answer_due()
        here.wait_for(here.model.asked, 1)
        here.house.database_probe.on = False
        here.loop.stop(grace_seconds=0)
        here.house.database_probe.on = True
        assert here.states() == {ReplyState.RUNNING: 1}  # until its lease runs out


def test_rings_from_many_threads_take_each_reply_once():
    with shop(concurrency=3) as here:
        here.say(*"abcdefghij")
        go = Event()

        def ring() -> None:
            go.wait(PATIENCE)
            here.loop.answer_due()

        bells = [Thread(target=ring) for _ in range(8)]
        for bell in bells:
            bell.start()
        go.set()
        for bell in bells:
            bell.join(PATIENCE)
        assert here.states() == {ReplyState.RUNNING: 3, ReplyState.QUEUED: 7}
        here.model.answers.release(10)
        here.wait_for(here.written, 10)
        assert here.states() == {ReplyState.DONE: 10}
        assert all(row.attempt == 1 for row in here.house.database.tables.replies.values())
