"""Users wait until a reply is there, or read on in a chatroom; but not for ever."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest

from application.chat.follow_reply import POLL_SECONDS
from application.ports.reader import Entry, MessageEntry, ReplyEntry
from application.ports.reply_stream import Chunk, Position
from domain.chat import ChatroomId, MessageId
from domain.errors import ChatroomNotFound, DependencyDown, MessageNotFound
from domain.replies import AnswerFailed, FailureReason, ReplyId, ReplyState
from tests.builders import RAVI, OneReply

SECONDS = timedelta(seconds=1)

Entries = Sequence[MessageEntry | ReplyEntry]


class AwaitedReply(OneReply):
    def __init__(self) -> None:
        super().__init__()
        self.began = self.house.clock()

    @property
    def waited(self) -> timedelta:
        return self.house.clock() - self.began

    def wait(self, within: float) -> Entry:
        return self.house.finish(
            self.house.use_cases.chat.wait_for_reply(
                user_id=self.asha.user_id, reply_id=self.sent.reply_id, within=within * SECONDS
            )
        )

    def poll_messages(self, after: MessageId | ReplyId, within: float = 0, *, limit: int = 10) -> Entries:
        return self.house.finish(
            self.house.use_cases.chat.poll_messages(
                user_id=self.asha.user_id, chatroom_id=self.room, after=after, limit=limit, within=within * SECONDS
            )
        )

    def poll(self, after: MessageId | ReplyId, within: float = 0, *, limit: int = 10) -> list[str]:
        """Prompts, and the states of replies."""
        return [
            entry.content if isinstance(entry, MessageEntry) else entry.reply_state.value
            for entry in self.poll_messages(after, within, limit=limit)
        ]


# --- Waiting for one reply ---


def test_what_is_there_is_not_waited_for():
    reply = AwaitedReply()
    reply.house.work()
    assert reply.wait(10).turn.reply_content == "echo: hi"
    assert reply.waited == timedelta()


def test_the_reply_is_there_as_soon_as_it_is_stored():
    reply = AwaitedReply()
    reply.house.meanwhile.plan(reply.house.work)
    assert reply.wait(10).turn.reply_state is ReplyState.DONE
    assert reply.waited == timedelta()


def test_its_pieces_are_not_what_is_waited_for():
    reply = AwaitedReply()
    reply.house.model.will(["Once ", AnswerFailed(FailureReason.MODEL_BUSY)], ["Once ", "upon"])
    reply.house.meanwhile.plan(reply.house.work, lambda: reply.house.clock.advance(2 * SECONDS), reply.house.work)
    assert reply.wait(10).turn.reply_content == "Once upon"
    assert reply.waited == 2 * SECONDS


@pytest.mark.parametrize("reason", [FailureReason.REFUSED, FailureReason.PROMPT_TOO_LONG])
def test_a_failure_is_an_end_too(reason: FailureReason):
    reply = AwaitedReply()
    reply.house.model.will(AnswerFailed(reason))
    reply.house.meanwhile.plan(reply.house.work)
    assert reply.wait(10).turn.failure is reason
    assert reply.waited == timedelta()


def test_an_end_without_a_word_is_seen_within_a_second():
    reply = AwaitedReply()
    reply.house.meanwhile.plan(lambda: reply.house.cancel(reply.asha, reply.sent.reply_id))
    assert reply.wait(10).turn.reply_state is ReplyState.CANCELLED
    assert reply.waited <= POLL_SECONDS * SECONDS


@pytest.mark.parametrize("within", [0, 0.5, 1, 2.5, 25])
def test_when_the_time_is_up_it_stands_as_it_stands(within: float):
    reply = AwaitedReply()
    assert reply.wait(within).turn.reply_state is ReplyState.QUEUED
    assert reply.waited == within * SECONDS


def test_who_hears_pieces_without_end_waits_no_longer():
    reply = AwaitedReply()
    reply.house.claim_one()
    said = count(1)

    def go_on() -> None:
        reply.house.clock.advance(0.5 * SECONDS)
        reply.house.stream.publish(reply.sent.reply_id, Chunk(Position(1, next(said)), "a"))

    reply.house.meanwhile.plan(*[go_on] * 100)
    assert reply.wait(3).turn.reply_state is ReplyState.RUNNING
    assert reply.waited == 3 * SECONDS


def test_users_cannot_wait_for_the_reply_of_another():
    reply = AwaitedReply()
    ravi = reply.house.user(RAVI)
    with pytest.raises(MessageNotFound):
        reply.house.finish(
            reply.house.use_cases.chat.wait_for_reply(
                user_id=ravi.user_id, reply_id=reply.sent.reply_id, within=10 * SECONDS
            )
        )


def test_without_the_database_there_is_nothing_to_wait_for():
    reply = AwaitedReply()
    reply.house.meanwhile.plan(lambda: setattr(reply.house.database_probe, "on", False))
    with pytest.raises(DependencyDown):
        reply.wait(10)


# --- Reading on ---


def test_all_that_was_added_after_an_entry():
    reply = AwaitedReply()
    sent = [reply.house.say(reply.asha, reply.room, text) for text in ("and", "then")]
    everything = ["queued", "and", "queued", "then", "queued"]
    assert reply.poll(reply.sent.message.id) == everything
    assert reply.poll(reply.sent.message.id, limit=2) == everything[:2]
    assert reply.poll(reply.sent.reply_id) == everything[1:]
    assert reply.poll(sent[0].reply_id) == everything[3:]
    assert reply.poll(sent[1].reply_id) == []
    assert reply.waited == timedelta()


def test_what_is_finished_already_is_not_waited_for():
    reply = AwaitedReply()
    reply.house.work()
    assert reply.poll(reply.sent.message.id, 25) == ["done"]
    assert reply.waited == timedelta()


def test_the_reply_that_is_being_written_is_waited_for():
    reply = AwaitedReply()
    reply.house.meanwhile.plan(reply.house.work)
    assert reply.poll(reply.sent.message.id, 25) == ["done"]
    assert reply.waited == timedelta()


def test_who_has_everything_waits_for_what_is_sent_meanwhile_and_for_its_reply():
    reply = AwaitedReply()
    reply.house.work()

    def from_another_device() -> None:
        reply.house.say(reply.asha, reply.room, "and then")

    reply.house.meanwhile.plan(from_another_device, reply.house.work)
    assert reply.poll(reply.sent.reply_id, 25) == ["and then", "done"]


@pytest.mark.parametrize("older", [True, False])
def test_another_reply_to_any_message_is_waited_for(older: bool):
    reply = AwaitedReply()
    last = reply.house.say(reply.asha, reply.room, "and then") if older else reply.sent
    reply.house.work()
    again = reply.house.regenerate(reply.asha, reply.sent.reply_id)
    reply.house.meanwhile.plan(reply.house.work)
    [entry] = reply.poll_messages(last.reply_id, 25)
    assert isinstance(entry, ReplyEntry)
    assert (entry.message_id, entry.reply_id, entry.reply_state) == (
        reply.sent.message.id,
        again.reply_id,
        ReplyState.DONE,
    )
    assert reply.waited == timedelta()


def test_of_several_the_first_finished_one_is_an_answer():
    reply = AwaitedReply()
    reply.house.say(reply.asha, reply.room, "and then")
    first = reply.house.claim_one()
    reply.house.meanwhile.plan(lambda: reply.house.write(first))
    assert reply.poll(reply.sent.message.id, 25) == ["done", "and then", "queued"]


def test_what_is_finished_behind_an_unfinished_one_is_not():
    reply = AwaitedReply()
    later = reply.house.say(reply.asha, reply.room, "and then")
    reply.house.cancel(reply.asha, later.reply_id)
    assert reply.poll(reply.sent.message.id, 3) == ["queued", "and then", "cancelled"]
    assert reply.waited == 3 * SECONDS


def test_a_full_page_is_not_waited_for():
    reply = AwaitedReply()
    reply.house.work()
    reply.house.say(reply.asha, reply.room, "and then")
    assert reply.poll(reply.sent.reply_id, 25, limit=1) == ["and then"]
    assert reply.waited == timedelta()


def test_a_chatroom_that_is_removed_meanwhile_is_not_found():
    reply = AwaitedReply()
    reply.house.meanwhile.plan(lambda: reply.house.remove_room(reply.asha, reply.room))
    with pytest.raises(ChatroomNotFound):
        reply.poll(reply.sent.message.id, 25)


@pytest.mark.parametrize("within", [0, 0.5, 3, 25])
@pytest.mark.parametrize("answered", [True, False])
def test_when_the_time_is_up_there_is_nothing_new(within: float, answered: bool):
    reply = AwaitedReply()
    if answered:
        reply.house.work()
    after = reply.sent.reply_id if answered else reply.sent.message.id
    assert reply.poll(after, within) == ([] if answered else ["queued"])
    assert reply.waited == within * SECONDS


def test_a_foreign_room_and_a_missing_one_are_not_found_at_once():
    reply = AwaitedReply()
    ravi = reply.house.user(RAVI)
    began = reply.house.clock()
    for room in (reply.room, ChatroomId(UUID(int=1 << 90))):
        with pytest.raises(ChatroomNotFound):
            reply.house.finish(
                reply.house.use_cases.chat.poll_messages(
                    user_id=ravi.user_id, chatroom_id=room, after=reply.sent.message.id, limit=10, within=25 * SECONDS
                )
            )
    assert reply.house.clock() == began


def test_an_entry_of_another_room_tells_nothing_of_it():
    reply = AwaitedReply()
    ravi = reply.house.user(RAVI)
    theirs = reply.house.say(ravi, reply.house.room(ravi), "secret")
    for after in (theirs.message.id, theirs.reply_id):
        assert "secret" not in str(reply.poll_messages(after))
