"""Chatrooms and accounts with very much in them: removed at once, deleted in small transactions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from adapters.memory.doubles import RecordingErasureHook, SettableClock
from adapters.memory.stores import MemoryOtpStore, MemoryReplyStream
from application.auth.audit import Recorder
from application.auth.erasure import EraseAccount
from application.chat.chatrooms import RemoveChatroom
from application.operations.retention import PurgeRemovedChatrooms
from application.ports.chatrooms import Purged
from application.ports.idempotency import Accepted
from domain.accounts import LoginMethod, Principal, SessionId, User, UserId
from domain.chat import Chatroom
from domain.errors import DependencyDown
from domain.plans import DailyQuota, Plan
from domain.retention import ROWS_PER_BATCH
from tests.contract.world import MAX_CHATROOMS, MOMENT, SqlWorld, a_room, a_user, new_id, sql_world

MESSAGES = 50_000
FILL = """
WITH message AS (
    INSERT INTO messages (id, chatroom_id, content, created_at)
    SELECT gen_random_uuid(), %(room)s, 'why', now() FROM generate_series(1, %(messages)s)
    RETURNING id
)
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, available_at, deadline, charged_on, content,
                     created_at, finished_at)
SELECT gen_random_uuid(), message.id, %(room)s, %(user)s, 'done', now(), now(), current_date, 'because', now(), now()
FROM message
"""
ROWS = "SELECT (SELECT count(*)::int FROM messages), (SELECT count(*)::int FROM replies)"


@pytest.fixture
def world(clean_database: str) -> Iterator[SqlWorld]:
    with sql_world(clean_database) as world:
        yield world


def fill(world: SqlWorld, room: Chatroom, messages: int) -> None:
    # Each entry is another version of its chatroom's row, and one transaction walks along its own.
    for begun in range(0, messages, 1_000):
        world._run(FILL, room=room.id, user=room.user_id, messages=min(messages - begun, 1_000))


@pytest.fixture
def room(world: SqlWorld) -> Chatroom:
    """A chatroom with very many messages."""
    room = world.room()
    fill(world, room, MESSAGES)
    return room


def rows(world: SqlWorld) -> tuple[int, int]:
    return world._rows(ROWS)[0][0], world._rows(ROWS)[0][1]


def remove(world: SqlWorld, room: Chatroom) -> None:
    use_case = RemoveChatroom(world.unit_of_work, MemoryReplyStream())
    use_case(user_id=room.user_id, chatroom_id=room.id)


def purge(world: SqlWorld) -> Purged:
    return PurgeRemovedChatrooms(world.unit_of_work, MemoryReplyStream())()


def purge_all(world: SqlWorld) -> None:
    while (purged := purge(world)).messages:
        assert purged.messages <= ROWS_PER_BATCH
        assert purged.replies <= ROWS_PER_BATCH


@contextmanager
def a_batch_in_progress(world: SqlWorld) -> Iterator[Any]:
    with world.unit_of_work() as work:
        assert work.chatrooms.purge_removed(limit=ROWS_PER_BATCH).messages == ROWS_PER_BATCH
        yield work
        work.commit()


def test_a_big_chatroom_is_gone_at_once_and_its_rows_batch_by_batch(world: SqlWorld, room: Chatroom) -> None:
    remove(world, room)
    assert rows(world) == (MESSAGES - ROWS_PER_BATCH, MESSAGES - ROWS_PER_BATCH)
    assert world.reader.rooms(room.user_id, limit=10, before=None).rooms == []
    assert world.reader.conversation(room.user_id, room.id, turns=5, before=None) is None
    purge_all(world)
    assert rows(world) == (0, 0)
    assert world._rows("SELECT count(*)::int FROM chatrooms") == [(0,)]


def test_nobody_waits_for_a_batch(world: SqlWorld, room: Chatroom) -> None:
    stranger = world.user()
    remove(world, room)
    with world.unit_of_work() as work:
        owner = work.users.get(room.user_id)
    assert owner is not None
    with a_batch_in_progress(world):
        # A lock that had to be waited for would never be had here: the batch ends afterwards.
        for user in (owner, stranger):
            mine = world.room(user)
            asked = world.ask(mine)
            assert world.finish(world.claim_one().claim)
            with world.unit_of_work() as work:
                work.chatrooms.remove(work.chatrooms.owned(mine.id, by=user.id))
                work.commit()
            assert world.reader.entry(user.id, asked.message_id) is None
        assert purge(world).messages == 0  # another worker finds this chatroom taken


def test_a_worker_that_dies_in_the_middle_loses_one_batch(world: SqlWorld, room: Chatroom) -> None:
    remove(world, room)
    left = rows(world)
    with pytest.raises(DependencyDown), a_batch_in_progress(world) as work:
        world.break_commit(work)
    assert rows(world) == left
    assert purge(world).messages == ROWS_PER_BATCH
    purge_all(world)
    assert rows(world) == (0, 0)


def erase_account(world: SqlWorld, user_id: UserId, **options: Any) -> tuple[dict[str, int], bool]:
    erase = EraseAccount(
        unit_of_work=world.unit_of_work,
        erasure_hook=RecordingErasureHook(),
        publisher=MemoryReplyStream(),
        otp_store=MemoryOtpStore(SettableClock(MOMENT)),
        recorder=Recorder(world.unit_of_work, SettableClock(MOMENT), new_id, lambda phone: phone.e164),
        **options,
    )
    account = erase(principal=Principal(user_id, SessionId(new_id()), LoginMethod.OTP, MOMENT))
    return dict(account.rows), account.complete


def user_of(world: SqlWorld, room: Chatroom) -> User:
    with world.unit_of_work() as work:
        user = work.users.get(room.user_id)
    assert user is not None
    return user


def test_an_account_is_erased_and_the_last_of_very_many_messages_afterwards(world: SqlWorld, room: Chatroom) -> None:
    owner = user_of(world, room)
    erased, complete = erase_account(world, owner.id)
    assert not complete
    deleted = erased["messages"]
    assert (erased["users"], erased["chatrooms"], erased["replies"]) == (1, 1, deleted)
    assert rows(world) == (MESSAGES - deleted, MESSAGES - deleted)
    # Nothing says whose they were, and what the user called the chatroom is gone.
    assert world._rows("SELECT user_id, name, system_prompt FROM chatrooms") == [(None, "", None)]
    again = world.user(phone=owner.phone)
    assert world.reader.rooms(again.id, limit=10, before=None).rooms == []
    purge_all(world)
    assert rows(world) == (0, 0)


def test_some_thousand_messages_are_deleted_before_the_answer(world: SqlWorld) -> None:
    room = world.room()
    fill(world, room, 3_500)
    erased, complete = erase_account(world, room.user_id)
    assert complete
    assert (erased["messages"], erased["replies"], erased["users"]) == (3_500, 3_500, 1)
    assert rows(world) == (0, 0)


def test_an_erasure_that_breaks_off_is_finished_by_the_next_one(world: SqlWorld) -> None:
    room = world.room()
    fill(world, room, 2_500)
    with world.unit_of_work() as work:
        assert not work.erasure.erase(room.user_id, phone_digest="").finished
        work.commit()
    with pytest.raises(DependencyDown), world.unit_of_work() as work:
        work.erasure.erase(room.user_id, phone_digest="")
        world.break_commit(work)
        work.commit()
    assert rows(world) == (1_500, 1_500)
    _, complete = erase_account(world, room.user_id)
    assert complete
    assert rows(world) == (0, 0)


def test_keys_of_messages_are_counted_although_they_go_with_them(world: SqlWorld) -> None:
    asked = world.ask(world.room())
    with world.unit_of_work() as work:
        accepted = Accepted(asked.message_id, asked.id, DailyQuota(world.today(), 1, 5, Plan.BASIC))
        work.idempotency_keys.remember(asked.user_id, "key", fingerprint=b"x", accepted=accepted)
        work.commit()
    erased, _ = erase_account(world, asked.user_id)
    assert erased["idempotency_keys"] == 1


def test_more_chatrooms_than_one_batch(world: SqlWorld) -> None:
    owner = a_user()
    with world.unit_of_work() as work:
        work.users.add(owner)
        for _ in range(25):
            work.chatrooms.add(a_room(owner), limit=MAX_CHATROOMS)
        work.commit()
    erased, complete = erase_account(world, owner.id, batch=10, max_batches=1)
    assert (erased["chatrooms"], erased["users"], complete) == (25, 1, True)
