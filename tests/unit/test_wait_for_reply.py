"""Users wait until a reply is there, or read on in a chatroom; but not for ever."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest

from application.chat.follow_reply import POLL_SECONDS
from application.ports.reader import Entry, Turn
from application.ports.reply_stream import Chunk, Position
from domain.chat import ChatroomId, MessageId
from domain.errors import ChatroomNotFound, DependencyDown, MessageNotFound
from domain.replies import AnswerFailed, FailureReason, ReplyId, ReplyState
from tests.builders import ASHA, RAVI, House

SECONDS = timedelta(seconds=1)


class AwaitedReply:
    """A user, a chatroom and one accepted message whose reply is pending."""

    def __init__(self) -> None:
        """Accept the message."""
        self.house = House()
        self.asha = self.house.user(ASHA)
        self.room = self.house.room(self.asha)
        self.sent = self.house.say(self.asha, self.room, "hi")
        self.began = self.house.clock()

    @property
    def waited(self) -> timedelta:
        """How long it took."""
        return self.house.clock() - self.began

    def wait(self, within: float) -> Entry:
        """Wait for the reply."""
        return self.house.finish(
            self.house.use_cases.chat.wait_for_reply(
                user_id=self.asha.user_id, reply_id=self.sent.reply_id, within=within * SECONDS
            )
        )

    def poll_messages(self, after: MessageId | ReplyId, within: float = 0, *, turns: int = 10) -> Sequence[Turn]:
        """Read on in the room."""
        return self.house.finish(
            self.house.use_cases.chat.poll_messages(
                user_id=self.asha.user_id, chatroom_id=self.room, after=after, turns=turns, within=within * SECONDS
            )
        )

    def said(self, turns: Sequence[Turn]) -> list[tuple[str, str]]:
        """Prompts, and the state of their replies."""
        return [(turn.content, turn.reply_state.value) for turn in turns]


# --- Waiting for one reply ---


def test_what_is_there_is_not_waited_for():
    awaited = AwaitedReply()
    awaited.house.work()
    assert awaited.wait(10).turn.reply_content == "echo: hi"
    assert awaited.waited == timedelta()


def test_the_reply_is_there_as_soon_as_it_is_stored():
    awaited = AwaitedReply()
    awaited.house.meanwhile.plan(awaited.house.work)
    assert awaited.wait(10).turn.reply_state is ReplyState.DONE
    assert awaited.waited == timedelta()


def test_its_pieces_are_not_what_is_waited_for():
    awaited = AwaitedReply()
    awaited.house.model.will(["Once ", AnswerFailed(FailureReason.MODEL_BUSY)], ["Once ", "upon"])
    awaited.house.meanwhile.plan(
        awaited.house.work, lambda: awaited.house.clock.advance(2 * SECONDS), awaited.house.work
    )
    assert awaited.wait(10).turn.reply_content == "Once upon"
    assert awaited.waited == 2 * SECONDS


@pytest.mark.parametrize("reason", [FailureReason.REFUSED, FailureReason.EMPTY_ANSWER])
def test_a_failure_is_an_end_too(reason: FailureReason):
    awaited = AwaitedReply()
    awaited.house.model.will(AnswerFailed(reason))
    awaited.house.meanwhile.plan(awaited.house.work)
    assert awaited.wait(10).turn.failure is reason
    assert awaited.waited == timedelta()


def test_an_end_without_a_word_is_seen_within_a_second():
    awaited = AwaitedReply()
    awaited.house.meanwhile.plan(lambda: awaited.house.cancel(awaited.asha, awaited.sent.reply_id))
    assert awaited.wait(10).turn.reply_state is ReplyState.CANCELLED
    assert awaited.waited <= POLL_SECONDS * SECONDS


@pytest.mark.parametrize("within", [0, 0.5, 1, 2.5, 25])
def test_when_the_time_is_up_it_stands_as_it_stands(within: float):
    awaited = AwaitedReply()
    assert awaited.wait(within).turn.reply_state is ReplyState.QUEUED
    assert awaited.waited == within * SECONDS


def test_who_hears_pieces_without_end_waits_no_longer():
    awaited = AwaitedReply()
    awaited.house.claim_one()
    said = count(1)

    def go_on() -> None:
        awaited.house.clock.advance(0.5 * SECONDS)
        awaited.house.stream.publish(awaited.sent.reply_id, Chunk(Position(1, next(said)), "a"))

    awaited.house.meanwhile.plan(*[go_on] * 100)
    assert awaited.wait(3).turn.reply_state is ReplyState.RUNNING
    assert awaited.waited == 3 * SECONDS


def test_users_cannot_wait_for_the_reply_of_another():
    awaited = AwaitedReply()
    ravi = awaited.house.user(RAVI)
    with pytest.raises(MessageNotFound):
        awaited.house.finish(
            awaited.house.use_cases.chat.wait_for_reply(
                user_id=ravi.user_id, reply_id=awaited.sent.reply_id, within=10 * SECONDS
            )
        )


def test_without_the_database_there_is_nothing_to_wait_for():
    awaited = AwaitedReply()
    awaited.house.meanwhile.plan(lambda: setattr(awaited.house.database_probe, "on", False))
    with pytest.raises(DependencyDown):
        awaited.wait(10)


# --- Reading on ---


def test_all_that_comes_after_an_entry_with_its_own_turn():
    awaited = AwaitedReply()
    for text in ("and", "then"):
        awaited.house.say(awaited.asha, awaited.room, text)
    everything = [("hi", "queued"), ("and", "queued"), ("then", "queued")]
    first, second, _ = awaited.poll_messages(awaited.sent.message.id)
    assert awaited.said(awaited.poll_messages(first.message_id)) == everything
    assert awaited.said(awaited.poll_messages(first.reply_id)) == everything
    assert awaited.said(awaited.poll_messages(second.message_id)) == everything[1:]
    assert awaited.said(awaited.poll_messages(first.message_id, turns=2)) == everything[:2]
    assert awaited.waited == timedelta()


def test_what_is_finished_already_is_not_waited_for():
    awaited = AwaitedReply()
    awaited.house.work()
    assert awaited.said(awaited.poll_messages(awaited.sent.message.id, 25)) == [("hi", "done")]
    assert awaited.waited == timedelta()


def test_the_reply_that_is_being_written_is_waited_for():
    awaited = AwaitedReply()
    awaited.house.meanwhile.plan(awaited.house.work)
    assert awaited.said(awaited.poll_messages(awaited.sent.message.id, 25)) == [("hi", "done")]
    assert awaited.waited == timedelta()


def test_who_has_everything_waits_for_what_is_sent_meanwhile_and_for_its_reply():
    awaited = AwaitedReply()
    awaited.house.work()

    def from_another_device() -> None:
        awaited.house.say(awaited.asha, awaited.room, "and then")

    awaited.house.meanwhile.plan(from_another_device, awaited.house.work)
    assert awaited.said(awaited.poll_messages(awaited.sent.reply_id, 25)) == [("hi", "done"), ("and then", "done")]


def test_another_reply_to_the_same_message_is_waited_for():
    awaited = AwaitedReply()
    awaited.house.work()
    again = awaited.house.regenerate(awaited.asha, awaited.sent.reply_id)
    awaited.house.meanwhile.plan(awaited.house.work)
    [turn] = awaited.poll_messages(awaited.sent.reply_id, 25)
    assert (turn.reply_id, turn.reply_state) == (again.reply_id, ReplyState.DONE)


def test_another_reply_to_an_older_message_stands_with_it_and_is_not_waited_for():
    awaited = AwaitedReply()
    later = awaited.house.say(awaited.asha, awaited.room, "and then")
    awaited.house.work()
    again = awaited.house.regenerate(awaited.asha, awaited.sent.reply_id)
    awaited.house.meanwhile.plan(awaited.house.work)
    assert awaited.said(awaited.poll_messages(later.reply_id, 3)) == [("and then", "done")]
    assert awaited.waited == 3 * SECONDS
    assert [turn.reply_id for turn in awaited.poll_messages(awaited.sent.message.id)] == [
        again.reply_id,
        later.reply_id,
    ]


def test_of_several_the_first_finished_one_is_an_answer():
    awaited = AwaitedReply()
    awaited.house.say(awaited.asha, awaited.room, "and then")
    first = awaited.house.claim_one()
    awaited.house.meanwhile.plan(lambda: awaited.house.write(first))
    assert awaited.said(awaited.poll_messages(awaited.sent.message.id, 25)) == [("hi", "done"), ("and then", "queued")]


@pytest.mark.parametrize("within", [0, 0.5, 3, 25])
@pytest.mark.parametrize("answered", [True, False])
def test_when_the_time_is_up_there_is_nothing_new(within: float, answered: bool):
    awaited = AwaitedReply()
    if answered:
        awaited.house.work()
    after = awaited.sent.reply_id if answered else awaited.sent.message.id
    assert awaited.said(awaited.poll_messages(after, within)) == [("hi", "done" if answered else "queued")]
    assert awaited.waited == within * SECONDS


def test_a_foreign_room_and_a_missing_one_are_not_found_at_once():
    awaited = AwaitedReply()
    ravi = awaited.house.user(RAVI)
    began = awaited.house.clock()
    for room in (awaited.room, ChatroomId(UUID(int=1 << 90))):
        with pytest.raises(ChatroomNotFound):
            awaited.house.finish(
                awaited.house.use_cases.chat.poll_messages(
                    user_id=ravi.user_id, chatroom_id=room, after=awaited.sent.message.id, turns=10, within=25 * SECONDS
                )
            )
    assert awaited.house.clock() == began


def test_an_entry_of_another_room_tells_nothing_of_it():
    awaited = AwaitedReply()
    ravi = awaited.house.user(RAVI)
    theirs = awaited.house.say(ravi, awaited.house.room(ravi), "secret")
    for after in (theirs.message.id, theirs.reply_id):
        assert "secret" not in str(awaited.poll_messages(after))
