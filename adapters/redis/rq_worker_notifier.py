"""Wakes workers through RQ, which the list of packages for this project asks for.

A job carries no work, only the notification that replies are due; which ones they are stands in the database. A
blocking pop from a list in Redis would do the same in 25 lines.

Running a job costs RQ some sixty commands, most of them for its records, and some providers are paid by the command. So
RQ enqueues the job and takes it, and the records are left out: seven commands (docs/decisions/0036).
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.exceptions import DeserializationError, StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from application.ports.worker_notifier import WorkerNotifier

QUEUE = "replies"
ANSWER_DUE = "answer_due_replies"
# How the ids of our jobs begin.
OURS = f"{ANSWER_DUE}-"
# A notification that follows another one sooner than that asks first whether the other one still waits.
ASKS_WITHIN_SECONDS = 0.25
SIGN_OFF_SECONDS = 0.25
# How often a worker renews its registration, which expires after eight minutes (RQ's own).
REGISTERED_ANEW_EVERY = timedelta(minutes=1)

log = structlog.get_logger(__name__)


def answered() -> None:
    """Job body: a no-op. Our workers do not run it; it is what another one of RQ's would find to run."""


class AllowListedJob(Job):
    """A job whose function is looked up in ``registered``.

    RQ's own Job imports and calls any dotted path that it finds in Redis: write access there could run ``os.system``.
    """

    registered: Mapping[str, Callable[[], None]] = {ANSWER_DUE: answered}

    @classmethod
    def fetch(cls, id: str, connection: Redis, serializer: Any = None) -> Job:  # type: ignore[override]
        """The job of that id. Of ours the id says all that is in Redis, which is not asked."""
        if not id.startswith(OURS):
            return super().fetch(id, connection=connection, serializer=serializer)
        return cls.create(ANSWER_DUE, id=id, connection=connection, serializer=serializer)

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
    """Enqueues a job unless one is waiting: the worker that takes it will find all replies due by then.

    On an idle service none is waiting, and Redis is not asked: then two may wait, if no worker takes the first.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        # Until then (``time.monotonic``) one may be waiting.
        self._asks_until = 0.0
        self._queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer, job_class=AllowListedJob)

    def notify(self) -> None:
        try:
            if time.monotonic() >= self._asks_until or self._queue.count == 0:
                # RQ asks for MULTI and EXEC around it. The job is written before its id, and that is enough.
                with self._redis.pipeline(transaction=False) as pipeline:
                    self._queue.enqueue_call(
                        ANSWER_DUE,
                        timeout=60,
                        result_ttl=0,
                        failure_ttl=3600,
                        description=ANSWER_DUE,
                        job_id=f"{OURS}{uuid4().hex}",
                        pipeline=pipeline,
                    )
                    pipeline.explicit_transaction = False
                    *_, waiting = pipeline.execute()
                self._asks_until = math.inf if waiting > 1 else time.monotonic() + ASKS_WITHIN_SECONDS
        except RedisError as error:
            log.warning("notify_failed", error=type(error).__name__)


class _NotificationWorker(SimpleWorker):
    """RQ's worker in this process, without a fork: a notification takes milliseconds, the replies run in threads.

    Nothing here waits long for Redis: a process that is told to stop has replies to hand back. RQ by default waits for
    a silent Redis for seven minutes.
    """

    # How long Redis is asked to wait for a job, and how long for its answer. A signal does not wait for either.
    dequeue_timeout = 10
    connection_timeout = 11
    # Until the connection is back, the worker's regular look for due replies does the work.
    max_connection_wait_time = 2.0

    answer_due: Callable[[], None]
    told_to_stop = False

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Wake the claim loop, and delete the job. RQ runs any other job, which fails: it is not registered."""
        # In memory only: RQ's signal handler raises StopRequested in an idle worker.
        self.set_state(WorkerStatus.BUSY)
        if not self._notified_by(job):
            super().execute_job(job, queue)
            return
        with self.connection.pipeline(transaction=False) as pipeline:
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            pipeline.delete(job.key)
            pipeline.execute()

    def _notified_by(self, job: Job) -> bool:
        """Whether the job is a notification; then the claim loop was woken."""
        try:
            notifies = job.func_name == ANSWER_DUE
        except DeserializationError:
            return False
        if notifies:
            try:
                self.answer_due()
            except Exception:
                log.exception("notification_failed")
        return notifies

    def set_state(self, state: str, pipeline: Pipeline | None = None) -> None:
        """Keeps the state in this process, without Redis: it changes twice with each notification."""
        super().set_state(state, pipeline=self.connection.pipeline() if pipeline is None else pipeline)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Renews the registration if it is time. RQ does so five times with each job, and with each wait for one."""
        last = self.last_heartbeat
        if pipeline is not None or last is None or datetime.now(UTC) - last >= REGISTERED_ANEW_EVERY:
            super().heartbeat(timeout, pipeline)

    def check_for_suspension(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: ``rq suspend`` would not stop the replies, which are claimed every second as well."""

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Register in Redis, with the signal handlers installed before, so that no signal is missed meanwhile."""
        self._install_signal_handlers()  # type: ignore[no-untyped-call]
        # RQ does not know SIGHUP: a terminal that closes, and some supervisors, send it to stop a process.
        signal.signal(signal.SIGHUP, self.request_stop)
        super().bootstrap(*args, **kwargs)

    def request_stop(self, signum: Any, frame: Any) -> None:
        """On SIGINT, SIGTERM or SIGHUP: finish the current job, then return from ``work``."""
        # RQ's ``work`` returns in the same way when Redis goes away: this tells the two apart.
        self.told_to_stop = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def set_shutdown_requested_date(self) -> None:
        """Does nothing: a signal handler must not wait for Redis."""

    def subscribe(self) -> None:
        """Does nothing: remote commands are not used, and RQ leaks their thread when Redis goes away."""

    def procline(self, message: str) -> None:
        """Does nothing: the process title goes on saying which of our processes this is."""

    def teardown(self) -> None:
        """Sign off if Redis answers at once; otherwise the registration expires by itself."""
        pool = self.connection.connection_pool
        brief = {"socket_timeout": SIGN_OFF_SECONDS, "socket_connect_timeout": SIGN_OFF_SECONDS}
        with Redis.from_pool(
            ConnectionPool(connection_class=pool.connection_class, **(pool.connection_kwargs | brief))
        ) as self.connection:
            super().teardown()  # type: ignore[no-untyped-call]


def listen(redis: Redis, *, answer_due: Callable[[], None]) -> bool:
    """Call ``answer_due`` for each notification until the process is told to stop (True) or Redis goes away (False).

    Takes over SIGINT and SIGTERM while it runs, so it belongs in the main thread.
    """
    worker: _NotificationWorker | None = None
    # One attempt for each command: RQ itself retries.
    redis.set_retry(Retry(NoBackoff(), 0))
    try:
        with _handlers_kept():
            # Only one queue: from several, RQ takes a job in a way that loses it if the worker dies at that moment.
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
        pass  # the signal came just as RQ's ``work`` began or ended
    finally:
        redis.close()
    return worker is not None and worker.told_to_stop


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Restores the signal handlers: RQ's own would raise in the code that runs after the worker."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
