"""What triggers keep of lists of chatrooms stays true, whatever is done at once, and by statements of any kind."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from adapters.sql.database import StatementFailed
from adapters.sql.tables import TOUCH_LISTS_OF_ROW
from application.ports.reader import RoomPage
from application.use_cases import UseCases
from domain.accounts import User
from domain.chat import Chatroom, ChatroomId
from domain.errors import ChatroomNotFound, QuotaExhausted, TokenInvalid
from domain.replies import ReplyId
from tests.concurrency import eventually, together
from tests.contract.world import (
    ACTIVE,
    ALLOWANCES,
    MAX_CHATROOMS,
    MOMENT,
    POLICY,
    SqlWorld,
    a_message,
    a_room,
    new_id,
    sql_world,
)
from tests.integration.conftest import BuildUseCases
from tests.integration.people import a_mobile_number, log_in

THREADS, ROUNDS = 12, 15
Action = Callable[[SqlWorld, Chatroom], object]

WRONG = """
SELECT user_id, chatroom_count, (SELECT count(*) FROM chatrooms WHERE chatrooms.user_id = chatroom_lists.user_id)
FROM chatroom_lists
WHERE chatroom_count <> (SELECT count(*) FROM chatrooms WHERE chatrooms.user_id = chatroom_lists.user_id)
"""
MANY = """
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
SELECT gen_random_uuid(), users.id, 'one of many', now(), now() FROM users, generate_series(1, 3)
"""


@pytest.fixture
def world(clean_database: str) -> Iterator[SqlWorld]:
    with sql_world(clean_database) as world:
        yield world


def versions(world: SqlWorld) -> dict[object, int]:
    return dict(world._rows("SELECT user_id, version FROM chatroom_lists"))


def test_statements_of_many_rows_and_many_users_are_counted(world: SqlWorld) -> None:
    users = [world.user() for _ in range(3)]
    before = versions(world)
    for statement in (
        MANY,
        "UPDATE chatrooms SET pinned_at = now()",
        "DELETE FROM chatrooms WHERE id = ANY(ARRAY(SELECT id FROM chatrooms LIMIT 4))",
        MANY,
        "UPDATE chatrooms SET user_id = (SELECT max(id::text)::uuid FROM users)",
        "UPDATE chatrooms SET user_id = NULL WHERE id = ANY(ARRAY(SELECT id FROM chatrooms LIMIT 4))",
    ):
        world._run(statement)
        after = versions(world)
        assert world._rows(WRONG) == []
        assert {user.id for user in users} == after.keys()
        assert any(after[user.id] != before.get(user.id) for user in users)
        before = after
    world._run("DELETE FROM chatrooms WHERE user_id IS NULL")
    assert versions(world) == before


def test_a_user_who_goes_takes_the_list_along(world: SqlWorld) -> None:
    for forget in ("SELECT 1", "DELETE FROM chatroom_lists"):
        user, other = world.user(), world.room()
        for _ in range(3):
            world.room(user)
        world._run(forget)
        world._run("DELETE FROM users WHERE id = %(id)s", id=user.id)
        assert user.id not in versions(world)
        assert world._rows("SELECT count(*)::int FROM chatrooms WHERE user_id = %(id)s", id=user.id) == [(0,)]
        assert world._rows("SELECT count(*)::int FROM chatrooms WHERE id = %(id)s", id=other.id) == [(1,)]


def test_several_changes_of_one_transaction_on_a_list_without_a_row(world: SqlWorld) -> None:
    user = world.user()
    rooms = [world.room(user) for _ in range(3)]
    world._run("DELETE FROM chatroom_lists")
    with world.unit_of_work() as work:
        work.chatrooms.change(replace(rooms[0], name="Poems"))
        work.chatrooms.remove(work.chatrooms.owned(rooms[1].id, by=user.id))
        work.chatrooms.add(a_room(user), limit=MAX_CHATROOMS)
        work.commit()
    assert world._rows("SELECT chatroom_count FROM chatroom_lists") == [(3,)]


@pytest.fixture
def no_row_may_be_touched(world: SqlWorld) -> Iterator[None]:
    world._run(
        "CREATE OR REPLACE FUNCTION touch_chatroom_lists_of_row() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'called'; END $$"
    )
    yield
    world._run(TOUCH_LISTS_OF_ROW)


@pytest.mark.usefixtures("no_row_may_be_touched")
def test_a_message_does_not_call_the_triggers(world: SqlWorld) -> None:
    room = world.room()
    send(world, room)
    world.answer_all()
    assert world._rows("SELECT last_sequence::int FROM chatrooms") == [(2,)]
    with pytest.raises(StatementFailed, match="RaiseException"):
        rename(world, room)


def test_a_version_goes_on_from_one_of_a_clock_that_was_ahead(world: SqlWorld) -> None:
    user = world.user()
    world.room(user)
    world._run("UPDATE chatroom_lists SET version = %(ahead)s", ahead=1 << 62)
    world.room(user)
    assert versions(world) == {user.id: (1 << 62) + 1}


def send(world: SqlWorld, room: Chatroom) -> None:
    with world.unit_of_work.autocommit() as work:
        work.acceptance.accept(a_message(room), ReplyId(new_id()), allowances=ALLOWANCES, policy=POLICY)


def open_room(world: SqlWorld, user: User) -> Chatroom:
    room = a_room(user, name="")
    with world.unit_of_work.autocommit() as work:
        work.chatrooms.add(room, limit=MAX_CHATROOMS)
    return room


def open_another(world: SqlWorld, room: Chatroom) -> None:
    with world.unit_of_work.autocommit() as work:
        work.chatrooms.add(replace(room, id=ChatroomId(new_id())), limit=MAX_CHATROOMS)


def rename(world: SqlWorld, room: Chatroom) -> None:
    with world.unit_of_work() as work:
        owned = work.chatrooms.owned(room.id, by=room.user_id)
        work.chatrooms.change(owned.changed(name="Poems", system_prompt=None, at=MOMENT + timedelta(seconds=1)))
        work.commit()


def remove(world: SqlWorld, room: Chatroom) -> None:
    with world.unit_of_work() as work:
        work.chatrooms.remove(work.chatrooms.owned(room.id, by=room.user_id), limit=1)
        work.commit()


def erase(world: SqlWorld, user: User) -> None:
    finished = False
    while not finished:
        with world.unit_of_work() as work:
            finished = work.erasure.erase(user.id, phone_digest="digest", limit=3).finished
            work.commit()


def lives(world: SqlWorld, user: User, rooms: list[Chatroom], actions: Sequence[Action], seed: int) -> None:
    """Opens chatrooms and does something in one of them, again and again, until the user is gone."""
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        try:
            rooms.append(open_room(world, user))
            chance.choice(actions)(world, chance.choice(rooms))
        except (ChatroomNotFound, QuotaExhausted):
            continue
        except TokenInvalid:
            return


def many_lives(world: SqlWorld, user: User, *actions: Action) -> list[Callable[[], None]]:
    rooms = [world.room(user) for _ in range(5)]
    return [partial(lives, world, user, list(rooms), actions, seed) for seed in range(THREADS)]


@pytest.mark.parametrize("versioned", [True, False])
def test_many_changes_at_once_are_counted_and_do_not_deadlock(world: SqlWorld, versioned: bool) -> None:
    user = world.user()
    world.subscribe(user.id, ACTIVE)
    users = many_lives(world, user, send, rename, remove)
    if not versioned:
        world._run("DELETE FROM chatroom_lists")
    together(users)
    assert world._rows(WRONG) == []
    assert user.id in versions(world)


def test_nor_does_an_erasure_beside_them(world: SqlWorld) -> None:
    for _ in range(3):
        user = world.user()
        world.subscribe(user.id, ACTIVE)
        lives = many_lives(world, user, send, rename, remove)
        everybody: list[Callable[[], None]] = [*lives, partial(erase, world, user)]
        together(everybody)
        assert user.id not in versions(world)


@pytest.mark.parametrize("write", [open_another, send])
def test_what_waits_for_the_user_does_not_hold_the_list(world: SqlWorld, write: Action) -> None:
    """Erasure has the one and then wants the other."""
    room = open_room(world, world.user())
    with world.database.transaction() as transaction, ThreadPoolExecutor(1) as thread:
        transaction.execute("SELECT 1 FROM users FOR UPDATE")
        writing = thread.submit(write, world, room)
        assert eventually(lambda: world.waiting_for("transactionid") == 1)
        transaction.execute("SELECT 1 FROM chatroom_lists FOR UPDATE NOWAIT")
        transaction.commit()
        writing.result()


def names(page: RoomPage) -> bytes:
    return ", ".join(room.name for room in page.rooms).encode()


def test_users_see_their_own_changes_in_every_process(
    build_use_cases: BuildUseCases, clean_database: str, clean_redis: str
) -> None:
    one, other = (build_use_cases(clean_database, clean_redis) for _ in range(2))
    logged_in = log_in(one, a_mobile_number())
    user_id = logged_in.user.id

    def listed(process: UseCases) -> tuple[bytes, bool]:
        _, version = process.auth.authenticate_with_list_version(logged_in.token)
        rooms = process.chat.list_chatrooms(user_id=user_id, version=version, render=names)
        return rooms.page, rooms.from_cache

    room = one.chat.open_chatroom(user_id=user_id).chatroom.id
    shown: list[bytes] = []
    for change in (
        lambda: None,
        lambda: other.chat.send_message(sender=user_id, chatroom_id=room, text="Why?"),
        lambda: one.chat.change_chatroom(user_id=user_id, chatroom_id=room, name="Physics"),
        lambda: other.chat.open_chatroom(user_id=user_id, name="Poems"),
        lambda: one.chat.change_chatroom(user_id=user_id, chatroom_id=room, pinned=True),
        lambda: other.chat.change_chatroom(user_id=user_id, chatroom_id=room, archived=True),
        lambda: one.chat.send_message(sender=user_id, chatroom_id=room, text="Why not?"),
        lambda: other.chat.remove_chatroom(user_id=user_id, chatroom_id=room),
    ):
        change()
        page, from_cache = listed(one)
        assert not from_cache
        assert [listed(process) for process in (other, other, one)] == [(page, True)] * 3
        shown.append(page)
    assert shown == [
        b"", b"Why?", b"Physics", b"Poems, Physics", b"Physics, Poems", b"Poems", b"Poems, Physics", b"Poems"
    ]  # fmt: skip
