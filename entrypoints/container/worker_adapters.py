"""The adapters of a worker process."""

from dependency_injector.providers import Provider, ThreadSafeSingleton

from adapters.redis.worker_heartbeat import RedisWorkerHeartbeat
from adapters.sql.search import SqlSearchIndex
from adapters.stripe.lazy_payments import LazyPayments
from application.ports.language_model import LanguageModel
from application.ports.payments import Payments
from application.ports.search import SearchIndex
from application.ports.worker_heartbeat import WorkerHeartbeat
from entrypoints.container.adapters import SharedAdapters, singleton
from entrypoints.container.language_models import language_model_of


class WorkerAdapters(SharedAdapters):
    """The adapters of a worker process."""

    settings, database, redis = SharedAdapters.settings, SharedAdapters.database, SharedAdapters.redis

    watched_model = singleton(language_model_of, settings)
    language_model: Provider[LanguageModel] = singleton(lambda watched: watched.watch, watched_model)
    worker_heartbeat: Provider[WorkerHeartbeat] = singleton(
        lambda redis, watched: RedisWorkerHeartbeat(redis, model_fault=watched.fault), redis, watched_model
    )
    search_index: Provider[SearchIndex] = singleton(lambda database: SqlSearchIndex(database), database)
    history_tokens = singleton(lambda settings: settings.history_tokens, settings)
    # Given the provider, not what it provides.
    payments: Provider[Payments] = ThreadSafeSingleton(
        LazyPayments, SharedAdapters.payments.provider, SharedAdapters.payment_mode
    )
    audit_retention = singleton(lambda settings: settings.audit_retention, settings)
