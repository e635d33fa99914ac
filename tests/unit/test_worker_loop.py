"""Many replies at once in one process. Waiting here is for something to happen, never for time to pass."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Event, Semaphore, Thread
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from application.chat.search import ENTRIES_PER_BATCH, IndexEntries
from application.chat.write_reply import AskModel, FindStops, Outcome, Stored, StoreOutcome
from application.operations.retention import PurgeExpired
from application.ports.language_model import AnswerStopped, Exchange, Prompt, Stop
from application.ports.reader import Reader
from domain.errors import DependencyDown
from domain.replies import Answer, AnswerFailed, ClaimedReply, FailureReason, ReplyPolicy, ReplyState, Slots
from entrypoints.worker import loop as worker_loop
from entrypoints.worker.loop import ReplyLoop
from tests.builders import ASHA, AUDIT_RETENTION, House
from tests.concurrency import eventually

PATIENCE = 20.0  # seconds after which a test fails rather than hangs


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at now and then is looked at often."""
    monkeypatch.setattr(worker_loop, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(worker_loop, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(worker_loop, "STOPS_SECONDS", 0.01)


class HeldModel:
    """Answers when it is let go; an Exception where it was told so."""

    def __init__(self) -> None:
        self.asked = Semaphore(0)
        self.answers = Semaphore(0)
        self.faults: dict[str, Exception] = {}
        self.prompts: list[str] = []

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        """The answer, once one is let go."""
        self.prompts.append(prompt.text)
        on_chunk("echo: ")
        self.asked.release()
        stop.when_requested(self.answers.release)
        assert self.answers.acquire(timeout=PATIENCE)
        if stop.requested:
            raise AnswerStopped
        if prompt.text in self.faults:
            raise self.faults.pop(prompt.text)
        return Answer(f"echo: {prompt.text}", "held")


class Telling:
    """A use case that tells how each call of it ended."""

    def __init__(self, use_case: Callable[..., Any], *, done: Semaphore | None = None, failed: Semaphore) -> None:
        self._use_case = use_case
        self._done = done
        self._failed = failed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            outcome = self._use_case(*args, **kwargs)
        except Exception:
            self._failed.release()
            raise
        if self._done is not None:
            self._done.release()
        return outcome


class LoopAtWork:
    """A house with a loop at work, and a room for each message so that all are due at once."""

    def __init__(self, *, concurrency: int) -> None:
        self.house = House(basic_daily_prompts=1_000, reply_policy=ReplyPolicy(user_concurrency=1_000))
        self.asha = self.house.user(ASHA)
        self.model = HeldModel()
        self.written = Semaphore(0)  # or not, after an unexpected error
        self.not_stored = Semaphore(0)
        self.renewed_at = time.monotonic()
        replying = self.house.replying
        self.house.replying = replace(replying, ask_model=replace(replying.ask_model, language_model=self.model))
        self.loop = self.make_loop(concurrency)
        self.looked = Semaphore(0)
        self.loop._claim = Telling(  # type: ignore[method-assign]
            self.loop._claim, done=self.looked, failed=self.looked
        )
        self.loop.start()

    def make_loop(self, concurrency: int) -> ReplyLoop:
        """A loop that tells what it has written."""
        replying = self.house.replying
        return ReplyLoop(
            replace(
                replying,
                ask_model=cast("AskModel", Telling(replying.ask_model, failed=self.written)),
                store_outcome=cast(
                    "StoreOutcome", Telling(replying.store_outcome, done=self.written, failed=self.not_stored)
                ),
            ),
            self.house.worker_heartbeat,
            self.house.worker_notifier,
            concurrency=concurrency,
        )

    def say(self, *texts: str) -> None:
        """One message for each text, of a user of its own but for the first, which is Asha's."""
        for text in texts:
            sent = len(self.house.database.tables.messages)
            who = self.house.user(f"+9198765{sent:05d}") if sent else self.asha
            self.house.say(who, self.house.room(who), text)

    def states(self) -> Counter[ReplyState]:
        """How many replies are in which state."""
        return Counter(row.state for row in self.house.database.tables.replies.values())

    def wait_for(self, what: Semaphore, times: int) -> None:
        """Until it has happened so often."""
        for _ in range(times):
            assert what.acquire(timeout=PATIENCE)

    def renew(self) -> None:
        """Renew the leases as after half of one."""
        self.renewed_at += self.house.policy.lease.total_seconds() / 2
        self.loop._renew_leases(self.renewed_at)

    def look(self) -> None:
        """Until the loop has looked for work, from beginning to end."""
        while self.looked.acquire(blocking=False):
            pass
        # What it ends first may have begun earlier.
        for _ in range(2):
            self.loop.notify()
            self.wait_for(self.looked, 1)


@contextmanager
def running(concurrency: int = 10) -> Iterator[LoopAtWork]:
    opened = LoopAtWork(concurrency=concurrency)
    try:
        yield opened
    finally:
        opened.model.answers.release(1_000)
        opened.loop.stop(grace_seconds=PATIENCE)


def test_what_is_due_is_written():
    with running() as here:
        here.model.answers.release(3)
        here.say("a", "b", "c")
        here.loop.notify()
        here.wait_for(here.written, 3)
        assert here.states() == {ReplyState.DONE: 3}


def test_no_more_at_once_than_allowed_however_often_it_is_notified():
    with running(concurrency=2) as here:
        here.say("a", "b", "c", "d", "e")
        for _ in range(5):
            here.look()
        here.wait_for(here.model.asked, 2)
        assert here.states() == {ReplyState.RUNNING: 2, ReplyState.QUEUED: 3}


def test_a_slot_in_which_basic_has_its_share_is_pros():
    with running(concurrency=5) as here:
        here.say("basic")
        here.look()
        here.wait_for(here.model.asked, 1)
        assert here.loop._slots() == Slots(5, free=4, basic=1, turn=1)
        for number in range(5):
            pro = here.house.user(f"+9198764{number:05d}")
            here.house.subscribe(pro)
            here.house.say(pro, here.house.room(pro), "pro")
        here.say("more")
        here.look()
        here.wait_for(here.model.asked, 4)
        assert sorted(here.model.prompts) == ["basic", *["pro"] * 4]


def test_a_slot_that_gets_free_takes_the_next_without_another_notification():
    with running(concurrency=2) as here:
        here.say("a", "b", "c", "d", "e")
        here.loop.notify()
        here.model.answers.release(5)
        here.wait_for(here.written, 5)
        assert here.states() == {ReplyState.DONE: 5}


def test_what_had_to_wait_for_a_reply_is_claimed_when_that_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_loop, "SWEEP_SECONDS", PATIENCE)
    with running() as here:
        room = here.house.room(here.asha)
        for text in ("a", "b"):
            here.house.say(here.asha, room, text)
        here.loop.notify()
        here.model.answers.release(2)
        here.wait_for(here.written, 2)
        assert here.model.prompts == ["a", "b"]


def test_what_came_while_a_reply_was_written_is_claimed_when_that_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_loop, "SWEEP_SECONDS", PATIENCE)
    with running() as here:
        room = here.house.room(here.asha)
        here.house.say(here.asha, room, "a")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        store = here.loop._replying.store_outcome

        def store_meanwhile(reply: ClaimedReply, outcome: Outcome) -> Stored | None:
            if reply.prompt == "a":
                here.house.say(here.asha, room, "b")
                here.look()
            # As if it had been stored by a statement that began before.
            stored: Stored | None = store(reply, outcome)
            return stored._replace(others_wait=False) if stored else None

        here.loop._replying = replace(here.loop._replying, store_outcome=cast("StoreOutcome", store_meanwhile))
        here.model.answers.release(2)
        here.wait_for(here.written, 2)
        assert here.model.prompts == ["a", "b"]


