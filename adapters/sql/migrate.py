"""Migrates a database, one process at a time, while others write to it (docs/decisions/0038)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import structlog
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from psycopg2.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import OperationalError, PendingRollbackError
from sqlalchemy.pool import NullPool

from adapters.sql.database import connection_arguments
from adapters.sql.startup import check_encoding, check_revision, schema_of
from application.operations.startup import CannotStart

log = structlog.get_logger(__name__)

# The wheel carries the migrations inside this package, a checkout beside it.
_INSIDE = Path(__file__).parent / "migrations"
SCRIPTS = _INSIDE if _INSIDE.is_dir() else Path(__file__).parents[2] / "migrations"

# An arbitrary number of our own: the process that holds this advisory lock migrates, the others wait for it.
LOCK = 7_364_202_601
LOOK_AGAIN_AFTER_SECONDS = 0.2

# What waits for a lock stops the statements that come after it, and those of the service give up after 3 seconds. An
# autovacuum that is in the way is ended by PostgreSQL after ``deadlock_timeout``, by default one second.
LOCK_TIMEOUT = timedelta(seconds=2)
OTHERS_HOLD_THE_LOCK = (LockNotAvailable, DeadlockDetected)
PATIENCE = timedelta(minutes=3)
PATIENCE_LEFT = "patience"  # in the ``info`` of a migration's connection
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0

LOCKED = (
    "A migration needs a lock that other transactions hold, and did not get it within {seconds:g} s; the schema is "
    "whole, at revision {revision}. End them (docs/operations.md, Upgrade, says how to find them) and migrate again."
)
BROKEN_OFF = (
    "A migration was broken off: {reason}; the schema is whole, at revision {revision}. Migrate again when the cause "
    "is gone."
)


def upgrade(database_url: str, revision: str = "head", *, patience: timedelta = PATIENCE) -> None:
    """Upgrade to ``revision``. Several processes may call this at once: one does it, the others find it done.

    A migration that cannot have a lock soon is broken off and tried again, for ``patience`` in all. Raises CannotStart
    when that was not enough, or when the database cannot be reached or is none that this release can migrate. Each
    migration is then done, or is begun anew the next time.
    """
    deadline = time.monotonic() + patience.total_seconds()
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            with _config(database_url, timedelta(seconds=deadline - time.monotonic())) as config:
                command.upgrade(config, revision)
        except (OperationalError, PendingRollbackError) as error:
            cause = _cause(error)
            revision_now = schema_of(database_url) or "unknown"
            if not isinstance(cause.orig, OTHERS_HOLD_THE_LOCK):
                raise CannotStart(BROKEN_OFF.format(reason=_first_line(cause), revision=revision_now)) from None
            if time.monotonic() + pause > deadline:
                raise CannotStart(LOCKED.format(seconds=patience.total_seconds(), revision=revision_now)) from None
        else:
            return
        log.warning("migration_waits", pause_seconds=pause)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def downgrade(database_url: str, revision: str) -> None:
    """Downgrade to ``revision``; ``base`` drops everything."""
    with _config(database_url) as config:
        command.downgrade(config, revision)


def new_migration(database_url: str, message: str) -> None:
    """Write a migration from the newest revision to adapters.sql.tables."""
    with _config(database_url) as config:
        command.revision(config, message, autogenerate=True)


@contextmanager
def concurrently() -> Iterator[None]:
    """For migrations: a block of CREATE and DROP INDEX CONCURRENTLY, outside of a transaction.

    These wait for the transactions of others as long as ``upgrade`` has patience, for they stop no writer meanwhile.
    One that fails leaves an invalid index, so drop it first.
    """
    with op.get_context().autocommit_block():
        patience: timedelta = op.get_bind().info[PATIENCE_LEFT]
        op.execute(f"SET lock_timeout = {_milliseconds(max(LOCK_TIMEOUT, patience))}")
        yield
        op.execute("RESET lock_timeout")


@contextmanager
def _config(database_url: str, patience: timedelta = PATIENCE) -> Iterator[Config]:
    # Reading a big table takes as long as it takes, also where the role has a limit for the statements of the service.
    settings = {
        "lock_timeout": _milliseconds(LOCK_TIMEOUT),
        "statement_timeout": 0,
        "idle_in_transaction_session_timeout": 0,
        "timezone": "UTC",
    }
    engine = create_engine(
        # The driver is all that SQLAlchemy is told here: it knows fewer URLs than libpq.
        "postgresql+psycopg2://",
        poolclass=NullPool,
        connect_args=connection_arguments(database_url)
        | {
            "connect_timeout": 5,
            "application_name": "migrate",
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
    )
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with _connected(engine) as connection:
        check_encoding(connection.exec_driver_sql("SHOW server_encoding").scalar_one())
        _wait_for_turn(connection)
        check_revision(MigrationContext.configure(connection).get_current_revision())
        connection.commit()
        config.attributes["connection"] = connection
        connection.info[PATIENCE_LEFT] = patience
        yield config


def _connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except OperationalError as error:
        raise CannotStart(f"The database cannot be reached: {_first_line(error)}") from None


def _cause(error: BaseException | None) -> OperationalError:
    """What the database said. Leaving an autocommit block on a connection that broke raises another error over it."""
    while not isinstance(error, OperationalError):
        if error is None:
            raise RuntimeError("an error of SQLAlchemy without one of the database")
        error = error.__context__
    return error


def _first_line(error: OperationalError) -> str:
    """What the driver says. It names host, port, user and database; its other lines say the same of other addresses."""
    reason, *_ = str(error.orig).splitlines()
    return reason


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _wait_for_turn(connection: Connection) -> None:
    # Held until the connection closes. Waiting for another process's migration may take as long as it takes; it holds
    # no snapshot meanwhile, since building an index concurrently would wait for that.
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK})").scalar_one():
        connection.commit()
        time.sleep(LOOK_AGAIN_AFTER_SECONDS)
    connection.commit()
