"""Puts what counts around the adapters of a process. Without METRICS_PORT nothing of it is built or imported."""

from datetime import timedelta
from typing import TYPE_CHECKING

from prometheus_client import make_wsgi_app

from adapters.metrics.process import ProcessMetrics, QueueCollector, RoomsCollector, ServersCollector
from adapters.redis.connection import outage_of
from adapters.sql.queue_state import SqlQueueState
from application.ports.observation import RequestObserver, WorkerObserver
from entrypoints.container.adapters import SharedAdapters, wrap
from entrypoints.container.policies import reply_policy_of
from entrypoints.metrics import Metrics
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from entrypoints.container.web_adapters import WebAdapters
    from entrypoints.container.worker_adapters import WorkerAdapters

# Replies end soon after their deadline, unless all workers were away.
LATE = timedelta(hours=1)


def measure_web(adapters: "WebAdapters", settings: Settings) -> Metrics:
    """Call it before use cases are assembled: they get the adapters that count."""
    from adapters.metrics.web import (
        MeasuredEventReader,
        MeasuredFeedbackStore,
        MeasuredOtpBudget,
        MeasuredOtpDelivery,
        MeasuredPublisher,
        MeasuredRateLimiter,
        MeasuredRoomListCache,
        OtpMetrics,
        RequestMetrics,
    )

    queue = queue_state_of(settings)
    metrics = _of_process(adapters, queue)
    registry, otp = metrics.registry, OtpMetrics(metrics.registry)
    wrap(adapters.room_list_cache, lambda cache: MeasuredRoomListCache(cache, registry))
    wrap(adapters.feedback_store, lambda store: MeasuredFeedbackStore(store, registry))
    wrap(adapters.rate_limiter, lambda limiter: MeasuredRateLimiter(limiter, registry))
    wrap(adapters.otp_delivery, lambda delivery: MeasuredOtpDelivery(delivery, otp))
    wrap(adapters.otp_budget, lambda budget: MeasuredOtpBudget(budget, otp))
    wrap(adapters.read_payment_event, lambda read: MeasuredEventReader(read, metrics))
    wrap(adapters.reply_publisher, lambda publisher: MeasuredPublisher(publisher, metrics))
    return _exposed(metrics, queue, settings, RequestMetrics(registry))


def measure_worker(adapters: "WorkerAdapters", settings: Settings) -> tuple[Metrics, WorkerObserver]:
    """Call it before use cases are assembled."""
    from adapters.metrics.worker import MeasuredLanguageModel, WorkerMetrics

    queue = queue_state_of(settings)
    metrics = _of_process(adapters, queue)
    deadline = settings.reply_deadline
    wrap(
        adapters.language_model,
        lambda model: MeasuredLanguageModel(
            model,
            metrics.registry,
            deadline=deadline,
            breaker_is_open=adapters.watched_model().breaker.is_open,
            places=settings.worker_concurrency,
        ),
    )
    return _exposed(metrics, queue, settings, None), WorkerMetrics(metrics, deadline=deadline)


def queue_state_of(settings: Settings) -> SqlQueueState:
    return SqlQueueState(
        settings.database_url or "",
        user_concurrency=reply_policy_of(settings).shared(settings.worker_concurrency).user_concurrency,
        lifetime=settings.reply_deadline + LATE,
        sessions_are_shared=settings.sessions_are_shared,
    )


def _of_process(adapters: SharedAdapters, queue: SqlQueueState) -> ProcessMetrics:
    metrics = ProcessMetrics()
    database = adapters.database()
    outages = {"database": database.outage, "redis": outage_of(adapters.redis())}
    metrics.registry.register(ServersCollector(outages, database.connections))
    metrics.registry.register(QueueCollector(queue))
    return metrics


def _exposed(
    metrics: ProcessMetrics, queue: SqlQueueState, settings: Settings, on_request: RequestObserver | None
) -> Metrics:
    registry = metrics.registry
    return Metrics(
        exposition=make_wsgi_app(registry),
        host=settings.metrics_host,
        port=settings.metrics_port or 0,
        watch_rooms=lambda rooms: registry.register(RoomsCollector(rooms)),
        close=queue.close,
        on_request=on_request,
    )
