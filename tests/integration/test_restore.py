"""A backup is worth something: a dump is restored beside the database, and every promise is counted there."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from application.ports.language_model import Stop
from application.use_cases import UseCases
from domain.accounts import UserId
from domain.errors import QuotaExhausted
from domain.replies import ReplyId, Slots
from entrypoints.container.build import build_worker
from entrypoints.local_stack.binaries import find_binaries
from entrypoints.worker.run import WorkerParts
from tests.contract.world import A_LEASE, sql_world
from tests.integration.conftest import BuildUseCases, settings_of
from tests.integration.people import new_user
from tests.servers import libpq_url, new_database

TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname"
STATES = "SELECT state, count(*)::int FROM replies GROUP BY state"
MESSAGES_WITHOUT_ONE_REPLY = """
    SELECT count(*)::int FROM (
        SELECT m.id FROM messages m LEFT JOIN replies r ON r.message_id = m.id GROUP BY m.id HAVING count(r.id) <> 1
    ) AS strange"""
# What users are charged for, and what they were given: the two must agree.
CHARGED_WRONGLY = """
    SELECT count(*)::int FROM daily_usage u
    WHERE u.used <> (SELECT count(*) FROM replies r
                     WHERE r.user_id = u.user_id AND r.charged_on = u.day AND r.refunded_at IS NULL)"""


def rows(database_url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(libpq_url(database_url))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def sizes(database_url: str) -> dict[str, int]:
    """How many rows each table has."""
    tables = [name for (name,) in rows(database_url, TABLES)]
    return {name: rows(database_url, f"SELECT count(*)::int FROM {name}")[0][0] for name in tables}


def run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [find_binaries().postgres.with_name(program), *arguments], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def dump(database_url: str, path: Path) -> None:
    """As docs/operations.md has it."""
    run("pg_dump", "--format=custom", f"--file={path}", f"--dbname={libpq_url(database_url)}")


def restore(path: Path, database_url: str) -> None:
    """As docs/operations.md has it."""
    run(
        "pg_restore",
        "--no-owner",
        "--exit-on-error",
        "--single-transaction",
        f"--dbname={libpq_url(database_url)}",
        str(path),
    )


@pytest.fixture
def worker_of(tmp_path: Path, clean_redis: str) -> Iterator[Any]:
    workers: list[WorkerParts] = []

    def build(database_url: str) -> WorkerParts:
        settings = settings_of(tmp_path, database_url=database_url, redis_url=clean_redis, LLM_PROVIDER="offline")
        workers.append(build_worker(settings))
        return workers[-1]

    yield build
    for worker in workers:
        worker.close()


def answer(worker: WorkerParts, *, at_most: int) -> int:
    """Write replies that are due; how many."""
    claimed = worker.replying.claim(Slots(total=at_most, free=at_most))
    for reply in claimed:
        worker.replying.store_outcome(reply, worker.replying.ask_model(reply, stop=Stop()))
    return len(claimed)


def fill_its_day(use_cases: UseCases, user_id: UserId) -> list[ReplyId]:
    """Send what the Basic plan allows, each message in a chatroom of its own; the replies to them."""
    rooms = [use_cases.chat.open_chatroom(user_id=user_id, name=f"room {number}").chatroom for number in range(5)]
    return [use_cases.chat.send_message(sender=user_id, chatroom_id=room.id, text="नमस्ते 😀").reply_id for room in rooms]


def test_a_restored_dump_keeps_every_promise(
    build_use_cases: BuildUseCases, worker_of: Any, clean_database: str, clean_redis: str, tmp_path: Path
) -> None:
    before = build_use_cases(clean_database, clean_redis)
    user_id, other = new_user(before), new_user(before)
    fill_its_day(before, user_id)
    *_, last = fill_its_day(before, other)
    # Two are done, one is cancelled, two are being written, and the others wait.
    assert answer(worker_of(clean_database), at_most=2) == 2
    before.chat.cancel_reply(user_id=other, entry_id=last)
    with sql_world(clean_database) as world:
        assert len(world.claim(limit=2)) == 2
    dump(clean_database, tmp_path / "service.dump")

    with new_database(clean_database, migrated=False) as restored:
        restore(tmp_path / "service.dump", restored)
        assert sizes(restored) == sizes(clean_database)
        assert sorted(rows(restored, STATES)) == sorted(rows(clean_database, STATES))
        assert len(rows(restored, STATES)) == 4

        after = build_use_cases(restored, clean_redis)
        worker = worker_of(restored)
        with sql_world(restored) as world:
            world.pass_time(A_LEASE)
        while answer(worker, at_most=10):
            pass

        assert dict(rows(restored, STATES)) == {"done": 9, "cancelled": 1}
        assert rows(restored, MESSAGES_WITHOUT_ONE_REPLY) == [(0,)]
        assert rows(restored, CHARGED_WRONGLY) == [(0,)]
        # The account is there, and its day is as full as it was.
        room = after.chat.open_chatroom(user_id=user_id, name="another").chatroom
        with pytest.raises(QuotaExhausted):
            after.chat.send_message(sender=user_id, chatroom_id=room.id, text="one too many")
