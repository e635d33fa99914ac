"""A client that reads on in a chatroom sees each entry once, whatever is written meanwhile, with whatever clocks."""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from adapters.memory.stores import MemoryReplyStream, MemoryWorkerNotifier
from adapters.sql import migrate
from adapters.sql.database import Database, make_pool
from adapters.system_runtime import Uuid7Ids
from application.chat.expiry import FailExpiredReplies, SettleOverdue
from application.chat.manage_reply import AskAgain, CancelReply
from application.chat.send_message import SendMessage, SentMessage
from application.ports.reader import ReplyEntry
from domain.chat import Chatroom, MessageId
from domain.plans import Allowance, Allowances, Plan
from domain.replies import ReplyId, ReplyPolicy
from tests.contract.world import SqlWorld, sql_world
from tests.servers import new_database

UNLIMITED: Allowances = {plan: Allowance(None) for plan in Plan}
POLICY = ReplyPolicy(user_backlog=1_000)
SENDERS, MESSAGES = 4, 12
BEGINNING = MessageId(UUID(int=0))


@pytest.fixture
def real_world(clean_database: str) -> Iterator[SqlWorld]:
    with sql_world(clean_database) as world:
        yield world


class ClockedIds(Uuid7Ids):
    """The ids of a process whose clock is wrong by ``skew``, and that is held up after it has made one."""

    def __init__(self, skew: timedelta, chance: random.Random) -> None:
        super().__init__()
        self._skew = int(skew.total_seconds() * 1_000)
        self._chance = chance

    def __call__(self) -> UUID:
        number = super().__call__().int
        shifted = UUID(int=number + (self._skew << 80))
        time.sleep(self._chance.random() / 100)
        return shifted


class Process:
    """A web process: it sends, asks again and cancels."""

    def __init__(self, world: SqlWorld, skew: timedelta, seed: int) -> None:
        chance = random.Random(seed)
        notifier, ids = MemoryWorkerNotifier(), ClockedIds(skew, chance)
        stream = MemoryReplyStream()
        settle = SettleOverdue(world.unit_of_work, FailExpiredReplies(world.unit_of_work, stream, POLICY))
        self.send = SendMessage(world.unit_of_work, notifier, self._now, ids, UNLIMITED, POLICY, settle)
        self.again = AskAgain(world.unit_of_work, notifier, self._now, ids, UNLIMITED, POLICY, settle)
        self.cancel = CancelReply(world.unit_of_work, stream)

    @staticmethod
    def _now() -> datetime:
        return datetime.now(UTC)


def read_on(world: SqlWorld, room: Chatroom, until: Callable[[], bool], limit: int) -> list[MessageId | ReplyId]:
    """All that a reader gets that goes on from the last entry it has."""
    found: list[MessageId | ReplyId] = []
    while True:
        last_look = until()
        while page := world.ids_after(room, found[-1] if found else BEGINNING, limit=limit):
            found += page
        if last_look:
            return found


