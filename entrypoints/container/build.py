"""The processes, each built to the last use case: wrong wiring fails at the start.

Each function imports what its process needs, so that no process pays in memory for what only another one uses: a worker
has no use for the use cases of requests, nor anything but a migration for Alembic's 10 MB.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog

from entrypoints.settings import Settings

if TYPE_CHECKING:
    from adapters.sentry import SentryErrors
    from application.background_use_cases import Administration, BillingMaintenance
    from application.operations.audit import ReadAudit
    from application.ports.health import Probe
    from application.ports.observation import ReportError, TraceRequest
    from application.ports.payment_sandbox import PaymentSandbox
    from application.ports.queue_state import ReadQueue
    from application.use_cases import UseCases
    from entrypoints.metrics import Metrics
    from entrypoints.server.rooms import Job
    from entrypoints.worker.run import WorkerParts

# Beside those of ordinary requests: so many that no room of the web server (entrypoints/web_rooms.py) waits for the
# connections of another, be it because a table is locked or because an account is erased. They are opened when needed.
OTHER_CONNECTIONS = 18
# Replies need one for a few milliseconds at the beginning and at the end.
WORKER_CONNECTIONS = 8

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Web:
    """What a web process needs."""

    use_cases: "UseCases"
    close: Callable[[], None]
    sandbox: "PaymentSandbox | None" = None
    # None: they are off.
    metrics: "Metrics | None" = None
    trace: "TraceRequest | None" = None
    report_error: "ReportError | None" = None
    # Runs a request on the event loop. None: every request needs a thread.
    start_on_loop: "Callable[[Job], None] | None" = None


@dataclass(frozen=True, slots=True)
class OperatorCommands:
    """What an operator's command needs."""

    billing: "BillingMaintenance"
    close: Callable[[], None]


def build_web(settings: Settings) -> Web:
    from adapters.greenlets import Greenlets
    from entrypoints.container.payments import webhook_secrets_of
    from entrypoints.container.use_cases import use_cases
    from entrypoints.container.web_adapters import WebAdapters

    greenlets = Greenlets(helpers=settings.web_threads * 2 + 4)
    adapters = WebAdapters(
        settings=settings,
        connections=settings.web_threads + OTHER_CONNECTIONS,
        application_name="web",
        waiter=greenlets,
    )
    metrics = None
    if settings.metrics_port is not None:
        from entrypoints.container.metrics import measure_web

        metrics = measure_web(adapters, settings)
    traced = None
    if settings.otlp_endpoint is not None:
        from entrypoints.container.tracing import trace_web

        traced = trace_web(adapters, settings)
    reporter = _reporter_of(settings)
    if settings.payment_provider == "stripe" and not webhook_secrets_of(settings):
        log.warning("stripe_webhook_secret_missing", effect="events are refused; changes are found by reconciling only")

    def close() -> None:
        adapters.database().close()
        adapters.database_probe().close()
        greenlets.close()
        if metrics is not None:
            metrics.close()
        if traced is not None:
            traced.close()
        if reporter is not None:
            reporter.close()

    trace = traced.trace if traced else None
    return Web(use_cases(adapters), close, adapters.payment_sandbox(), metrics, trace, reporter, greenlets.start)


def build_worker(settings: Settings) -> "WorkerParts":
    from adapters.redis.connection import connect_for_rq
    from adapters.redis.rq_worker_notifier import listen
    from entrypoints.container.background_use_cases import billing_maintenance, replying
    from entrypoints.container.worker_adapters import WorkerAdapters
    from entrypoints.health import sign_of_life
    from entrypoints.worker.run import WorkerParts
    from entrypoints.worker.sign_of_life import SignOfLife

    adapters = WorkerAdapters(settings=settings, connections=WORKER_CONNECTIONS, application_name="worker")
    heartbeat = SignOfLife(adapters.worker_heartbeat(), sign_of_life(settings.data_dir))
    redis_url = settings.redis_url or ""
    metrics, observer = None, None
    if settings.metrics_port is not None:
        from entrypoints.container.metrics import measure_worker

        metrics, observer = measure_worker(adapters, settings)
    traced = None
    if settings.otlp_endpoint is not None:
        from entrypoints.container.tracing import trace_worker

        traced = trace_worker(adapters, settings)
    reporter = _reporter_of(settings)

    def close() -> None:
        heartbeat.end()
        adapters.database().close()
        if metrics is not None:
            metrics.close()
        if traced is not None:
            traced.close()
        if reporter is not None:
            reporter.close()

    def listen_for_notifications(answer_due: Callable[[], None]) -> bool:
        return listen(connect_for_rq(redis_url, prefix=settings.key_prefix), answer_due=answer_due)

    return WorkerParts(
        replying=replying(adapters),
        billing=billing_maintenance(adapters),
        heartbeat=heartbeat,
        worker_notifier=adapters.worker_notifier(),
        listen=listen_for_notifications,
        close=close,
        concurrency=settings.worker_concurrency,
        grace=settings.worker_grace,
        metrics=metrics,
        observer=observer,
        trace=traced.trace if traced else None,
        report_error=reporter,
    )