def test_where_nothing_waits_the_end_of_a_reply_is_no_reason_to_look(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_loop, "SWEEP_SECONDS", PATIENCE)
    with running() as here:
        here.wait_for(here.looked, 1)  # as it began
        here.say("a")
        here.loop.notify()
        here.wait_for(here.looked, 1)
        here.model.answers.release()
        here.loop._threads.shutdown(wait=True)
        assert here.states() == {ReplyState.DONE: 1}
        assert not here.loop._look.is_set()
        assert not here.looked.acquire(blocking=False)


def test_work_is_found_without_any_notification():
    with running() as here:
        here.look()
        here.say("no worker was notified of this")
        here.model.answers.release()
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.DONE: 1}
        assert here.house.worker_heartbeat.announced


def test_an_unexpected_error_costs_one_attempt_and_no_slot():
    with running(concurrency=1) as here:
        here.model.faults["a"] = RuntimeError("a bug")
        here.model.answers.release(2)
        here.say("a", "b")
        here.loop.notify()
        here.wait_for(here.written, 2)
        assert here.states() == {ReplyState.RUNNING: 1, ReplyState.DONE: 1}
        here.house.clock.advance(here.house.policy.lease)
        here.model.answers.release()
        here.loop.notify()
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.DONE: 2}


def test_the_sweeper_fails_expired_replies():
    with running() as here:
        here.say("a", "b")
        here.house.clock.advance(here.house.policy.deadline)
        here.loop._sweep()
        assert here.states() == {ReplyState.FAILED: 2}
        assert here.house.used(here.asha) == 0


