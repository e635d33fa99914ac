"""A worker process from start to end."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from types import FrameType
from typing import NoReturn

import structlog

from application.background_use_cases import BillingMaintenance, ReplyUseCases
from application.ports.observation import ReportError, TraceReply, WorkerObserver
from application.ports.worker_heartbeat import WorkerHeartbeat
from application.ports.worker_notifier import WorkerNotifier
from entrypoints.logs import report_errors_to
from entrypoints.metrics import Metrics, serve_metrics
from entrypoints.worker.billing import BillingTask
from entrypoints.worker.loop import ReplyLoop

REDIS_RETRY_SECONDS = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker process is made of.

    ``listen(answer_due)`` calls ``answer_due`` for each notification; it returns True when the process was told to
    stop, False when Redis went away.
    """

    replying: ReplyUseCases
    billing: BillingMaintenance
    heartbeat: WorkerHeartbeat
    worker_notifier: WorkerNotifier
    listen: Callable[[Callable[[], None]], bool]
    close: Callable[[], None]
    concurrency: int
    # How long replies may go on after SIGTERM before they are handed back to other workers.
    grace: timedelta
    # None: they are off.
    metrics: Metrics | None = None
    observer: WorkerObserver | None = None
    trace: TraceReply | None = None
    report_error: ReportError | None = None


def run_worker(worker: WorkerParts) -> NoReturn:
    """Write replies until SIGINT, SIGTERM or SIGHUP. The process ends here, with status 0."""
    if worker.report_error is not None:
        report_errors_to(worker.report_error)
    loop = ReplyLoop(
        worker.replying,
        worker.heartbeat,
        worker.worker_notifier,
        concurrency=worker.concurrency,
        observer=worker.observer,
        trace=worker.trace,
    )
    loop.start()
    billing = BillingTask(worker.billing, worker.observer)
    billing.start()
    if worker.metrics is not None:
        serve_metrics(worker.metrics)
    log.info("worker_ready", concurrency=worker.concurrency)
    _listen_until_stopped(worker, loop)
    billing.stop()
    loop.stop(grace_seconds=worker.grace.total_seconds())
    worker.close()
    log.info("worker_stopped")
    sys.stderr.flush()
    # Threads that still wait for the model cannot be interrupted and would keep the interpreter from ending; what they
    # were writing has been handed back.
    os._exit(0)


def _listen_until_stopped(worker: WorkerParts, loop: ReplyLoop) -> None:
    stopped = Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    # While it listens RQ puts its own in their place. A second signal does nothing more.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    while not stopped.is_set():
        if worker.listen(loop.notify):
            return
        stopped.wait(REDIS_RETRY_SECONDS)
