"""The contracts of the chatrooms and of the messages."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.chat import ChatroomId, MessageId
from domain.errors import ChatroomNotFound, TooManyChatrooms, TooManyPinned
from domain.replies import Answer, FailureReason, ReplyId, ReplyState
from tests.concurrency import together
from tests.contract.world import (
    MAX_CHATROOMS,
    MOMENT,
    THREADS,
    MemoryWorld,
    SqlWorld,
    World,
    a_message,
    a_reply,
    a_room,
    new_id,
    shown,
)

TEXTS = [
    "Why?",
    "",
    " \n\t",
    "नमस्ते 👩🏽‍🚀 \u202e\u200b",
    "'; DROP TABLE messages; -- %s %(id)s \\",
    "x" * 16_000,
    "\ufffd\U0010ffff",
]


class ChatroomsContract:
    @pytest.mark.parametrize("text", TEXTS, ids=shown)
    def test_comes_back_unchanged(self, world: World, text: str) -> None:
        room = world.room(name=text, system_prompt=text, updated_at=MOMENT + timedelta(microseconds=1))
        found = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        assert found is not None
        assert (found.id, found.name, found.system_prompt) == (room.id, text, text)
        assert (found.created_at, found.updated_at) == (room.created_at, room.updated_at)
        assert found.created_at.utcoffset() == timedelta(0)

    def test_no_system_prompt_is_not_an_empty_one(self, world: World) -> None:
        room = world.room(system_prompt=None)
        found = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        assert found is not None
        assert found.system_prompt is None

    def test_a_name_is_given_once_and_never_replaced(self, world: World) -> None:
        room, named = world.room(name=""), world.room(name="Physics")
        later = MOMENT + timedelta(minutes=1)
        with world.unit_of_work() as work:
            given = [
                work.chatrooms.note_message(one.id, title, at=later)
                for one, title in ((room, ""), (room, "Why?"), (room, "How?"), (named, "Why?"))
            ]
            work.commit()
        assert given == [None, "Why?", None, None]
        with world.unit_of_work() as work:
            found = [work.chatrooms.owned(one.id, by=one.user_id) for one in (room, named)]
        assert [(one.name, one.updated_at) for one in found] == [("Why?", later), ("Physics", MOMENT)]

    def test_a_change_is_kept(self, world: World) -> None:
        room = world.room()
        changes: list[dict[str, Any]] = [
            {"name": "Tea", "system_prompt": "Be brief."},
            {"pinned_at": MOMENT},
            {"pinned_at": None, "archived_at": MOMENT},
            {"archived_at": None, "system_prompt": None},
        ]
        for change in changes:
            room = replace(room, updated_at=room.updated_at + timedelta(seconds=1), **change)
            with world.unit_of_work() as work:
                work.chatrooms.change(room)
                work.commit()
            with world.unit_of_work() as work:
                assert work.chatrooms.owned(room.id, by=room.user_id) == room

    def test_no_more_are_pinned_than_the_limit(self, world: World) -> None:
        user = world.user()
        pinned, _ = world.room(user, pinned_at=MOMENT), world.room(user, pinned_at=MOMENT)
        world.room(user)
        world.room(user, archived_at=MOMENT)
        world.room(pinned_at=MOMENT)
        with world.unit_of_work() as work:
            work.chatrooms.check_pinned(user.id, limit=3)
        with pytest.raises(TooManyPinned) as refusal, world.unit_of_work() as work:
            work.chatrooms.check_pinned(user.id, limit=2)
        assert refusal.value.limit == 2
        with world.unit_of_work() as work:
            work.chatrooms.remove(work.chatrooms.owned(pinned.id, by=user.id))
            work.chatrooms.check_pinned(user.id, limit=2)

    def test_ones_own_is_ones_own(self, world: World) -> None:
        room = world.room()
        with world.unit_of_work() as work:
            work.chatrooms.assert_owned(room.id, by=room.user_id)

    def test_a_new_one_is_owned_before_the_commit(self, world: World) -> None:
        user = world.user()
        room = a_room(user)
        with world.unit_of_work() as work:
            work.chatrooms.add(room, limit=MAX_CHATROOMS)
            work.chatrooms.assert_owned(room.id, by=user.id)

    def test_no_more_than_the_limit(self, world: World) -> None:
        user, other = world.user(), world.user()
        first, second = world.room(user), world.room(user)
        with pytest.raises(TooManyChatrooms) as refusal, world.unit_of_work() as work:
            work.chatrooms.add(a_room(user), limit=2)
        assert refusal.value.limit == 2
        with world.unit_of_work() as work:
            work.chatrooms.add(a_room(other), limit=2)
            work.chatrooms.remove(work.chatrooms.owned(first.id, by=user.id))
            work.chatrooms.add(third := a_room(user), limit=2)
            work.commit()
        rooms = world.reader.rooms(user.id, limit=10, before=None).rooms
        assert {room.id for room in rooms} == {second.id, third.id}

    def test_a_foreign_one_and_a_missing_one_are_alike(self, world: World) -> None:
        room = world.room()
        stranger = world.user()
        with pytest.raises(ChatroomNotFound) as foreign, world.unit_of_work() as work:
            work.chatrooms.assert_owned(room.id, by=stranger.id)
        with pytest.raises(ChatroomNotFound) as missing, world.unit_of_work() as work:
            work.chatrooms.assert_owned(ChatroomId(new_id()), by=stranger.id)
        assert foreign.value.facts() == missing.value.facts()
        assert str(foreign.value) == str(missing.value)


class MessagesContract:
    @pytest.mark.parametrize("text", TEXTS, ids=shown)
    def test_comes_back_unchanged(self, world: World, text: str) -> None:
        room = world.room()
        message = a_message(room, text, created_at=MOMENT)
        reply = a_reply(message, world.today())
        with world.unit_of_work() as work:
            work.messages.add(message)
            work.replies.add(reply)
            work.commit()
        found = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        assert found is not None
        (turn,) = found.turns
        assert (turn.message_id, turn.content, turn.sent_at) == (message.id, text, MOMENT)
        assert turn.sent_at.utcoffset() == timedelta(0)
        # The worker asks exactly what the user sent.
        assert world.claim_one().prompt == text

    def test_found_by_its_own_id_and_by_those_of_its_replies_with_the_newest(self, world: World) -> None:
        room = world.room()
        first = world.ask(room, "Why? 🌤")
        assert world.finish(world.claim_one().claim, Answer("Because.", "scripted"))
        with world.unit_of_work() as work:
            found = work.messages.of(room.user_id, first.message_id)
            assert found is not None
            message, newest, state, answered = found
            assert (message.id, message.chatroom_id, message.user_id) == (first.message_id, room.id, room.user_id)
            assert (message.content, message.created_at) == ("Why? 🌤", MOMENT)
            assert (newest, state, answered) == (first.id, ReplyState.DONE, True)
            assert work.messages.of(room.user_id, first.id) == found
        second = world.ask_again(first)
        with world.unit_of_work() as work:
            for entry_id in (first.message_id, first.id, second.id):
                assert work.messages.of(room.user_id, entry_id) == (message, second.id, ReplyState.QUEUED, True)

    def test_found_in_each_state(self, world: World) -> None:
        reply = world.ask(world.room())
        seen = []

        def look() -> None:
            with world.unit_of_work() as work:
                found = work.messages.of(reply.user_id, reply.message_id)
                assert found is not None
                seen.append(found[2])

        look()
        claim = world.claim_one().claim
        look()
        with world.unit_of_work() as work:
            work.replies.fail(claim, FailureReason.REFUSED)
            work.commit()
        look()
        world.cancel(world.ask_again(reply).id)
        look()
        assert seen == [ReplyState.QUEUED, ReplyState.RUNNING, ReplyState.FAILED, ReplyState.CANCELLED]

    def test_a_foreign_one_and_a_missing_one_are_both_none(self, world: World) -> None:
        reply = world.ask(world.room())
        stranger = world.user()
        world.ask(world.room(stranger))
        with world.unit_of_work() as work:
            assert work.messages.of(stranger.id, reply.message_id) is None
            assert work.messages.of(stranger.id, reply.id) is None
            assert work.messages.of(reply.user_id, MessageId(new_id())) is None
            assert work.messages.of(reply.user_id, ReplyId(new_id())) is None

    def test_of_many_who_ask_again_at_once_exactly_one_does(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        assert world.finish(world.claim_one().claim, Answer("Because.", "scripted"))

        def ask_again_unless_another_has() -> ReplyId | None:
            with world.unit_of_work() as work:
                found = work.messages.of(room.user_id, first.message_id)
                assert found is not None
                message, _, state, _ = found
                if state is not ReplyState.DONE:
                    return None
                reply = a_reply(message, first.charged_on)
                work.replies.add(reply)
                work.commit()
            return reply.id

        added = [reply_id for reply_id in together([ask_again_unless_another_has] * THREADS) if reply_id]
        entry = world.reader.entry(room.user_id, first.message_id)
        assert entry is not None
        assert list(entry.replies) == [first.id, *added]
        assert len(added) == 1

    def test_there_is_none_without_its_chatroom(self, world: World) -> None:
        nowhere = a_room(world.user())
        with pytest.raises(ChatroomNotFound), world.unit_of_work() as work:
            work.messages.add(a_message(nowhere))


class TestMemoryChatrooms(ChatroomsContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlChatrooms(ChatroomsContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world

    def test_an_owned_one_cannot_vanish_before_the_end(self, real_world: SqlWorld) -> None:
        room = real_world.room()
        deletable = "SELECT 1 FROM chatrooms WHERE id = %(id)s FOR UPDATE SKIP LOCKED"
        with real_world.unit_of_work() as work:
            work.chatrooms.assert_owned(room.id, by=room.user_id)
            assert real_world._rows(deletable, id=room.id) == []
        assert real_world._rows(deletable, id=room.id) == [(1,)]

    def test_many_who_post_to_one_at_the_same_time_take_turns(self, real_world: SqlWorld) -> None:
        room = real_world.room()
        with real_world.unit_of_work() as one, real_world.unit_of_work() as other:
            one.chatrooms.assert_owned(room.id, by=room.user_id)
            other.chatrooms.assert_owned(room.id, by=room.user_id)
            later, sooner = a_message(room), a_message(room)
            other.messages.add(sooner)
            other.commit()
            one.messages.add(later)
            one.commit()
        assert real_world.ids_after(room, MessageId(UUID(int=0))) == [sooner.id, later.id]


class TestMemoryMessages(MessagesContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlMessages(MessagesContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world

    def test_one_that_is_found_is_locked_until_the_end(self, real_world: SqlWorld) -> None:
        reply = real_world.ask(real_world.room())
        free = "SELECT 1 FROM messages WHERE id = %(id)s FOR UPDATE SKIP LOCKED"
        with real_world.unit_of_work() as work:
            assert work.messages.of(reply.user_id, reply.id) is not None
            assert real_world._rows(free, id=reply.message_id) == []
        assert real_world._rows(free, id=reply.message_id) == [(1,)]