def _reporter_of(settings: Settings) -> "SentryErrors | None":
    """Where errors are told; None: nowhere."""
    if not settings.sentry_dsn:
        return None
    if find_spec("sentry_sdk") is None:
        log.warning("sentry_not_installed", extra="sentry")
        return None
    from adapters.sentry import SentryErrors

    return SentryErrors(settings.sentry_dsn.reveal(), environment=settings.app_env, release=release())


def release() -> str | None:
    """The version of the installed distribution, which the image says it is; None in a checkout."""
    try:
        return version("gemini-chat-backend")
    except PackageNotFoundError:  # a checkout; Sentry's SDK looks for its commit
        return None


def build_operator_commands(settings: Settings) -> OperatorCommands:
    """For the commands that keep billing true or explain it."""
    from entrypoints.container.adapters import SharedAdapters
    from entrypoints.container.background_use_cases import billing_maintenance

    adapters = SharedAdapters(settings=settings, connections=2, application_name="operator")
    return OperatorCommands(billing_maintenance(adapters), adapters.database().close)


@contextmanager
def build_administration(settings: Settings) -> "Iterator[Administration]":
    """For the commands that look after users and replies; the connections are closed afterwards."""
    from entrypoints.container.administration import administration
    from entrypoints.container.web_adapters import WebAdapters

    adapters = WebAdapters(settings=settings, connections=2, application_name="operator")
    try:
        yield administration(adapters)
    finally:
        adapters.database().close()


@contextmanager
def build_audit(settings: Settings) -> "Iterator[ReadAudit]":
    """For the command that reads the audit trail; the connection is closed afterwards."""
    from adapters.crypto.hmac_phone_digest import HmacPhoneDigest
    from application.operations.audit import ReadAudit
    from entrypoints.container.keys import derived
    from entrypoints.container.web_adapters import WebAdapters

    adapters = WebAdapters(settings=settings, connections=1, application_name="audit")
    try:
        yield ReadAudit(
            audit_reader=adapters.audit_reader(),
            read_phone_number=adapters.read_phone_number(),
            phone_digests=[HmacPhoneDigest(derived(secret, "audit")) for secret in settings.jwt_secrets],
        )
    finally:
        adapters.database().close()


@contextmanager
def build_queue(settings: Settings) -> "Iterator[tuple[ReadQueue, Probe | None]]":
    """For the command that shows the queue; the probe of Redis, which knows of workers, where there is a REDIS_URL."""
    from adapters.redis.connection import connect
    from adapters.redis.probe import RedisProbe
    from entrypoints.container.metrics import queue_state_of

    queue = queue_state_of(settings)
    redis = connect(settings.redis_url, prefix=settings.key_prefix) if settings.redis_url else None
    try:
        yield queue, RedisProbe(redis) if redis else None
    finally:
        queue.close()
        if redis:
            redis.close()


def check_servers(settings: Settings) -> None:
    """Raises CannotStart when a process could not work with the database or Redis; not when one is not there yet."""
    from adapters.redis.startup import check_redis
    from adapters.sql.startup import check_database

    check_database(settings.database_url or "", sessions_are_shared=settings.sessions_are_shared)
    check_redis(settings.redis_url or "")


def schema_of(settings: Settings) -> str | None:
    """The version of the database's schema; None where there is none, or no database."""
    from adapters.sql import startup

    return startup.schema_of(settings.database_url or "", sessions_are_shared=settings.sessions_are_shared)


def schema_needed() -> str:
    """The version of the schema that this release works with."""
    from adapters.sql.schema import REVISION

    return REVISION


def upgrade(database_url: str, patience: timedelta) -> None:
    """Bring the database to the newest schema. ``patience``: with others' locks. Raises CannotStart."""
    from adapters.sql import migrate

    migrate.upgrade(database_url, patience=patience)


def new_migration(database_url: str, message: str) -> None:
    """Write a migration from what the tables have become."""
    from adapters.sql import migrate

    migrate.new_migration(database_url, message)
