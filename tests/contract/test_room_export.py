"""The contract of the export of a chatroom."""

import pytest

from adapters.memory.export import MemoryRoomExport
from adapters.sql.export import SqlRoomExport
from application.ports.export import RoomExport
from domain.accounts import UserId
from domain.chat import Chatroom, ChatroomId
from domain.errors import ChatroomNotFound
from domain.replies import Answer, FailureReason, ReplyState
from tests.contract.world import MOMENT, MemoryWorld, SqlWorld, World, new_id


class RoomExportContract:
    def read(self, export: RoomExport, room: Chatroom) -> list[tuple[str, str | None]]:
        found = export(room.user_id, room.id)
        assert found is not None
        return [(turn.content, turn.reply_content) for turn in found.turns]

    def test_only_the_owner_has_it(self, world: World, export: RoomExport) -> None:
        room = world.room()
        world.ask(room)
        assert export(world.user().id, room.id) is None
        assert export(room.user_id, ChatroomId(new_id())) is None
        assert export(UserId(new_id()), room.id) is None

    def test_a_chatroom_without_messages(self, world: World, export: RoomExport) -> None:
        room = world.room(name="Phy'sics 🌙", system_prompt="Be short.")
        found = export(room.user_id, room.id)
        assert found is not None
        assert (found.name, found.system_prompt, found.created_at) == ("Phy'sics 🌙", "Be short.", MOMENT)
        assert list(found.turns) == []

    @pytest.mark.parametrize("count", [1, 2, 3, 5])
    def test_its_messages_oldest_first_however_many(self, world: World, export: RoomExport, count: int) -> None:
        room = world.room()
        other = world.room(world.user())
        for number in range(count):
            world.ask(room, f"prompt {number}")
            world.ask(other, "another's")
        world.answer_all()
        assert self.read(export, room) == [(f"prompt {number}", "Because.") for number in range(count)]

    def test_each_reply_as_it_stands(self, world: World, export: RoomExport) -> None:
        room = world.room()
        for _ in range(4):
            world.ask(room)
        assert world.finish(world.claim_one().claim, Answer("Cut of", "scripted", truncated=True))
        world.fail(world.claim_one().claim, FailureReason.REFUSED)
        world.stop(world.claim_one().claim, "Half an")
        world.claim_one()
        found = export(room.user_id, room.id)
        assert found is not None
        turns = list(found.turns)
        assert [(turn.reply_state, turn.reply_content, turn.failure, turn.model, turn.truncated) for turn in turns] == [
            (ReplyState.DONE, "Cut of", None, "scripted", True),
            (ReplyState.FAILED, None, FailureReason.REFUSED, None, False),
            (ReplyState.CANCELLED, "Half an", None, None, False),
            (ReplyState.RUNNING, None, None, None, False),
        ]
        assert [turn.finished_at is not None for turn in turns] == [True, True, True, False]
        assert {turn.sent_at for turn in turns} == {MOMENT}

    def test_of_several_replies_the_one_that_shows(self, world: World, export: RoomExport) -> None:
        room = world.room()
        first = world.ask(room)
        assert world.finish(world.claim_one().claim, Answer("first", "scripted"))
        world.ask_again(first)
        assert world.finish(world.claim_one().claim, Answer("second", "scripted"))
        world.ask_again(first)
        world.fail(world.claim_one().claim)
        assert self.read(export, room) == [("Why?", "second")]

    def test_what_is_added_meanwhile_is_left_out(self, world: World, export: RoomExport) -> None:
        room = world.room()
        asked = [world.ask(room, f"prompt {number}") for number in range(3)]
        world.answer_all()
        found = export(room.user_id, room.id)
        assert found is not None
        turns = [next(found.turns)]
        world.ask(room, "too late")
        world.ask_again(asked[2])
        while claimed := world.claim(limit=10):
            for reply in claimed:
                assert world.finish(reply.claim, Answer("too late", "scripted"))
        turns += found.turns
        assert [(turn.content, turn.reply_content) for turn in turns] == [
            (f"prompt {number}", "Because.") for number in range(3)
        ]

    def test_a_chatroom_that_is_removed_meanwhile_does_not_seem_whole(self, world: World, export: RoomExport) -> None:
        room = world.room()
        for _ in range(5):
            world.ask(room)
        found = export(room.user_id, room.id)
        assert found is not None
        next(found.turns)
        with world.unit_of_work() as work:
            work.chatrooms.remove(work.chatrooms.owned(room.id, by=room.user_id))
            work.commit()
        with pytest.raises(ChatroomNotFound):
            list(found.turns)


class TestMemoryRoomExport(RoomExportContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world

    @pytest.fixture
    def export(self, memory_world: MemoryWorld) -> RoomExport:
        return MemoryRoomExport(memory_world._database)


class TestSqlRoomExport(RoomExportContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world

    @pytest.fixture
    def export(self, real_world: SqlWorld) -> RoomExport:
        # Small pages, so that there are several.
        return SqlRoomExport(real_world.database, turns_per_page=2)

    def test_no_connection_is_held_while_the_client_reads(self, real_world: SqlWorld) -> None:
        room = real_world.room()
        for _ in range(3):
            real_world.ask(room)
        found = SqlRoomExport(real_world.database, turns_per_page=1)(room.user_id, room.id)
        assert found is not None
        next(found.turns)
        assert real_world.database.pool.in_use == 0
