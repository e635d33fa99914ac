"""The service through PgBouncer in transaction mode, with fewer sessions than it has connections.

Needs the program ``pgbouncer`` (on Debian: ``apt install pgbouncer``); without it the last lines of a run say
that these did not run.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import pytest
from sqlalchemy import make_url

from adapters.sql.startup import check_database
from application.operations.startup import CannotStart
from tests.cluster.programs import find_pgbouncer
from tests.contract.test_acceptance import AcceptanceContract
from tests.contract.test_reply_outcomes import OutcomesContract
from tests.contract.test_reply_stopping import StoppingContract
from tests.contract.world import SqlWorld, World, sql_world
from tests.e2e.service import free_port, until

pytestmark = pytest.mark.real

SESSIONS = 3


@contextmanager
def pgbouncer(server_url: str) -> Iterator[str]:
    """The address through a pooler of our own, in transaction mode."""
    program = find_pgbouncer()
    assert program, "pgbouncer is not installed"
    server, port = make_url(server_url), free_port()
    where = f"host={server.host} port={server.port} user={server.username} password={server.password or ''}"
    lines = (
        "[databases]",
        f"{server.database} = {where}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = any",
        "pool_mode = transaction",
        f"default_pool_size = {SESSIONS}",
    )
    with TemporaryDirectory() as directory:
        configuration = Path(directory, "pgbouncer.ini")
        configuration.write_text("\n".join(lines))
        # It refuses to run as root, and another user must be able to read this.
        Path(directory).chmod(0o755)
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        with subprocess.Popen([program, *user, str(configuration)], stderr=subprocess.DEVNULL) as process:
            url = f"postgresql://anybody@127.0.0.1:{port}/{server.database}"
            try:
                until("it answers", lambda: _answers(url))
                yield url
            finally:
                process.terminate()


def _answers(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


@pytest.fixture
def pooled(clean_database: str) -> Iterator[str]:
    with pgbouncer(clean_database) as url:
        yield url


@pytest.fixture
def world(pooled: str) -> Iterator[World]:
    with sql_world(pooled, sessions_are_shared=True) as world:
        yield world


def test_a_process_that_was_not_told_is_told_how(pooled: str) -> None:
    check_database(pooled, sessions_are_shared=True)
    with pytest.raises(CannotStart, match="DATABASE_POOLER=transaction"):
        check_database(pooled)


class TestAcceptance(AcceptanceContract):
    """What is accepted, and charged."""


class TestStopping(StoppingContract):
    """What is cancelled, and given up."""


class TestOutcomes(OutcomesContract):
    """What is stored of an answer."""


def test_more_connections_than_sessions(world: SqlWorld) -> None:
    rooms = [world.room() for _ in range(4 * SESSIONS)]
    for room in rooms:
        world.ask(room)
    assert len(world.claim(limit=100)) == len(rooms)
