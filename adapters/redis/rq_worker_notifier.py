"""The doorbell: an RQ job that says "answer what is due", and nothing else."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from application.ports.worker_notifier import WorkerNotifier

QUEUE = "replies"
ANSWER_DUE = "answer_due_replies"
SIGN_OFF_SECONDS = 0.25

log = structlog.get_logger(__name__)


def answered() -> None:
    """What RQ runs of a ring: nothing, it was answered before."""


class AllowListedJob(Job):
    """A job whose function is looked up among those that were registered.

    RQ's own Job imports and calls whatever path it finds in Redis: who can write there could run ``os.system``.
    """

    registered: Mapping[str, Callable[[], None]] = {ANSWER_DUE: answered}

    @property
    def func(self) -> Callable[[], None]:
        """The function registered under the job's name; KeyError for any other name."""
        return self.registered[self.func_name or ""]

    @property
    def success_callback(self) -> None:
        """None: RQ would import and call this one too."""

    @property
    def failure_callback(self) -> None:
        """None: RQ would import and call this one too."""

    @property
    def stopped_callback(self) -> None:
        """None: RQ would import and call this one too."""


class RqWorkerNotifier(WorkerNotifier):
    """The WorkerNotifier port. Rings that nobody has answered yet are one ring."""

    def __init__(self, redis: Redis) -> None:
        self._queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer, job_class=AllowListedJob)

    def notify(self) -> None:
        try:
            if self._queue.count == 0:
                self._queue.enqueue_call(ANSWER_DUE, timeout=60, result_ttl=0, failure_ttl=3600, description=ANSWER_DUE)
        except RedisError as error:
            log.warning("notify_failed", error=type(error).__name__)


class _NotificationWorker(SimpleWorker):
    """RQ's worker in this process, without a fork: a ring takes milliseconds, the replies run elsewhere.

    Nothing here waits long for Redis: a process that is told to stop has replies to hand back. RQ's own patience with a
    Redis that went silent is seven minutes.
    """

    dequeue_timeout = 2
    connection_timeout = 3
    # After an outage the sweeper does the work until the bell is heard again.
    max_connection_wait_time = 2.0

    answer_due: Callable[[], None]
    told_to_stop = False

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Answer what is due before RQ writes down that it will: its round trips delay nobody's reply."""
        # Known here alone; RQ writes it down in a moment. A signal that finds a worker at rest drops what it does.
        self.set_state(WorkerStatus.BUSY, pipeline=self.connection.pipeline())
        self._answer(job)
        super().execute_job(job, queue)

    def _answer(self, job: Job) -> None:
        try:
            if job.func_name == ANSWER_DUE:
                self.answer_due()
        except Exception:
            log.exception("notification_failed")

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Register in Redis; a signal that comes meanwhile is not missed."""
        self._install_signal_handlers()  # type: ignore[no-untyped-call]
        super().bootstrap(*args, **kwargs)

    def request_stop(self, signum: Any, frame: Any) -> None:
        """SIGINT or SIGTERM: finish the ring at hand, then return from ``work``."""
        # RQ's ``work`` returns in the same way when Redis goes away: this tells the two apart.
        self.told_to_stop = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def set_shutdown_requested_date(self) -> None:
        """Not kept: a signal handler does not wait for Redis."""

    def subscribe(self) -> None:
        """Not to remote commands: nobody sends them, and with Redis away RQ leaves the thread behind that listens."""

    def procline(self, message: str) -> None:
        """Not shown: the command line goes on saying which of our processes this is."""

    def teardown(self) -> None:
        """Sign off, if Redis takes that at once; if not, the registration expires by itself."""
        pool = self.connection.connection_pool
        brief = {"socket_timeout": SIGN_OFF_SECONDS, "socket_connect_timeout": SIGN_OFF_SECONDS}
        with Redis.from_pool(
            ConnectionPool(connection_class=pool.connection_class, **(pool.connection_kwargs | brief))
        ) as self.connection:
            super().teardown()  # type: ignore[no-untyped-call]


def listen(redis: Redis, *, answer_due: Callable[[], None]) -> bool:
    """Call ``answer_due`` for each ring until the process is told to stop (True) or Redis goes away (False).

    Takes over SIGINT and SIGTERM while it runs, so it belongs in the main thread.
    """
    worker: _NotificationWorker | None = None
    # One attempt; RQ makes the next one itself.
    redis.set_retry(Retry(NoBackoff(), 0))
    try:
        with _handlers_kept():
            # Only one queue: with several, RQ takes a job in a way that loses it if the worker dies at that moment.
            queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer, job_class=AllowListedJob)
            worker = _NotificationWorker(
                [queue],
                connection=redis,
                job_class=AllowListedJob,
                serializer=JSONSerializer,
                log_job_description=False,
            )
            worker.answer_due = answer_due
            worker.work(logging_level="WARNING")
    except RedisError as error:
        log.warning("notifications_lost", error=type(error).__name__)
    except StopRequested:
        pass  # the signal came while RQ's ``work`` was being entered or left
    finally:
        redis.close()
    return worker is not None and worker.told_to_stop


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Puts the signal handlers back: RQ's own, left in place, would raise in whatever runs after it."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
