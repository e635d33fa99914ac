"""The worker process."""

from collections.abc import Callable

from dependency_injector import providers

from adapters.redis.connection import connect_for_rq
from adapters.redis.rq_worker_notifier import listen
from adapters.stripe.lazy_payments import LazyPayments
from entrypoints.container.language_models import language_model_of
from entrypoints.container.maintenance import MaintenanceStories
from entrypoints.container.outside import Outside
from entrypoints.container.replying import ReplyStories
from entrypoints.settings import Settings
from entrypoints.worker.run import WorkerParts

# Its replies need one for a few milliseconds at the beginning and at the end.
WORKER_CONNECTIONS = 8


def build_worker(settings: Settings) -> WorkerParts:
    """The use cases of a worker process, its doorbell and its heartbeat."""
    outside = WorkerOutside(settings=settings, connections=WORKER_CONNECTIONS, application_name="worker")
    redis_url = settings.redis_url or ""

    def listen_for_notifications(answer_due: Callable[[], None]) -> bool:
        return listen(connect_for_rq(redis_url), answer_due=answer_due)

    return WorkerParts(
        replying=ReplyStories(outside=outside).replying(),
        billing=MaintenanceStories(outside=outside).maintenance(),
        heartbeat=outside.worker_heartbeat(),
        worker_notifier=outside.worker_notifier(),
        listen=listen_for_notifications,
        close=outside.database().close,
        concurrency=settings.worker_concurrency,
    )


class WorkerOutside(Outside):
    """The adapters of a worker process."""

    language_model = providers.ThreadSafeSingleton(language_model_of, Outside.settings)
    history_tokens = Outside.settings.provided.history_tokens
    payments = providers.ThreadSafeSingleton(LazyPayments, Outside.payments.provider)
    audit_retention = Outside.settings.provided.audit_retention
