"""Many replies at once in one process: claim what is due, write each in a thread, look again.

Notifications make it quick; the look at the database every second makes it sure, with Redis or without.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Condition, Event, Lock, Thread
from typing import Any

import structlog

from application.background_use_cases import ReplyUseCases
from application.chat.write_reply import Outcome, Stored
from application.ports.language_model import Stop
from application.ports.observation import TraceReply, WorkerObserver
from application.ports.worker_heartbeat import WorkerHeartbeat
from application.ports.worker_notifier import WorkerNotifier
from domain.errors import DependencyDown
from domain.replies import Answer, AnswerFailed, Claim, ClaimedReply, FailureReason, Slots

SWEEP_SECONDS = 1.0
# How soon a worker that found nothing old looks for it again. While it finds some, it deletes a batch with each sweep.
FORGET_SECONDS = 10.0
# How soon a worker that has left nothing unsearchable looks again, unless it hears of something new: that is looked for
# with the next sweep.
INDEX_SECONDS = 10.0
# How soon a user's wish to stop a reply that is being written is seen.
STOPS_SECONDS = 0.4
# While replies are written, claims are not made more often than this: under load each takes several.
BETWEEN_CLAIMS_SECONDS = 0.01
# How often a worker that is full calls for others.
BETWEEN_NOTIFICATIONS_SECONDS = 0.25
# Of each sweep: how long messages are made searchable at most. What is left has its turn in the next one.
INDEXING_SECONDS = 0.2
# With the database down: how soon to try again, at first and at most.
RETRY_SECONDS = 0.5
RETRY_AT_MOST_SECONDS = 8.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Running:
    reply: ClaimedReply
    stop: Stop = field(default_factory=Stop)
    began: float = field(default_factory=time.monotonic)
    renewed: float = field(default_factory=time.monotonic)

    def renewal_is_due(self, now: float, after: float) -> bool:
        # Not past the deadline, so that a thread that hangs cannot keep its reply for ever.
        return now - self.renewed >= after and now - self.began < self.reply.seconds_left


class _DatabaseState:
    """Whether the database is there, as one activity of a worker finds it: a line in the log for each change."""

    def __init__(self, activity: str) -> None:
        self._activity = activity
        self._lock = Lock()
        self._is_there = True

    def unavailable(self) -> None:
        if self._changes(is_there=False):
            log.warning("database_unavailable", activity=self._activity)

    def available(self) -> None:
        if not self._is_there and self._changes(is_there=True):
            log.info("database_available_again", activity=self._activity)

    def _changes(self, *, is_there: bool) -> bool:
        with self._lock:
            before, self._is_there = self._is_there, is_there
        return before != is_there


class ReplyLoop:
    """Writes replies until it is stopped."""

    def __init__(
        self,
        replying: ReplyUseCases,
        heartbeat: WorkerHeartbeat,
        worker_notifier: WorkerNotifier,
        *,
        concurrency: int,
        observer: WorkerObserver | None = None,
        trace: TraceReply | None = None,
    ) -> None:
        """At most ``concurrency`` replies are being written at any moment."""
        self._replying = replying
        self._observer = observer
        self._trace = trace or _untraced
        self._heartbeat = heartbeat
        self._worker_notifier = worker_notifier
        self._concurrency = concurrency
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="reply")
        # By claim: a reply whose lease ran out may be here twice, and the second time is what counts.
        self._running: dict[Claim, _Running] = {}
        self._changed = Condition()
        self._look = Event()
        self._notified_at = 0.0
        self._claims = 0
        # Whether the last look may have left what can be claimed once a reply ends.
        self._look_after_end = False
        # Whether there may be messages or replies that were not there when this worker last made some searchable.
        self._entries_are_new = True
        self._claiming, self._writing = _DatabaseState("claiming"), _DatabaseState("writing")
        self._renewing = _DatabaseState("renewing")
        self._sweeping, self._purging = _DatabaseState("sweeping"), _DatabaseState("purging")
        self._indexing = _DatabaseState("indexing")
        self._stopping = Event()
        self._ended = Event()
        self._renew_after = replying.renew_lease.due_after.total_seconds()
        self._renewer = Thread(target=self._renew_until_ended, name="lease-renewer", daemon=True)
        self._background_threads = [
            Thread(target=self._claim_until_stopped, name="claimer", daemon=True),
            Thread(target=self._sweep_until_stopped, name="sweeper", daemon=True),
        ]

    def start(self) -> None:
        """Begin to look for work: now, at every notification, and every second."""
        self._look.set()
        for thread in (*self._background_threads, self._renewer):
            thread.start()

    def notify(self) -> None:
        """Look for work now. Returns at once."""
        self._entries_are_new = True
        self._look.set()

    def stop(self, *, grace_seconds: float) -> None:
        """Take nothing more, wait for what is being written, and hand back what is not finished in time."""
        until = time.monotonic() + grace_seconds
        self._stopping.set()
        self._look.set()
        for thread in self._background_threads:
            thread.join(max(until - time.monotonic(), 0))
        with self._changed:
            self._changed.wait_for(lambda: not self._running, timeout=max(until - time.monotonic(), 0))
            unfinished = [running.reply for running in self._running.values()]
        self._ended.set()
        for reply in unfinished:
            self._hand_back(reply)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _claim_until_stopped(self) -> None:
        wait = SWEEP_SECONDS
        while not self._stopping.is_set():
            self._look.wait(wait)
            self._look.clear()
            wait = SWEEP_SECONDS if self._claim() else min(wait * 2, RETRY_AT_MOST_SECONDS)
            if self._running:
                self._stopping.wait(BETWEEN_CLAIMS_SECONDS)

    def _claim(self) -> bool:
        """Take as many due replies as there are free slots; False when that is not possible now."""
        with self._changed:
            # What is being written may be what another reply has to wait for.
            self._look_after_end = bool(self._running)
            slots = self._slots()
        if slots.free <= 0 or self._stopping.is_set():
            return True  # a slot that gets free makes us look again
        began = time.monotonic()
        try:
            replies = self._replying.claim(slots)
        except DependencyDown:
            self._claiming.unavailable()
            return False
        except Exception:
            log.exception("claim_failed")
            return False
        self._claiming.available()
        if self._observer is not None:
            self._observer.claimed(len(replies), seconds=time.monotonic() - began)
        if replies:
            self._claims += 1
            self._entries_are_new = True
        if len(replies) == slots.free:
            self._look_after_end = True
        self._begin(replies)
        if len(replies) == slots.free:
            self._notify_workers()
        return True

    def _slots(self) -> Slots:
        with self._changed:
            basic = sum(not one.reply.urgent for one in self._running.values())
            return Slots(self._concurrency, self._concurrency - len(self._running), basic, turn=self._claims)

    def _notify_workers(self) -> None:
        """There may be more than we can take. A notification costs as much as a reply: not one for each."""
        if time.monotonic() - self._notified_at > BETWEEN_NOTIFICATIONS_SECONDS:
            self._notified_at = time.monotonic()
            self._worker_notifier.notify()

    def _begin(self, replies: Sequence[ClaimedReply]) -> None:
        for reply in replies:
            running = _Running(reply)
            with self._changed:
                self._running[reply.claim] = running
            self._threads.submit(self._write, running)

    def _write(self, running: _Running) -> None:
        reply = running.reply
        others_wait = True
        line = structlog.contextvars.bound_contextvars(reply_id=str(reply.claim.reply_id), attempt=reply.attempt)
        with self._trace(reply), line:
            try:
                began = time.monotonic()
                outcome = self._ask(running)
                stored = self._store(reply, outcome, model_seconds=time.monotonic() - began)
                others_wait = stored is None or stored.others_wait
            except Exception:
                # Its lease will run out, and the attempt was counted: it is tried again, or fails clearly.
                log.exception("reply_not_written")
            finally:
                with self._changed:
                    self._running.pop(reply.claim, None)
                    self._changed.notify_all()
                    look_again = others_wait or self._look_after_end
                    self._entries_are_new = True
                if look_again:
                    self._look.set()

    def _ask(self, running: _Running) -> Outcome:
        try:
            return self._replying.ask_model(running.reply, stop=running.stop)
        except DependencyDown:
            # What was said before cannot be read, and the model was not asked: no attempt is used up.
            self._writing.unavailable()
            return AnswerFailed(FailureReason.MODEL_UNREACHABLE, asked=False)

    def _store(self, reply: ClaimedReply, outcome: Outcome, *, model_seconds: float) -> Stored | None:
        """Store the outcome, also if the database is down for a moment: the model has done its work."""
        give_up_at = time.monotonic() + reply.seconds_left
        while True:
            try:
                stored = self._replying.store_outcome(reply, outcome)
            except DependencyDown:
                self._writing.unavailable()
                if self._stopping.is_set() or time.monotonic() > give_up_at:
                    raise
                time.sleep(RETRY_SECONDS)
            except Exception:
                if not isinstance(outcome, Answer):
                    raise
                # No other attempt would end otherwise, and each would be paid for.
                log.exception("answer_not_storable")
                outcome = AnswerFailed(FailureReason.NOT_STORABLE)
            else:
                self._writing.available()
                state = stored.state if stored else None
                if self._observer is not None:
                    reason = outcome.reason if isinstance(outcome, AnswerFailed) else None
                    self._observer.written(reply, state, reason, seconds=model_seconds)
                log.info(
                    "reply_written",
                    state=state.value if state else "fenced",
                    queue_ms=round(reply.seconds_queued * 1000),
                    model_ms=round(model_seconds * 1000),
                    **_facts(outcome),
                )
                return stored

    def _renew_until_ended(self) -> None:
        # A thread of its own, which nothing else holds up, and which goes on while a stopped worker finishes.
        while not self._ended.wait(self._renew_after / 4):
            self._renew_leases(time.monotonic())

    def _renew_leases(self, now: float) -> None:
        with self._changed:
            due = [one for one in self._running.values() if one.renewal_is_due(now, self._renew_after)]
        for one in due:
            try:
                if self._replying.renew_lease(one.reply.claim):
                    one.renewed = now
                else:
                    one.stop.request()  # nothing more of it can be stored
            except DependencyDown:
                self._renewing.unavailable()
                return
            except Exception:
                log.exception("lease_not_renewed")
                return
            self._renewing.available()

    def _sweep_until_stopped(self) -> None:
        swept_at = 0.0
        forget_at = index_at = 0.0
        wait = 0.0
        while not self._stopping.wait(wait):
            try:
                if sweeps := time.monotonic() - swept_at >= SWEEP_SECONDS:
                    swept_at = time.monotonic()
                    self._sweep()
                self._propagate_cancellation()
                self._sweeping.available()
                if sweeps and time.monotonic() >= forget_at:
                    more = self._forget_old()
                    forget_at = 0.0 if more else time.monotonic() + FORGET_SECONDS
                if sweeps and (self._entries_are_new or time.monotonic() >= index_at):
                    more = self._index_entries()
                    index_at = 0.0 if more else time.monotonic() + INDEX_SECONDS
                wait = STOPS_SECONDS
            except DependencyDown:
                self._sweeping.unavailable()
                wait = min(max(wait, RETRY_SECONDS) * 2, RETRY_AT_MOST_SECONDS)
            except Exception:
                log.exception("sweep_failed")
                wait = RETRY_AT_MOST_SECONDS

    def _sweep(self) -> None:
        self._heartbeat.announce()
        while expired := self._replying.fail_expired():
            for ended in expired:
                reason = ended.failure.value if ended.failure else None
                if self._observer is not None:
                    self._observer.expired(ended)
                log.info("reply_expired", reply_id=str(ended.reply_id), reason=reason)
            self._look.set()

    def _forget_old(self) -> bool:
        """Delete a batch; whether there may be more."""
        # On its own: housekeeping that fails or waits keeps no reply from being stopped.
        try:
            expired = self._replying.purge_expired()
            removed = self._purge_removed()
            self._purging.available()
            return bool(expired or removed)
        except DependencyDown:
            self._purging.unavailable()
        except Exception:
            log.exception("nothing_forgotten")
        return False

    def _purge_removed(self) -> bool:
        purged = self._replying.purge_removed_chatrooms()
        found = bool(purged.chatrooms or purged.messages or purged.replies)
        if found:
            log.info(
                "removed_chatrooms_purged",
                chatrooms=purged.chatrooms,
                messages=purged.messages,
                replies=purged.replies,
            )
        return found

    def _index_entries(self) -> bool:
        """Make entries searchable for a while; whether there may be more."""
        # Before the look: what ends meanwhile may be missed by it.
        self._entries_are_new = False
        until = time.monotonic() + INDEXING_SECONDS
        try:
            while (more := self._replying.index_entries()) and time.monotonic() < until:
                pass
            self._indexing.available()
        except DependencyDown:
            self._indexing.unavailable()
        except Exception:
            log.exception("nothing_indexed")
        else:
            return more
        return True

    def _propagate_cancellation(self) -> None:
        with self._changed:
            running = list(self._running.values())
        if not running:
            return
        stops = set(self._replying.find_stops([one.reply.claim.reply_id for one in running]))
        for one in running:
            if one.reply.claim.reply_id in stops:
                one.stop.request()

    def _hand_back(self, reply: ClaimedReply) -> None:
        try:
            self._replying.release(reply)
        except DependencyDown:
            log.warning("reply_not_handed_back", reply_id=str(reply.claim.reply_id))


def _untraced(_reply: ClaimedReply) -> AbstractContextManager[None]:
    return nullcontext()


def _facts(outcome: Outcome) -> dict[str, Any]:
    """What is logged of an outcome: no text of the user, the model or the provider."""
    if isinstance(outcome, Answer):
        return {"model": outcome.model}
    if isinstance(outcome, AnswerFailed):
        return {
            "reason": outcome.reason.value,
            "provider_status": outcome.status,
            "provider_code": outcome.code,
            "model": outcome.model,
            "asked": outcome.asked,
        }
    return {}