def test_the_sweeper_forgets_what_was_kept_long_enough():
    with running() as here:
        here.house.clock.advance(2 * AUDIT_RETENTION)
        here.loop._forget_old()
        assert not here.house.database.tables.audit_events


def test_it_looks_for_more_with_each_sweep_until_there_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_loop, "FORGET_SECONDS", PATIENCE)
    deleted = [3, 2, 1, 0]
    looked, swept = Semaphore(0), Semaphore(0)

    def purge() -> int:
        looked.release()
        return deleted.pop(0)

    with running() as here:
        another = here.make_loop(concurrency=1)
        another._replying = replace(another._replying, purge_expired=cast("PurgeExpired", purge))
        another._sweep = Telling(another._sweep, done=swept, failed=swept)  # type: ignore[method-assign]
        another.start()
        here.wait_for(looked, 4)
        here.wait_for(swept, 4 + 3)
        another.stop(grace_seconds=PATIENCE)
    assert deleted == []
    assert not looked.acquire(blocking=False)


def test_the_sweeper_makes_messages_searchable():
    with running() as here:
        here.say(*map(str, range(ENTRIES_PER_BATCH + 1)))
        assert eventually(lambda: len(here.house.database.tables.search_terms) == ENTRIES_PER_BATCH + 1)


def test_what_is_new_is_made_searchable_with_the_next_sweep(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_loop, "INDEX_SECONDS", PATIENCE)
    with running() as here:
        for text in ("one", "two"):
            here.say(text)
            here.loop.notify()
            here.model.answers.release()
            here.wait_for(here.written, 1)
            # The text of the message, and that of its reply.
            assert eventually(lambda: len(here.house.database.tables.search_terms) == 2 * len(here.model.prompts))


def test_where_nothing_is_new_what_cannot_be_searched_is_looked_for_now_and_then(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_loop, "INDEX_SECONDS", PATIENCE)
    more = [True, True, False]
    looked, swept = Semaphore(0), Semaphore(0)

    def index() -> bool:
        looked.release()
        return more.pop(0)

    with running() as here:
        monkeypatch.setattr(worker_loop, "INDEXING_SECONDS", 0.0)
        another = here.make_loop(concurrency=1)
        another._replying = replace(another._replying, index_entries=cast("IndexEntries", index))
        another._sweep = Telling(another._sweep, done=swept, failed=swept)  # type: ignore[method-assign]
        another.start()
        here.wait_for(looked, 3)
        here.wait_for(swept, 3 + 3)
        another.stop(grace_seconds=PATIENCE)
    assert more == []
    assert not looked.acquire(blocking=False)


