"""The adapters that processes have in common."""

from dependency_injector import containers, providers

from adapters.redis.connection import connect
from adapters.redis.reply_stream import RedisReplyPublisher
from adapters.redis.rq_worker_notifier import RqWorkerNotifier
from adapters.redis.worker_heartbeat import RedisWorkerHeartbeat
from adapters.sql.database import Database, make_pool
from adapters.sql.ledger import SqlLedger
from adapters.sql.reader import SqlReader
from adapters.sql.unit_of_work import SqlUnitOfWorkFactory
from adapters.system_runtime import system_clock
from domain.billing import RetryEvents
from entrypoints.container.payments import payments_of, sandbox_of
from entrypoints.container.policies import allowances_of, billing_policy_of, reply_policy_of
from entrypoints.settings import Settings


class Outside(containers.DeclarativeContainer):
    """The adapters that processes have in common."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    connections: providers.Dependency[int] = providers.Dependency(instance_of=int)
    application_name: providers.Dependency[str] = providers.Dependency(instance_of=str)

    clock = providers.Object(system_clock)

    database = providers.ThreadSafeSingleton(
        lambda settings, size, name: Database(make_pool(settings.database_url, size=size, application_name=name)),
        settings,
        connections,
        application_name,
    )
    unit_of_work = providers.ThreadSafeSingleton(SqlUnitOfWorkFactory, database)
    reader = providers.ThreadSafeSingleton(SqlReader, database)
    ledger = providers.ThreadSafeSingleton(SqlLedger, database)

    redis = providers.ThreadSafeSingleton(lambda settings: connect(settings.redis_url), settings)
    worker_heartbeat = providers.ThreadSafeSingleton(RedisWorkerHeartbeat, redis)
    worker_notifier = providers.ThreadSafeSingleton(RqWorkerNotifier, redis)
    reply_publisher = providers.ThreadSafeSingleton(RedisReplyPublisher, redis)

    payment_sandbox = providers.ThreadSafeSingleton(sandbox_of, settings)
    payments = providers.ThreadSafeSingleton(payments_of, settings, payment_sandbox)
    billing_policy = providers.ThreadSafeSingleton(billing_policy_of, settings)
    retry_events = providers.Object(RetryEvents())
    reconcile_every = settings.provided.reconcile_every

    allowances = providers.ThreadSafeSingleton(allowances_of, settings)
    reply_policy = providers.ThreadSafeSingleton(reply_policy_of, settings)
