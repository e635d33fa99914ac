"""The real servers of the tests, and a place of the tests' own on them.

``TEST_DATABASE_URL`` and ``TEST_REDIS_URL`` name servers to use; what is not named is started out of the wheels. A
server that is missing is an error, never a skipped test.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg2
from psycopg2 import sql
from redis import Redis
from sqlalchemy import make_url

from adapters.sql.migrate import upgrade
from adapters.sql.tables import metadata
from entrypoints.local_stack.embedded import Servers, embedded_servers

# Says that whatever else a Redis database holds was put there by tests.
OURS = "tests:may-empty-this-database"


def given_database_url() -> str | None:
    """The PostgreSQL server the tests were told to use."""
    return os.environ.get("TEST_DATABASE_URL") or None


def given_redis_url() -> str | None:
    """The Redis server the tests were told to use."""
    return os.environ.get("TEST_REDIS_URL") or None


@contextmanager
def started_servers() -> Iterator[Servers]:
    """Servers that end, with all their data, when the block does."""
    data_dir = Path(tempfile.mkdtemp(prefix="chat-backend-tests-"))
    try:
        with embedded_servers(data_dir, durable=False) as servers:
            yield servers
    finally:
        shutil.rmtree(data_dir)


@contextmanager
def new_database(server_url: str, *, migrated: bool = True) -> Iterator[str]:
    """A database beside the one of ``server_url``, and its URL; dropped in the end."""
    name = f"test_{uuid4().hex}"
    _run(server_url, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    try:
        url = make_url(libpq_url(server_url)).set(database=name).render_as_string(hide_password=False)
        if migrated:
            upgrade(url)
        yield url
    finally:
        _run(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def empty_all_tables(database_url: str) -> None:
    """Empty every table but Alembic's. DELETE, since TRUNCATE makes new files, which takes much longer."""
    connection = psycopg2.connect(libpq_url(database_url))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
            cursor.execute(";".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)))
    finally:
        connection.close()


def take_redis(redis_url: str) -> None:
    """Make the database of ``redis_url`` the tests' own. Refuses one that holds anything else: it will be emptied."""
    with Redis.from_url(redis_url) as redis:
        if redis.dbsize() and not redis.exists(OURS):
            raise RuntimeError(
                "TEST_REDIS_URL names a database that is not empty, and the tests would empty it: name another, "
                "for example redis://127.0.0.1:6379/9"
            )
    flush_redis(redis_url)


def flush_redis(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis, redis.pipeline() as pipeline:
        pipeline.flushdb()
        pipeline.set(OURS, b"1")
        pipeline.execute()


def give_back_redis(redis_url: str) -> None:
    """Leave nothing behind."""
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()


def _run(server_url: str, statement: sql.Composable) -> None:
    connection = psycopg2.connect(libpq_url(server_url))
    connection.autocommit = True  # databases are not made in transactions
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def libpq_url(database_url: str) -> str:
    """The URL as libpq takes it, without SQLAlchemy's name of a driver."""
    return make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