@pytest.mark.parametrize("trouble", [DependencyDown("database"), ZeroDivisionError()])
@pytest.mark.parametrize(("use_case", "step"), [("purge_expired", "_forget_old"), ("index_entries", "_index_entries")])
def test_housekeeping_that_fails_stops_nothing_else(use_case: str, step: str, trouble: Exception):
    def fail() -> None:
        raise trouble

    failing: dict[str, Any] = {use_case: fail}
    with running() as here:
        here.loop._replying = replace(here.loop._replying, **failing)
        getattr(here.loop, step)()
        here.model.answers.release(1)
        here.say("a")
        here.loop.notify()
        here.wait_for(here.written, 1)


def test_with_the_database_down_it_says_so_and_goes_on_afterwards():
    with running() as here:
        here.house.database_probe.on = False
        assert not here.loop._claim()
        with pytest.raises(DependencyDown):
            here.loop._sweep()
        here.look()
        here.house.database_probe.on = True
        here.model.answers.release()
        here.say("a")
        here.loop.notify()
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.DONE: 1}


def test_a_database_that_goes_down_before_the_answer_is_stored_loses_nothing():
    with running() as here:
        here.say("a")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        here.house.database_probe.on = False
        here.model.answers.release()
        here.wait_for(here.not_stored, 3)
        here.house.database_probe.on = True
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.DONE: 1}
        assert here.model.prompts == ["a"]  # nor is it asked for twice


def test_an_answer_that_can_never_be_stored_fails_at_once_and_is_refunded():
    with running() as here:
        store = here.loop._replying.store_outcome

        def refuse_answers(reply: ClaimedReply, outcome: Outcome) -> Stored | None:
            if isinstance(outcome, Answer):
                raise UnicodeEncodeError("ascii", "…", 0, 1, "of an encoding that has no such character")
            return store(reply, outcome)

        here.loop._replying = replace(here.loop._replying, store_outcome=cast("StoreOutcome", refuse_answers))
        here.model.answers.release()
        here.say("a")
        here.loop.notify()
        here.wait_for(here.written, 1)
        [row] = here.house.database.tables.replies.values()
        assert (row.state, row.failure) == (ReplyState.FAILED, FailureReason.NOT_STORABLE)
        assert here.house.used(here.asha) == 0
        assert here.model.prompts == ["a"]


def test_a_database_that_is_down_is_logged_once_and_so_is_its_return():
    with running() as here, capture_logs() as logs:
        here.house.database_probe.on = False
        for _ in range(5):
            assert not here.loop._claim()
        here.house.database_probe.on = True
        for _ in range(5):
            assert here.loop._claim()
    claiming = [line["event"] for line in logs if line.get("activity") == "claiming"]
    assert claiming == ["database_unavailable", "database_available_again"]


def test_a_failed_attempt_is_logged_with_its_reason_and_its_times():
    busy = AnswerFailed(FailureReason.MODEL_BUSY, status=429, code="RESOURCE_EXHAUSTED", model="gemini-busy")
    with running() as here, capture_logs() as logs:
        here.model.faults["a"] = busy
        here.say("a")
        here.loop.notify()
        here.model.answers.release()
        here.wait_for(here.written, 1)
        assert eventually(lambda: "reply_written" in [line["event"] for line in logs])
    [line] = [line for line in logs if line["event"] == "reply_written"]
    assert line["queue_ms"] >= 0
    assert line["model_ms"] >= 0
    facts = ("state", "reason", "provider_status", "provider_code", "model", "asked")
    assert {name: line[name] for name in facts} == {
        "state": "queued",
        "reason": "model_busy",
        "provider_status": 429,
        "provider_code": "RESOURCE_EXHAUSTED",
        "model": "gemini-busy",
        "asked": True,
    }


def test_an_answer_is_logged_with_its_model_and_without_its_text():
    with running() as here, capture_logs() as logs:
        here.say("a secret")
        here.loop.notify()
        here.model.answers.release()
        here.wait_for(here.written, 1)
        assert eventually(lambda: "reply_written" in [line["event"] for line in logs])
    [line] = [line for line in logs if line["event"] == "reply_written"]
    assert (line["state"], line["model"]) == ("done", "held")
    assert "secret" not in repr(logs)


