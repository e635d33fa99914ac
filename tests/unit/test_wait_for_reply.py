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


class Story:
    """One message that waits for its reply."""

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
    story = Story()
    story.house.work()
    assert story.wait(10).turn.reply_content == "echo: hi"
    assert story.waited == timedelta()


def test_the_reply_is_there_as_soon_as_it_is_stored():
    story = Story()
    story.house.meanwhile.plan(story.house.work)
    assert story.wait(10).turn.reply_state is ReplyState.DONE
    assert story.waited == timedelta()


def test_its_pieces_are_not_what_is_waited_for():
    story = Story()
    story.house.model.will(["Once ", AnswerFailed(FailureReason.MODEL_BUSY)], ["Once ", "upon"])
    story.house.meanwhile.plan(story.house.work, lambda: story.house.clock.advance(2 * SECONDS), story.house.work)
    assert story.wait(10).turn.reply_content == "Once upon"
    assert story.waited == 2 * SECONDS


@pytest.mark.parametrize("reason", [FailureReason.REFUSED, FailureReason.EMPTY_ANSWER])
def test_a_failure_is_an_end_too(reason: FailureReason):
    story = Story()
    story.house.model.will(AnswerFailed(reason))
    story.house.meanwhile.plan(story.house.work)
    assert story.wait(10).turn.failure is reason
    assert story.waited == timedelta()


def test_an_end_without_a_word_is_seen_within_a_second():
    story = Story()
    story.house.meanwhile.plan(lambda: story.house.cancel(story.asha, story.sent.reply_id))
    assert story.wait(10).turn.reply_state is ReplyState.CANCELLED
    assert story.waited <= POLL_SECONDS * SECONDS


@pytest.mark.parametrize("within", [0, 0.5, 1, 2.5, 25])
def test_when_the_time_is_up_it_stands_as_it_stands(within: float):
    story = Story()
    assert story.wait(within).turn.reply_state is ReplyState.QUEUED
    assert story.waited == within * SECONDS


def test_who_hears_pieces_without_end_waits_no_longer():
    story = Story()
    story.house.claim_one()
    said = count(1)

    def go_on() -> None:
        story.house.clock.advance(0.5 * SECONDS)
        story.house.stream.publish(story.sent.reply_id, Chunk(Position(1, next(said)), "a"))

    story.house.meanwhile.plan(*[go_on] * 100)
    assert story.wait(3).turn.reply_state is ReplyState.RUNNING
    assert story.waited == 3 * SECONDS


def test_nobody_waits_for_the_reply_of_another():
    story = Story()
    ravi = story.house.user(RAVI)
    with pytest.raises(MessageNotFound):
        story.house.finish(
            story.house.use_cases.chat.wait_for_reply(
                user_id=ravi.user_id, reply_id=story.sent.reply_id, within=10 * SECONDS
            )
        )


def test_without_the_database_there_is_nothing_to_wait_for():
    story = Story()
    story.house.meanwhile.plan(lambda: setattr(story.house.database_probe, "on", False))
    with pytest.raises(DependencyDown):
        story.wait(10)


# --- Reading on ---


def test_all_that_comes_after_an_entry_with_its_own_turn():
    story = Story()
    for text in ("and", "then"):
        story.house.say(story.asha, story.room, text)
    everything = [("hi", "queued"), ("and", "queued"), ("then", "queued")]
    first, second, _ = story.poll_messages(story.sent.message.id)
    assert story.said(story.poll_messages(first.message_id)) == everything
    assert story.said(story.poll_messages(first.reply_id)) == everything
    assert story.said(story.poll_messages(second.message_id)) == everything[1:]
    assert story.said(story.poll_messages(first.message_id, turns=2)) == everything[:2]
    assert story.waited == timedelta()


def test_what_is_finished_already_is_not_waited_for():
    story = Story()
    story.house.work()
    assert story.said(story.poll_messages(story.sent.message.id, 25)) == [("hi", "done")]
    assert story.waited == timedelta()


def test_the_reply_that_is_being_written_is_waited_for():
    story = Story()
    story.house.meanwhile.plan(story.house.work)
    assert story.said(story.poll_messages(story.sent.message.id, 25)) == [("hi", "done")]
    assert story.waited == timedelta()


def test_who_has_everything_waits_for_what_is_sent_meanwhile_and_for_its_reply():
    story = Story()
    story.house.work()

    def from_another_device() -> None:
        story.house.say(story.asha, story.room, "and then")

    story.house.meanwhile.plan(from_another_device, story.house.work)
    assert story.said(story.poll_messages(story.sent.reply_id, 25)) == [("hi", "done"), ("and then", "done")]


def test_another_reply_to_the_same_message_is_waited_for():
    story = Story()
    story.house.work()
    again = story.house.regenerate(story.asha, story.sent.reply_id)
    story.house.meanwhile.plan(story.house.work)
    [turn] = story.poll_messages(story.sent.reply_id, 25)
    assert (turn.reply_id, turn.reply_state) == (again.reply_id, ReplyState.DONE)


def test_another_reply_to_an_older_message_stands_with_it_and_is_not_waited_for():
    story = Story()
    later = story.house.say(story.asha, story.room, "and then")
    story.house.work()
    again = story.house.regenerate(story.asha, story.sent.reply_id)
    story.house.meanwhile.plan(story.house.work)
    assert story.said(story.poll_messages(later.reply_id, 3)) == [("and then", "done")]
    assert story.waited == 3 * SECONDS
    assert [turn.reply_id for turn in story.poll_messages(story.sent.message.id)] == [again.reply_id, later.reply_id]


def test_of_several_the_first_finished_one_is_an_answer():
    story = Story()
    story.house.say(story.asha, story.room, "and then")
    first = story.house.claim_one()
    story.house.meanwhile.plan(lambda: story.house.write(first))
    assert story.said(story.poll_messages(story.sent.message.id, 25)) == [("hi", "done"), ("and then", "queued")]


@pytest.mark.parametrize("within", [0, 0.5, 3, 25])
@pytest.mark.parametrize("answered", [True, False])
def test_when_the_time_is_up_there_is_nothing_new(within: float, answered: bool):
    story = Story()
    if answered:
        story.house.work()
    after = story.sent.reply_id if answered else story.sent.message.id
    assert story.said(story.poll_messages(after, within)) == [("hi", "done" if answered else "queued")]
    assert story.waited == within * SECONDS


def test_a_foreign_room_and_a_missing_one_are_not_found_at_once():
    story = Story()
    ravi = story.house.user(RAVI)
    began = story.house.clock()
    for room in (story.room, ChatroomId(UUID(int=1 << 90))):
        with pytest.raises(ChatroomNotFound):
            story.house.finish(
                story.house.use_cases.chat.poll_messages(
                    user_id=ravi.user_id, chatroom_id=room, after=story.sent.message.id, turns=10, within=25 * SECONDS
                )
            )
    assert story.house.clock() == began


def test_an_entry_of_another_room_tells_nothing_of_it():
    story = Story()
    ravi = story.house.user(RAVI)
    theirs = story.house.say(ravi, story.house.room(ravi), "secret")
    for after in (theirs.message.id, theirs.reply_id):
        assert "secret" not in str(story.poll_messages(after))
