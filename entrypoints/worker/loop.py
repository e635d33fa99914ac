"""Many replies at once in one process: claim what is due, write each in a thread, look again.

Rings make it quick; the sweeper's look at the database every second makes it sure, with Redis or without.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Condition, Event, Lock, Thread

import structlog

from application.ports.worker_presence import WorkerPresence
from application.use_cases import Replying
from domain.errors import DependencyDown
from domain.replies import ClaimedReply, ReplyId

SWEEP_SECONDS = 1.0
# With the database down, look less often, up to this.
BACKOFF_SECONDS = 8.0

log = structlog.get_logger(__name__)


class ReplyLoop:
    """Writes replies until it is stopped. ``answer_due`` may be called from any thread."""

    def __init__(self, replying: Replying, presence: WorkerPresence, *, concurrency: int) -> None:
        """At most ``concurrency`` replies are being written at any moment."""
        self._replying = replying
        self._presence = presence
        self._concurrency = concurrency
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="reply")
        self._claiming = Lock()
        self._running: dict[ReplyId, ClaimedReply] = {}
        self._changed = Condition()
        self._stopping = Event()
        self._sweeper = Thread(target=self._sweep_until_stopped, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin to look for work, now and every second."""
        self._sweeper.start()

    def answer_due(self) -> None:
        """Take as many due replies as there are free slots. DependencyDown when the database does not answer."""
        # One claim at a time: two would both count the same free slots.
        with self._claiming:
            free = self._concurrency - len(self._running)
            if free <= 0 or self._stopping.is_set():
                return  # whoever frees a slot looks again
            self._begin(self._replying.claim(limit=free))

    def stop(self, *, grace_seconds: float) -> None:
        """Take nothing more, wait for what is being written, and hand back what is not finished in time."""
        self._stopping.set()
        with self._claiming, self._changed:
            self._changed.wait_for(lambda: not self._running, timeout=grace_seconds)
            unfinished = list(self._running.values())
        for reply in unfinished:
            self._hand_back(reply)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, replies: Sequence[ClaimedReply]) -> None:
        for reply in replies:
            with self._changed:
                self._running[reply.claim.reply_id] = reply
            self._threads.submit(self._write, reply)

    def _write(self, reply: ClaimedReply) -> None:
        reply_id = reply.claim.reply_id
        with structlog.contextvars.bound_contextvars(reply_id=str(reply_id), attempt=reply.attempt):
            try:
                state = self._replying.write(reply)
                log.info("reply_written", state=state.value if state else "fenced")
            except Exception:
                # Its lease will run out, and the attempt was counted: it is tried again, or fails clearly.
                log.exception("reply_not_written")
            finally:
                with self._changed:
                    self._running.pop(reply_id, None)
                    self._changed.notify_all()
            self._look_again()

    def _look_again(self) -> None:
        try:
            self.answer_due()
        except DependencyDown:
            log.warning("database_unavailable")  # the sweeper goes on looking

    def _sweep_until_stopped(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            wait = SWEEP_SECONDS if self._sweep() else min(max(wait, SWEEP_SECONDS) * 2, BACKOFF_SECONDS)

    def _sweep(self) -> bool:
        self._presence.announce()
        try:
            while failed := self._replying.fail_hopeless():
                log.info("replies_failed_by_sweeper", count=failed)
            self.answer_due()
        except DependencyDown:
            log.warning("database_unavailable")
            return False
        except Exception:
            log.exception("sweep_failed")
            return False
        return True

    def _hand_back(self, reply: ClaimedReply) -> None:
        try:
            self._replying.release(reply)
        except DependencyDown:
            log.warning("reply_not_handed_back", reply_id=str(reply.claim.reply_id))