@pytest.mark.parametrize("limit", [3, 100])
def test_a_reader_misses_nothing_and_sees_nothing_twice(real_world: SqlWorld, limit: int) -> None:
    room = real_world.room()
    processes = [Process(real_world, timedelta(seconds=2 * (nth % 2) - 2), nth) for nth in range(SENDERS)]
    stored: list[MessageId | ReplyId] = []

    def write(nth: int) -> None:
        process = processes[nth]
        for number in range(MESSAGES):
            key = f"{nth}-{number}" if number % 2 else None
            sent: SentMessage = process.send(sender=room.user_id, chatroom_id=room.id, text="Why?", idempotency_key=key)
            stored.extend([sent.message.id, sent.reply_id])
            if number % 3 == 0:
                process.cancel(user_id=room.user_id, entry_id=sent.reply_id)
                stored.append(process.again.retry(user_id=room.user_id, entry_id=sent.reply_id).reply_id)

    with ThreadPoolExecutor(SENDERS + 1) as threads:
        senders = [threads.submit(write, nth) for nth in range(SENDERS)]
        reader = threads.submit(read_on, real_world, room, lambda: all(sender.done() for sender in senders), limit)
        for sender in senders:
            sender.result(60)
        seen = reader.result(60)
    assert len(seen) == len(set(seen))
    assert set(seen) == set(stored)
    assert len(seen) == SENDERS * (MESSAGES * 2 + MESSAGES // 3)
    # So does one that goes back from the newest page.
    back: list[MessageId] = []
    while True:
        page = real_world.reader.conversation(room.user_id, room.id, turns=5, before=back[-1] if back else None)
        assert page is not None
        back += [turn.message_id for turn in reversed(page.turns)]
        if page.next_before is None:
            break
    entries = real_world.reader.entries_after(room.user_id, room.id, entry_id=BEGINNING, limit=1_000) or ()
    assert back[::-1] == [entry.message_id for entry in entries if not isinstance(entry, ReplyEntry)]


# --- The migration to it ---

FILL = """
INSERT INTO users (id, phone, created_at) SELECT gen_random_uuid(), '+91' || n, now() FROM generate_series(1, 3) n;
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
    SELECT gen_random_uuid(), id, 'room', now(), now() FROM users, generate_series(1, 150);
INSERT INTO messages (id, chatroom_id, content, created_at)
    SELECT gen_random_uuid(), id, 'why', now() FROM (SELECT id FROM chatrooms LIMIT 400) room, generate_series(1, 3);
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, available_at, deadline, charged_on, content,
                     created_at, finished_at)
    SELECT gen_random_uuid(), m.id, m.chatroom_id, c.user_id, 'done', now(), now(), current_date, 'because', now(),
           now()
    FROM messages m JOIN chatrooms c ON c.id = m.chatroom_id, generate_series(1, 2);
"""
ENTRIES = """
SELECT chatroom_id, array_agg(id ORDER BY {order}) FROM (
    SELECT chatroom_id, id, {column} FROM messages UNION ALL SELECT chatroom_id, id, {column} FROM replies) AS entries
GROUP BY chatroom_id ORDER BY chatroom_id
"""


@pytest.fixture
def filled(database_server: str) -> Iterator[Database]:
    """A database of the revision before, with chatrooms in it."""
    with new_database(database_server, migrated=False) as url:
        migrate.upgrade(url, "0005")
        database = Database(make_pool(url, size=1, application_name="tests"))
        with database.read() as cursor:
            cursor.execute(FILL)
        migrate.upgrade(url)
        yield database
        database.close()


def test_what_was_there_before_keeps_its_order(filled: Database) -> None:
    with filled.read() as cursor:
        cursor.execute(ENTRIES.format(order="id", column="0 AS sequence"))
        before = cursor.fetchall()
        cursor.execute(ENTRIES.format(order="sequence", column="sequence"))
        assert cursor.fetchall() == before
        assert len(before) == 400
        cursor.execute("SELECT last_sequence, count(*)::int FROM chatrooms GROUP BY 1 ORDER BY 1")
        assert cursor.fetchall() == [(0, 50), (9, 400)]


def test_and_what_is_added_afterwards_stands_behind_it(filled: Database) -> None:
    world = SqlWorld(filled)
    with filled.read() as cursor:
        cursor.execute("SELECT c.id, c.user_id FROM chatrooms c JOIN messages m ON m.chatroom_id = c.id LIMIT 1")
        [(room_id, user_id)] = cursor.fetchall()
    process = Process(world, timedelta(days=-1_000), 1)
    sent = process.send(sender=user_id, chatroom_id=room_id, text="Why?")
    entries = world.reader.entries_after(user_id, room_id, entry_id=BEGINNING, limit=100) or ()
    assert len(entries) == 11
    assert (entries[-2].message_id, entries[-1].message_id) == (sent.message.id, sent.message.id)
