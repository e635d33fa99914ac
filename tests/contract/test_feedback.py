"""The contract of what users think of replies."""

from datetime import timedelta

import pytest

from application.ports.reader import ReplyEntry
from domain.chat import Chatroom, MessageId
from domain.errors import MessageNotFound, ReplyNotRatable
from domain.feedback import Feedback, FeedbackReason, Rating
from domain.replies import FailureReason, QueuedReply, ReplyId
from tests.contract.world import MOMENT, MemoryWorld, SqlWorld, World, new_id

UP = Feedback(Rating.UP, (), None, MOMENT)
DOWN = Feedback(
    Rating.DOWN,
    (FeedbackReason.INCORRECT, FeedbackReason.OTHER),
    "'; It is the Moon 🌙 %s",
    MOMENT + timedelta(microseconds=1),
)


def stored(world: World, reply: QueuedReply) -> Feedback | None:
    """The feedback of a reply, wherever it is read."""
    entry = world.reader.entry(reply.user_id, reply.id)
    assert entry is not None
    page = world.reader.replies(reply.user_id, reply.id, limit=100, after=None)
    assert page is not None
    [listed] = [one.feedback for one in page.replies if one.reply_id == reply.id]
    after = world.reader.entries_after(reply.user_id, reply.chatroom_id, entry_id=reply.message_id, limit=100)
    assert after is not None
    [added] = [one.feedback for one in after if isinstance(one, ReplyEntry) and one.reply_id == reply.id]
    assert entry.turn.feedback == listed == added
    return listed


def answered(world: World, room: Chatroom | None = None) -> QueuedReply:
    reply = world.ask(room or world.room())
    assert world.finish(world.claim_one().claim)
    return reply


class FeedbackContract:
    @pytest.mark.parametrize("feedback", [UP, DOWN, Feedback(Rating.DOWN, tuple(FeedbackReason), "x" * 1_000, MOMENT)])
    def test_feedback_is_stored_unchanged(self, world: World, feedback: Feedback) -> None:
        reply = answered(world)
        assert stored(world, reply) is None
        world.feedback.put(reply.user_id, reply.id, feedback)
        assert stored(world, reply) == feedback

    def test_the_newest_takes_the_place_of_the_earlier_and_of_no_other(self, world: World) -> None:
        room = world.room()
        reply, other = answered(world, room), answered(world, room)
        world.feedback.put(reply.user_id, other.id, DOWN)
        for feedback in (DOWN, UP, UP):
            world.feedback.put(reply.user_id, reply.id, feedback)
            assert stored(world, reply) == feedback
        assert stored(world, other) == DOWN

    def test_it_is_taken_back_also_twice(self, world: World) -> None:
        reply = answered(world)
        world.feedback.put(reply.user_id, reply.id, DOWN)
        for _ in range(2):
            world.feedback.remove(reply.user_id, reply.id)
            assert stored(world, reply) is None
        world.feedback.put(reply.user_id, reply.id, UP)
        assert stored(world, reply) == UP

    def test_the_conversation_has_that_of_the_reply_that_shows(self, world: World) -> None:
        first = answered(world)
        world.feedback.put(first.user_id, first.id, DOWN)
        second = world.ask_again(first)
        assert self.in_conversation(world, first) == DOWN
        assert world.finish(world.claim_one().claim)
        assert self.in_conversation(world, first) is None
        world.feedback.put(second.user_id, second.id, UP)
        assert self.in_conversation(world, first) == UP
        assert stored(world, first) == DOWN

    def in_conversation(self, world: World, reply: QueuedReply) -> Feedback | None:
        found = world.reader.conversation(reply.user_id, reply.chatroom_id, turns=10, before=None)
        assert found is not None
        [turn] = found.turns
        return turn.feedback

    def test_a_message_stands_for_its_newest_reply(self, world: World) -> None:
        first = answered(world)
        second = world.ask_again(first)
        assert world.finish(world.claim_one().claim)
        world.feedback.put(first.user_id, first.message_id, DOWN)
        assert (stored(world, first), stored(world, second)) == (None, DOWN)
        world.feedback.remove(first.user_id, first.message_id)
        assert stored(world, second) is None

    def test_what_was_stopped_and_has_text_can_be_rated(self, world: World) -> None:
        reply = world.ask(world.room())
        world.stop(world.claim_one().claim, "Half an")
        world.feedback.put(reply.user_id, reply.id, UP)
        assert stored(world, reply) == UP

    def test_what_has_no_text_or_is_not_finished_cannot(self, world: World) -> None:
        user = world.user()
        room = world.room(user)
        failed = world.ask(room)
        world.fail(world.claim_one().claim, FailureReason.REFUSED)
        stopped = world.ask(room)
        world.stop(world.claim_one().claim)
        running = world.ask(room)
        world.claim_one()
        waiting = world.ask(room)
        for reply in (failed, stopped, running, waiting):
            with pytest.raises(ReplyNotRatable):
                world.feedback.put(user.id, reply.id, UP)
            world.feedback.remove(user.id, reply.id)
            assert stored(world, reply) is None

    def test_those_of_others_are_not_found(self, world: World) -> None:
        reply = answered(world)
        world.feedback.put(reply.user_id, reply.id, DOWN)
        stranger = world.user()
        answered(world, world.room(stranger))
        ids: list[MessageId | ReplyId] = [reply.id, reply.message_id, ReplyId(new_id())]
        for entry_id in ids:
            with pytest.raises(MessageNotFound):
                world.feedback.put(stranger.id, entry_id, UP)
            with pytest.raises(MessageNotFound):
                world.feedback.remove(stranger.id, entry_id)
        assert stored(world, reply) == DOWN

    def test_it_is_out_of_reach_with_its_chatroom(self, world: World) -> None:
        room = world.room()
        reply = answered(world, room)
        world.feedback.put(reply.user_id, reply.id, DOWN)
        since = MOMENT - timedelta(days=1)
        assert world.reply_files.rated(Rating.DOWN, since=since, user_id=None, limit=10)
        with world.unit_of_work() as work:
            # Its rows are left to be deleted afterwards.
            work.chatrooms.remove(work.chatrooms.owned(room.id, by=room.user_id), limit=0)
            work.commit()
        with pytest.raises(MessageNotFound):
            world.feedback.put(reply.user_id, reply.id, UP)
        assert list(world.reply_files.rated(Rating.DOWN, since=since, user_id=None, limit=10)) == []
        while world.purge_removed(limit=10).replies:
            pass


class TestMemoryFeedback(FeedbackContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlFeedback(FeedbackContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world
