"""Processes refuse to start on a database that they could not work with, and say why in a sentence."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from adapters.redis.startup import check_redis
from adapters.sql.database import connector
from adapters.sql.startup import check_database
from application.operations.startup import CannotStart
from entrypoints.local_stack.binaries import find_binaries
from entrypoints.local_stack.valkey import redis_answers
from tests.e2e.service import until
from tests.servers import libpq_url, new_database
from tests.transaction_pooler import TransactionPooler

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
A_MINUTE = 60.0


def run_statement(database_url: str, statement: str) -> None:
    connection = psycopg2.connect(libpq_url(database_url))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@contextmanager
def latin1_database(server_url: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    run_statement(server_url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        yield libpq_url(server_url).rpartition("/")[0] + f"/{name}"
    finally:
        run_statement(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def start(command: str, tmp_path: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of the service to its end, away from any .env."""
    settings = {"DATA_DIR": str(tmp_path), "PORT": str(free_port()), "REDIS_URL": "redis://127.0.0.1:1/0"}
    return subprocess.run(
        [sys.executable, "-m", "entrypoints.cli", command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", **settings, **environment},
        capture_output=True,
        text=True,
        timeout=A_MINUTE,
        check=False,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_database_that_works_is_not_refused(clean_database: str) -> None:
    check_database(clean_database)
    check_database(clean_database)


def test_a_database_without_a_schema_is_not_refused(database_server: str) -> None:
    with new_database(database_server, migrated=False) as url:
        check_database(url)


def test_a_database_that_is_not_there_yet_is_not_refused() -> None:
    check_database(f"postgresql://somebody:secret@127.0.0.1:{free_port()}/nowhere?sslmode=disable")


def test_another_encoding_than_utf_8_is_refused(database_server: str) -> None:
    with latin1_database(database_server) as url, pytest.raises(CannotStart, match="encoding is LATIN1"):
        check_database(url)


def test_a_schema_of_a_newer_release_is_refused(database_server: str) -> None:
    with new_database(database_server) as url:
        run_statement(url, "UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(CannotStart, match="9999"):
            check_database(url)


def test_a_role_whose_settings_win_over_ours_is_no_matter(clean_database: str) -> None:
    name = clean_database.rpartition("/")[2].partition("?")[0]
    run_statement(clean_database, f'ALTER DATABASE "{name}" SET statement_timeout = 0')
    try:
        check_database(clean_database)
    finally:
        run_statement(clean_database, f'ALTER DATABASE "{name}" RESET ALL')


def test_a_pooler_that_drops_our_settings_is_refused(clean_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # As PgBouncer does with ignore_startup_parameters=options.
    without_settings = partial(connector, session_settings={"statement_timeout": "0"})
    monkeypatch.setattr("adapters.sql.startup.connector", without_settings)
    with pytest.raises(CannotStart, match="settings"):
        check_database(clean_database)


def test_a_pooler_that_breaks_prepared_statements_is_refused(clean_database: str) -> None:
    pooler = TransactionPooler(clean_database)
    try:
        for _ in range(2):  # the second finds what the first has left on the pooler's sessions
            with pytest.raises(CannotStart, match="prepared statements"):
                check_database(pooler.url)
    finally:
        pooler.close()


@pytest.mark.parametrize("command", ["web", "worker", "migrate"])
def test_a_process_says_so_in_one_line_and_fails(command: str, database_server: str, tmp_path: Path) -> None:
    with latin1_database(database_server) as url:
        ended = start(command, tmp_path, {"DATABASE_URL": url})
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "encoding is LATIN1" in line


@pytest.fixture
def redis_cluster(tmp_path: Path) -> Iterator[str]:
    """URL of a node of a cluster."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--save", ""]
    command = [str(find_binaries().valkey_server), *options, "--dir", str(tmp_path), "--cluster-port", str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            url = f"redis://127.0.0.1:{port}/0"
            until("it answers", lambda: redis_answers(url))
            yield url
        finally:
            process.terminate()


@pytest.mark.parametrize("command", ["web", "worker"])
def test_a_redis_cluster_is_refused_in_one_line(
    command: str, clean_database: str, redis_cluster: str, tmp_path: Path
) -> None:
    ended = start(command, tmp_path, {"DATABASE_URL": clean_database, "REDIS_URL": redis_cluster})
    assert ended.returncode == 1
    assert "node of a Redis Cluster" in ended.stderr.splitlines()[-1]


def test_a_redis_that_is_alone_or_away_is_not_refused(clean_redis: str) -> None:
    check_redis(clean_redis)
    check_redis(f"redis://127.0.0.1:{free_port()}/0")


def test_migrate_refuses_the_schema_of_a_newer_release(database_server: str, tmp_path: Path) -> None:
    with new_database(database_server) as url:
        run_statement(url, "UPDATE alembic_version SET version_num = '9999'")
        ended = start("migrate", tmp_path, {"DATABASE_URL": url})
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "9999" in line


def test_migrate_says_in_one_line_that_the_database_is_down(tmp_path: Path) -> None:
    nowhere = f"postgresql://somebody:secret@127.0.0.1:{free_port()}/nowhere?sslmode=disable"
    ended = start("migrate", tmp_path, {"DATABASE_URL": nowhere})
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "cannot be reached" in line
    assert "secret" not in line


@pytest.mark.parametrize("granted", [False, True])
def test_a_role_that_cannot_keep_values_out_of_the_log_is_told_so(database_server: str, granted: bool) -> None:
    role, password = f"role_{uuid4().hex}", uuid4().hex
    with new_database(database_server) as url:
        run_statement(url, f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        try:
            run_statement(url, f"GRANT SELECT ON alembic_version TO {role}")
            if granted:
                run_statement(url, f"GRANT SET ON PARAMETER log_min_error_statement, log_error_verbosity TO {role}")
            with capture_logs() as lines:
                check_database(make_url(url).set(username=role, password=password).render_as_string(False))
        finally:
            run_statement(url, f"DROP OWNED BY {role}")
            run_statement(url, f"DROP ROLE {role}")
    assert [line["event"] for line in lines] == ([] if granted else ["postgresql_logs_values"])
