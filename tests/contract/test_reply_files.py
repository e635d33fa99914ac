"""The contract of the queries of single replies."""

from datetime import datetime, timedelta

import pytest

from domain.accounts import UserId
from domain.replies import FailureReason, ReplyId, ReplyState
from tests.contract.world import ANSWER, MemoryWorld, SqlWorld, World, new_id

AN_HOUR = timedelta(hours=1)


class ReplyFilesContract:
    def failed(
        self,
        world: World,
        *,
        since: timedelta = AN_HOUR,
        reason: FailureReason | None = None,
        user_id: UserId | None = None,
        limit: int = 10,
    ) -> list[ReplyId]:
        moment = world.now() - since
        found = world.reply_files.failed(since=moment, reason=reason, user_id=user_id, limit=limit)
        return [line.reply_id for line in found]

    def fail(self, world: World, reason: FailureReason) -> tuple[UserId, ReplyId]:
        room = world.room()
        reply = world.ask(room)
        assert world.fail(world.claim_one().claim, reason)
        return room.user_id, reply.id

    def test_only_failed_ones_are_listed_newest_first(self, world: World) -> None:
        world.end_three(world.room())
        _, refused = self.fail(world, FailureReason.REFUSED)
        ravi, busy = self.fail(world, FailureReason.MODEL_BUSY)
        assert self.failed(world)[:2] == [busy, refused]
        assert len(self.failed(world)) == 3
        assert self.failed(world, limit=1) == [busy]
        assert self.failed(world, reason=FailureReason.MODEL_BUSY) == [busy]
        assert self.failed(world, user_id=ravi) == [busy]
        assert self.failed(world, user_id=ravi, reason=FailureReason.REFUSED) == []

    def test_only_those_that_ended_since(self, world: World) -> None:
        _, reply_id = self.fail(world, FailureReason.REFUSED)
        world.pass_time(AN_HOUR)
        assert self.failed(world, since=AN_HOUR / 2) == []
        assert self.failed(world, since=2 * AN_HOUR) == [reply_id]

    def test_one_is_found_with_its_texts(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room, "'; why? 🌤")
        assert world.finish(world.claim_one().claim)
        found = world.reply_files.find(reply.id)
        assert found is not None
        assert (found.prompt, found.answer) == ("'; why? 🌤", ANSWER.text)
        line = found.line
        assert (line.reply_id, line.message_id, line.chatroom_id, line.user_id) == (
            reply.id,
            reply.message_id,
            room.id,
            room.user_id,
        )
        assert (line.state, line.failure, line.attempts, line.model) == (ReplyState.DONE, None, 1, ANSWER.model)
        assert line.refunded_at is None
        assert isinstance(line.finished_at, datetime)

    def test_one_that_failed_was_refunded(self, world: World) -> None:
        _, reply_id = self.fail(world, FailureReason.REFUSED)
        found = world.reply_files.find(reply_id)
        assert found is not None
        assert found.line.failure is FailureReason.REFUSED
        assert found.line.refunded_at == found.line.finished_at
        assert found.answer is None

    def test_what_is_gone_is_not_found(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room)
        with world.unit_of_work() as work:
            work.chatrooms.remove(work.chatrooms.owned(room.id, by=room.user_id))
            work.commit()
        assert world.reply_files.find(reply.id) is None
        assert world.reply_files.find(ReplyId(new_id())) is None


class TestMemoryReplyFiles(ReplyFilesContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlReplyFiles(ReplyFilesContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world
