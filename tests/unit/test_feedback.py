"""Users say what they think of replies."""

from datetime import timedelta

import pytest

from domain.errors import InvalidValue, MessageNotFound, ReplyNotRatable
from domain.feedback import COMMENT_MAX_LENGTH, Feedback, FeedbackReason, Rating
from tests.builders import RAVI, OneReply


def feedback_of(reply: OneReply) -> Feedback | None:
    entry = reply.house.use_cases.chat.read_entry(user_id=reply.asha.user_id, entry_id=reply.sent.reply_id)
    return entry.turn.feedback


def answered() -> OneReply:
    reply = OneReply()
    reply.house.work()
    return reply


def test_the_last_word_on_a_reply_counts():
    reply = answered()
    chat = reply.house.use_cases.chat
    for rating, comment in ((Rating.UP, None), (Rating.DOWN, "Not so.")):
        reply.house.clock.advance(timedelta(minutes=1))
        given = chat.give_feedback(
            user_id=reply.asha.user_id, entry_id=reply.sent.reply_id, rating=rating, comment=comment
        )
        assert given == Feedback(rating, (), comment, reply.house.clock())
        assert feedback_of(reply) == given
    chat.withdraw_feedback(user_id=reply.asha.user_id, entry_id=reply.sent.reply_id)
    assert feedback_of(reply) is None


def test_a_reason_counts_once_and_has_its_place():
    reply = answered()
    reasons = [FeedbackReason.OTHER, FeedbackReason.INCORRECT, FeedbackReason.OTHER]
    given = reply.house.use_cases.chat.give_feedback(
        user_id=reply.asha.user_id, entry_id=reply.sent.reply_id, rating=Rating.DOWN, reasons=reasons
    )
    assert given.reasons == (FeedbackReason.INCORRECT, FeedbackReason.OTHER)


@pytest.mark.parametrize("comment", ["", " \n", "c" * (COMMENT_MAX_LENGTH + 1)])
def test_a_comment_says_something_and_is_short(comment: str):
    reply = answered()
    with pytest.raises(InvalidValue) as refused:
        reply.house.use_cases.chat.give_feedback(
            user_id=reply.asha.user_id, entry_id=reply.sent.reply_id, rating=Rating.UP, comment=comment
        )
    assert refused.value.field == "comment"
    assert feedback_of(reply) is None


def test_what_is_not_answered_cannot_be_rated():
    reply = OneReply()
    with pytest.raises(ReplyNotRatable):
        reply.house.use_cases.chat.give_feedback(
            user_id=reply.asha.user_id, entry_id=reply.sent.reply_id, rating=Rating.UP
        )


def test_others_neither_rate_it_nor_take_the_rating_back():
    reply = answered()
    chat, ravi = reply.house.use_cases.chat, reply.house.user(RAVI)
    given = chat.give_feedback(user_id=reply.asha.user_id, entry_id=reply.sent.reply_id, rating=Rating.UP)
    with pytest.raises(MessageNotFound):
        chat.give_feedback(user_id=ravi.user_id, entry_id=reply.sent.reply_id, rating=Rating.DOWN)
    with pytest.raises(MessageNotFound):
        chat.withdraw_feedback(user_id=ravi.user_id, entry_id=reply.sent.reply_id)
    assert feedback_of(reply) == given
