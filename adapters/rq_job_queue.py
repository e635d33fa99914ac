"""The doorbell: an RQ job that says "answer what is due", and nothing else."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

QUEUE = "replies"
ANSWER_DUE = "answer_due_replies"

log = structlog.get_logger(__name__)


class AllowListedJob(Job):
    """A job whose function is looked up among those that were registered.

    RQ's own Job imports and calls whatever path it finds in Redis: who can write there could run ``os.system``.
    """

    registered: Mapping[str, Callable[[], None]] = {}

    @property
    def func(self) -> Callable[[], None]:
        """The function registered under the job's name; KeyError for any other name."""
        return self.registered[self.func_name or ""]


class RqJobQueue:
    """The JobQueue port. Rings that nobody has answered yet are one ring."""

    def __init__(self, redis: Redis) -> None:
        """Ring through ``redis``."""
        self._queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer, job_class=AllowListedJob)

    def ring(self) -> None:
        """Wake a worker, unless a ring is waiting already: whoever takes that one will see what is due by then."""
        try:
            if self._queue.count == 0:
                self._queue.enqueue_call(ANSWER_DUE, timeout=60, result_ttl=0, failure_ttl=3600, description=ANSWER_DUE)
        except RedisError as error:
            log.warning("ring_failed", error=type(error).__name__)


class _Doorbell(SimpleWorker):
    """RQ's worker in this process, without a fork: a ring takes milliseconds, the replies run elsewhere."""

    told_to_stop = False

    def request_stop(self, signum: Any, frame: Any) -> None:
        """SIGINT or SIGTERM: finish the ring at hand, then return from ``work``."""
        # RQ's ``work`` returns in the same way when Redis goes away: this tells the two apart.
        self.told_to_stop = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def listen(redis: Redis, *, answer_due: Callable[[], None]) -> bool:
    """Call ``answer_due`` for each ring until the process is told to stop (True) or Redis goes away (False).

    Takes over SIGINT and SIGTERM while it runs, so it belongs in the main thread.
    """
    job_class = cast(
        "type[AllowListedJob]",
        type("RegisteredJob", (AllowListedJob,), {"registered": {ANSWER_DUE: answer_due}}),
    )
    worker: _Doorbell | None = None
    try:
        # Only one queue: with several, RQ takes a job in a way that loses it if the worker dies at that moment.
        queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer, job_class=job_class)
        worker = _Doorbell(
            [queue],
            connection=redis,
            job_class=job_class,
            serializer=JSONSerializer,
            log_job_description=False,
        )
        worker.work(logging_level="WARNING")
    except RedisError as error:
        log.warning("doorbell_lost", error=type(error).__name__)
    finally:
        redis.close()
    return worker is not None and worker.told_to_stop