def test_a_reply_that_expired_is_logged_with_its_reason():
    with running(concurrency=1) as here, capture_logs() as logs:
        here.say("a", "b")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        here.house.clock.advance(here.house.policy.deadline * 2)
        here.model.answers.release(2)
        assert eventually(lambda: "reply_expired" in [line["event"] for line in logs])
    assert "deadline_exceeded" in [line["reason"] for line in logs if line["event"] == "reply_expired"]


def test_a_history_that_cannot_be_read_uses_no_attempt_up():
    class ReaderOfAnotherDay:
        def history(self, *_args: object, **_options: object) -> Sequence[Exchange]:
            raise DependencyDown("database")

    with running() as here:
        replying = here.house.replying
        here.house.replying = replace(
            replying,
            ask_model=replace(replying.ask_model, reader=cast("Reader", ReaderOfAnotherDay()), history_tokens=100),
        )
        loop = here.make_loop(1)
        here.loop.stop(grace_seconds=PATIENCE)
        here.say("a")
        loop.start()
        here.wait_for(here.written, 2)  # it was not asked, and that was stored
        loop.stop(grace_seconds=PATIENCE)
        [row] = here.house.database.tables.replies.values()
        assert (row.state, row.attempt) == (ReplyState.QUEUED, 0)
        assert row.available_at == here.house.clock() + here.house.policy.first_backoff


def test_a_user_may_stop_what_is_being_written():
    with running() as here:
        here.say("a", "b")
        here.loop.notify()
        here.wait_for(here.model.asked, 2)
        reply_id = next(
            row.queued.id
            for row in here.house.database.tables.replies.values()
            if here.house.database.tables.messages[row.queued.message_id].content == "a"
        )
        assert here.house.cancel(here.asha, reply_id) is ReplyState.RUNNING
        here.wait_for(here.written, 1)
        row = here.house.database.tables.replies[reply_id]
        assert (row.state, row.content) == (ReplyState.CANCELLED, "echo: ")
        assert here.states() == {ReplyState.CANCELLED: 1, ReplyState.RUNNING: 1}


def test_the_lease_of_a_long_answer_is_renewed():
    with running() as here:
        here.say("a")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        for _ in range(5):
            here.house.clock.advance(here.house.policy.lease * 0.8)
            here.renew()
            assert here.house.claim() == []
        here.model.answers.release()
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.DONE: 1}
        assert here.model.prompts == ["a"]


def test_a_lease_is_renewed_no_more_often_than_needed():
    with running() as here:
        here.say("a")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        [row] = here.house.database.tables.replies.values()
        here.house.clock.advance(timedelta(seconds=1))
        here.loop._renew_leases(time.monotonic())
        assert list(here.house.database.tables.replies.values()) == [row]


def test_no_lease_is_renewed_past_the_deadline():
    with running() as here:
        here.say("a")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        here.house.clock.advance(here.house.policy.deadline)
        here.loop._renew_leases(time.monotonic() + here.house.policy.deadline.total_seconds())
        assert here.house.sweep() == 1


def test_an_answer_whose_lease_is_lost_is_not_read_to_its_end():
    with running() as here:
        here.say("a")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        here.house.clock.advance(here.house.policy.lease)
        other = here.house.claim_one()
        here.renew()
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.RUNNING: 1}
        here.model.answers.release()
        assert here.house.write(other) is ReplyState.DONE


def test_with_the_database_down_no_lease_is_renewed_and_the_answer_goes_on():
    with running() as here:
        here.say("a")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        here.house.database_probe.on = False
        here.renew()
        here.house.database_probe.on = True
        here.model.answers.release()
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.DONE: 1}


