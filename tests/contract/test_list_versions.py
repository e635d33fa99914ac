"""The contract of the version of a user's list of chatrooms, and of how many chatrooms a user may have."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from domain.accounts import SessionId, User, UserId
from domain.chat import Chatroom, ChatroomId
from domain.errors import TooManyChatrooms
from domain.replies import ReplyId
from tests.concurrency import at_once
from tests.contract.world import (
    ALLOWANCES,
    MAX_CHATROOMS,
    MOMENT,
    POLICY,
    THREADS,
    MemoryWorld,
    SqlWorld,
    World,
    a_message,
    a_room,
    a_session,
    new_id,
)

LATER = MOMENT + timedelta(seconds=1)


class Watcher:
    """Reads the version of a user's list."""

    def __init__(self, world: World, user: User) -> None:
        self._world = world
        self._session = a_session(user)
        with world.unit_of_work() as work:
            work.sessions.add(self._session)
            work.commit()

    def __call__(self) -> int:
        found = self._world.reader.principal_with_list_version(self._session.id)
        assert found is not None
        return found[1]


def change(world: World, room: Chatroom, **changes: Any) -> None:
    with world.unit_of_work() as work:
        work.chatrooms.change(replace(room, **changes))
        work.commit()


def open_one(world: World, like: Chatroom, *, limit: int = MAX_CHATROOMS) -> None:
    """Another chatroom of the same user."""
    with world.unit_of_work.autocommit() as work:
        work.chatrooms.add(replace(like, id=ChatroomId(new_id())), limit=limit)


def send(world: World, room: Chatroom, text: str = "Why?") -> None:
    with world.unit_of_work.autocommit() as work:
        work.acceptance.accept(a_message(room, text), ReplyId(new_id()), allowances=ALLOWANCES, policy=POLICY)


def remove(world: World, room: Chatroom, limit: int = 1_000) -> None:
    with world.unit_of_work() as work:
        work.chatrooms.remove(work.chatrooms.owned(room.id, by=room.user_id), limit=limit)
        work.commit()


def erase(world: World, user_id: UserId, limit: int) -> bool:
    with world.unit_of_work() as work:
        erased = work.erasure.erase(user_id, phone_digest="digest", limit=limit)
        work.commit()
    return erased.finished


def name_by_message(world: World, room: Chatroom) -> None:
    change(world, room, name="")
    send(world, room)


def unarchive_by_message(world: World, room: Chatroom) -> None:
    change(world, room, archived_at=MOMENT)
    send(world, room)


def unarchive_step_by_step(world: World, room: Chatroom) -> None:
    change(world, room, archived_at=MOMENT)
    with world.unit_of_work() as work:
        work.chatrooms.note_message(room.id, "", at=LATER)
        work.commit()


def answer(world: World, room: Chatroom) -> None:
    world.ask(room)
    world.answer_all()


def remove_with_messages(world: World, room: Chatroom) -> None:
    """Some of them are left to workers."""
    for _ in range(2):
        answer(world, room)
    remove(world, room, limit=1)


def use_a_prompt(world: World, room: Chatroom) -> None:
    with world.unit_of_work() as work:
        work.usage.spend(room.user_id, allowances=ALLOWANCES)
        work.commit()


Event = Callable[[World, Chatroom], object]

CHANGES: dict[str, Event] = {
    "another is opened": open_one,
    "it is renamed": partial(change, name="Poems", updated_at=LATER),
    "it is newer by its system prompt": partial(change, system_prompt="Be brief.", updated_at=LATER),
    "it is pinned": partial(change, pinned_at=MOMENT),
    "it is archived": partial(change, archived_at=MOMENT),
    "a message gives it a name": name_by_message,
    "a message takes it out of the archive": unarchive_by_message,
    "a message does so in a transaction": unarchive_step_by_step,
    "it is removed": remove,
    "it is removed, and messages are left to workers": remove_with_messages,
}
NO_CHANGES: dict[str, Event] = {
    "a message": send,
    "an answer": answer,
    "another reply": lambda world, room: world.ask_again(world.ask(room)),
    "a name that it has": change,
    "what others do": lambda world, _: remove(world, world.room()),
    "one too many": lambda world, room: at_once([partial(open_one, world, room, limit=1)]),
    "the use of the day": use_a_prompt,
}


class ListVersionContract:
    def test_it_comes_with_the_session(self, world: World) -> None:
        user = world.user()
        session = a_session(user)
        ended = a_session(user)
        with world.unit_of_work() as work:
            work.sessions.add(session)
            work.sessions.add(ended)
            work.sessions.end(ended.id, of=user.id)
            work.commit()
        assert world.reader.principal_with_list_version(session.id) == (world.reader.principal(session.id), 0)
        for nobodys in (ended.id, SessionId(new_id())):
            assert world.reader.principal_with_list_version(nobodys) is None

    @pytest.mark.parametrize("change", CHANGES)
    def test_a_list_that_changes_has_another_version(self, world: World, change: str) -> None:
        user = world.user()
        room = world.room(user)
        version = Watcher(world, user)
        seen = [version()]
        for write in (CHANGES[change], lambda world, _: world.room(user)):
            write(world, room)
            seen.append(version())
        assert len(set(seen)) == 3

    @pytest.mark.parametrize("event", NO_CHANGES)
    def test_what_the_list_does_not_show_changes_nothing(self, world: World, event: str) -> None:
        user = world.user()
        room = world.room(user)
        version = Watcher(world, user)
        before = version()
        NO_CHANGES[event](world, room)
        assert version() == before

    def test_a_change_that_was_rolled_back_is_none(self, world: World) -> None:
        user = world.user()
        room = world.room(user)
        version = Watcher(world, user)
        before = version()
        with world.unit_of_work() as work:
            work.chatrooms.change(replace(room, name="Poems"))
            work.chatrooms.add(a_room(user), limit=MAX_CHATROOMS)
        assert version() == before

    def test_an_erasure_in_several_batches_shows_what_is_left(self, world: World) -> None:
        user = world.user()
        for room in (world.room(user), world.room(user)):
            world.ask(room)
        before = Watcher(world, user)()
        assert not erase(world, user.id, limit=1)
        assert len(world.reader.rooms(user.id, limit=10).rooms) == 1
        assert Watcher(world, user)() != before

    def test_of_many_who_open_at_once_no_more_get_in_than_may(self, world: World) -> None:
        user = world.user()
        room = world.room(user)
        outcomes = at_once([partial(open_one, world, room, limit=5)] * THREADS)
        assert [type(one) for one in outcomes].count(TooManyChatrooms) == THREADS - 4
        assert len(world.reader.rooms(user.id, limit=100).rooms) == 5


class TestMemoryListVersion(ListVersionContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlListVersion(ListVersionContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world

    @pytest.mark.parametrize("change", CHANGES)
    def test_a_list_of_before_there_were_versions_gets_one(self, real_world: SqlWorld, change: str) -> None:
        user = real_world.user()
        room = real_world.room(user)
        real_world._run("DELETE FROM chatroom_lists")
        version = Watcher(real_world, user)
        assert version() == 0
        CHANGES[change](real_world, room)
        assert version() > 0
