"""The adapters of every process, each under the port that it implements."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import Dependency, Object, Provider, ThreadSafeSingleton

from adapters.redis.connection import connect
from adapters.redis.reply_stream import RedisReplyPublisher
from adapters.redis.rq_worker_notifier import RqWorkerNotifier
from adapters.sql.database import Database, make_pool
from adapters.sql.ledger import SqlLedger
from adapters.sql.reader import SqlReader
from adapters.sql.unit_of_work import SqlUnitOfWorkFactory
from adapters.system_runtime import system_clock
from adapters.waiting import POLLING, Waiter
from application.ports.ledger import Ledger
from application.ports.payments import Payments
from application.ports.reader import Reader
from application.ports.reply_stream import ReplyPublisher
from application.ports.runtime import Clock
from application.ports.unit_of_work import UnitOfWorkFactory
from application.ports.worker_notifier import WorkerNotifier
from domain.billing import RetryEvents
from entrypoints.container.payments import payment_mode_of, payments_of, sandbox_of
from entrypoints.container.policies import allowances_of, billing_policy_of, reply_policy_of
from entrypoints.settings import Settings

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


@overload
def singleton(build: Callable[[], T], /) -> Provider[T]: ...
@overload
def singleton(build: Callable[[A], T], a: Provider[A], /) -> Provider[T]: ...
@overload
def singleton(build: Callable[[A, B], T], a: Provider[A], b: Provider[B], /) -> Provider[T]: ...
@overload
def singleton(build: Callable[[A, B, C], T], a: Provider[A], b: Provider[B], c: Provider[C], /) -> Provider[T]: ...
@overload
def singleton(
    build: Callable[[A, B, C, D], T], a: Provider[A], b: Provider[B], c: Provider[C], d: Provider[D], /
) -> Provider[T]: ...
def singleton(build: Callable[..., T], /, *arguments: Provider[Any]) -> Provider[T]:
    """One object a process, built when it is first asked for.

    ThreadSafeSingleton with its arguments checked: the library's own signature takes anything. Classes are called in a
    lambda, for only where mypy sees the call does it refuse one that leaves a method of its port unwritten.
    """
    return ThreadSafeSingleton(build, *arguments)


def wrap(provider: Provider[T], wrapper: Callable[[T], T]) -> None:
    """Have ``wrapper`` around what is provided. Call it before use cases are assembled: they get what it made."""
    provider.override(Object(wrapper(provider())))


class SharedAdapters(DeclarativeContainer):
    """The adapters of every process."""

    settings: Dependency[Settings] = Dependency(instance_of=Settings)
    connections: Dependency[int] = Dependency(instance_of=int)
    application_name: Dependency[str] = Dependency(instance_of=str)
    waiter: Dependency[Waiter] = Dependency(default=Object(POLLING))

    clock: Provider[Clock] = Object(system_clock)

    database = singleton(
        lambda settings, size, name, waiter: Database(
            make_pool(
                settings.database_url or "",
                size=size,
                application_name=name,
                sessions_are_shared=settings.sessions_are_shared,
                waiter=waiter,
            )
        ),
        settings,
        connections,
        application_name,
        waiter,
    )
    unit_of_work: Provider[UnitOfWorkFactory] = singleton(lambda database: SqlUnitOfWorkFactory(database), database)
    reader: Provider[Reader] = singleton(lambda database: SqlReader(database), database)
    ledger: Provider[Ledger] = singleton(lambda database: SqlLedger(database), database)

    redis = singleton(
        lambda settings, waiter: connect(settings.redis_url or "", prefix=settings.key_prefix, waiter=waiter),
        settings,
        waiter,
    )
    worker_notifier: Provider[WorkerNotifier] = singleton(lambda redis: RqWorkerNotifier(redis), redis)
    reply_publisher: Provider[ReplyPublisher] = singleton(lambda redis: RedisReplyPublisher(redis), redis)

    payment_sandbox = singleton(sandbox_of, settings)
    payment_mode = singleton(payment_mode_of, settings)
    payments: Provider[Payments] = singleton(payments_of, settings, payment_sandbox, unit_of_work)
    billing_policy = singleton(billing_policy_of, settings)
    retry_events = Object(RetryEvents())
    reconcile_every = singleton(lambda settings: settings.reconcile_every, settings)

    allowances = singleton(allowances_of, settings)
    reply_policy = singleton(reply_policy_of, settings)

    if TYPE_CHECKING:
        # The library's answers every name with Provider[Any], so that a misspelt adapter would fit everywhere.
        def __getattr__(self, name: str) -> Provider[None]: ...
