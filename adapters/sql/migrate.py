"""Migrates a database, one process at a time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from adapters.sql.database import sqlalchemy_url
from adapters.sql.startup import check_encoding, check_revision
from application.operations.startup import CannotStart

# The wheel carries the migrations inside this package, a checkout beside it.
_INSIDE = Path(__file__).parent / "migrations"
SCRIPTS = _INSIDE if _INSIDE.is_dir() else Path(__file__).parents[2] / "migrations"

# An arbitrary number of our own: the process that holds this advisory lock migrates, the others wait for it.
LOCK = 7_364_202_601
LOOK_AGAIN_AFTER_SECONDS = 0.2


def upgrade(database_url: str, revision: str = "head") -> None:
    """Upgrade to ``revision``. Several processes may call this at once: one does it, the others find it done.

    Raises CannotStart when the database cannot be reached, or is none that this release can migrate.
    """
    with _config(database_url) as config:
        command.upgrade(config, revision)


def downgrade(database_url: str, revision: str) -> None:
    """Downgrade to ``revision``; ``base`` drops everything."""
    with _config(database_url) as config:
        command.downgrade(config, revision)


def new_migration(database_url: str, message: str) -> None:
    """Write a migration from the newest revision to adapters.sql.tables."""
    with _config(database_url) as config:
        command.revision(config, message, autogenerate=True)


@contextmanager
def _config(database_url: str) -> Iterator[Config]:
    engine = create_engine(
        sqlalchemy_url(database_url),
        poolclass=NullPool,
        # A migration that waits for a lock blocks all writes that come after it, so it gives up soon.
        connect_args={"connect_timeout": 5, "options": "-c lock_timeout=5000 -c timezone=UTC"},
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
        yield config


def _connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except OperationalError as error:
        # The driver's text names host, port, user and database. Its other lines say the same of other addresses.
        reason, *_ = str(error.orig).splitlines()
        raise CannotStart(f"The database cannot be reached: {reason}") from None


def _wait_for_turn(connection: Connection) -> None:
    # Held until the connection closes. Waiting for another process's migration may take as long as it takes; it holds
    # no snapshot meanwhile, since building an index concurrently would wait for that.
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK})").scalar_one():
        connection.commit()
        time.sleep(LOOK_AGAIN_AFTER_SECONDS)
    connection.commit()