def test_what_was_claimed_twice_by_one_worker_is_stopped_and_handed_back_as_the_second():
    with running() as here:
        here.say("a")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        here.house.clock.advance(here.house.policy.lease)  # as after a long stop of the process
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        here.model.answers.release()
        here.wait_for(here.written, 1)
        # The first to be let go is the first that was asked: it ends without effect, and the second is not forgotten.
        with here.loop._changed:
            assert here.loop._changed.wait_for(lambda: len(here.loop._running) == 1, timeout=PATIENCE)
        [row] = here.house.database.tables.replies.values()
        assert [claim.lease_token for claim in here.loop._running] == [row.lease_token]
        here.loop.stop(grace_seconds=0)
        assert here.states() == {ReplyState.QUEUED: 1}


def test_a_full_worker_notifies_another_one():
    with running(concurrency=2) as here:
        here.look()
        here.say("a")
        notified = here.house.worker_notifier.notified
        here.look()
        assert here.house.worker_notifier.notified == notified
        here.say("b", "c")
        notified = here.house.worker_notifier.notified
        here.look()
        assert here.house.worker_notifier.notified == notified + 1


def test_a_worker_that_stays_full_does_not_notify_with_each_claim(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("entrypoints.worker.loop.BETWEEN_NOTIFICATIONS_SECONDS", PATIENCE)
    with running(concurrency=1) as here:
        here.say("a", "b", "c", "d")
        notified = here.house.worker_notifier.notified
        here.model.answers.release(4)
        here.loop.notify()
        here.wait_for(here.written, 4)
        assert here.house.worker_notifier.notified == notified + 1


def test_the_database_is_not_asked_about_stops_while_nothing_runs():
    asked: list[Collection[object]] = []
    with running() as here:
        find_stops = cast("FindStops", asked.append)
        here.loop._replying = replace(here.house.replying, find_stops=find_stops)
        here.loop._propagate_cancellation()
        assert asked == []


def test_stopping_waits_for_what_is_being_written_and_takes_nothing_more():
    with running(concurrency=1) as here:
        here.say("a", "b")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        stopping = Thread(target=here.loop.stop, kwargs={"grace_seconds": PATIENCE})
        stopping.start()
        assert here.loop._stopping.wait(PATIENCE)
        here.model.answers.release()
        stopping.join(PATIENCE)
        assert not stopping.is_alive()
        here.loop.notify()
        assert here.states() == {ReplyState.DONE: 1, ReplyState.QUEUED: 1}


def test_what_is_not_finished_in_time_is_handed_back_untried_and_answered_once_by_another():
    with running() as here:
        here.say("a")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        here.loop.stop(grace_seconds=0)
        [row] = here.house.database.tables.replies.values()
        assert (row.state, row.attempt) == (ReplyState.QUEUED, 0)
        [other] = here.house.claim()
        here.model.answers.release(2)
        here.wait_for(here.written, 1)
        assert here.states() == {ReplyState.RUNNING: 1}  # the late answer of the stopped one was not taken
        assert here.house.write(other) is ReplyState.DONE


def test_stopping_with_the_database_down_ends_all_the_same():
    with running() as here:
        here.say("a")
        here.loop.notify()
        here.wait_for(here.model.asked, 1)
        here.house.database_probe.on = False
        here.loop.stop(grace_seconds=0)
        here.house.database_probe.on = True
        assert here.states() == {ReplyState.RUNNING: 1}  # until its lease runs out


def test_notifications_from_many_threads_take_each_reply_once():
    with running(concurrency=3) as here:
        here.say(*"abcdefghij")
        go = Event()

        def notify() -> None:
            go.wait(PATIENCE)
            here.loop.notify()

        notifiers = [Thread(target=notify) for _ in range(8)]
        for notifier in notifiers:
            notifier.start()
        go.set()
        for notifier in notifiers:
            notifier.join(PATIENCE)
        here.look()
        assert here.states() == {ReplyState.RUNNING: 3, ReplyState.QUEUED: 7}
        here.model.answers.release(10)
        here.wait_for(here.written, 10)
        assert here.states() == {ReplyState.DONE: 10}
        assert all(row.attempt == 1 for row in here.house.database.tables.replies.values())
