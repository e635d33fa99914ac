"""What was said before goes with the prompt, as far as it fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.chat.history import CUT, estimated_tokens
from application.chat.write_reply import MAX_HISTORY_TURNS, Stopped
from application.ports.language_model import Exchange, Prompt
from domain.replies import Answer, AnswerFailed, FailureReason
from tests.builders import ASHA, RAVI, House


class RoomWithHistory:
    """A room in which something was said."""

    def __init__(self, history_tokens: int, *, system_prompt: str | None = None) -> None:
        self.house = House(basic_daily_prompts=1_000, history_tokens=history_tokens)
        self.asha = self.house.user(ASHA)
        self.id = self.house.room(self.asha, system_prompt=system_prompt)

    def exchange(self, prompt: str, outcome: str | Exception) -> None:
        self.house.model.will(Answer(outcome, "scripted") if isinstance(outcome, str) else outcome)
        self.house.say(self.asha, self.id, prompt)
        self.house.work()

    def asked(self, prompt: str = "and now?") -> Prompt:
        self.exchange(prompt, "an answer")
        return self.house.model.prompts[-1]


def test_the_conversation_goes_along_oldest_first():
    room = RoomWithHistory(history_tokens=1_000)
    room.exchange("one", "eins")
    room.exchange("two", "zwei")
    history = [Exchange("one", "eins"), Exchange("two", "zwei")]
    assert room.asked() == Prompt("and now?", history, None, asked_by=room.asha.user_id)


def test_nothing_of_it_where_the_budget_is_nothing():
    room = RoomWithHistory(history_tokens=0)
    room.exchange("one", "eins")
    assert room.asked() == Prompt("and now?", (), None, asked_by=room.asha.user_id)


def test_the_system_prompt_of_the_room_goes_along_always():
    for tokens in (0, 1_000):
        room = RoomWithHistory(history_tokens=tokens, system_prompt="Talk like a pirate.")
        assert room.asked().system == "Talk like a pirate."
        another = room.house.room(room.asha)
        room.house.say(room.asha, another, "hi")
        room.house.work()
        assert room.house.model.prompts[-1].system is None


def test_turns_are_whole_and_the_newest_go_first():
    # Four characters a token: 5 tokens are 20 characters, 8 a turn.
    room = RoomWithHistory(history_tokens=5)
    for letter in "abc":
        room.exchange(letter * 4, letter.upper() * 4)
    assert room.asked().history == [Exchange("bbbb", "BBBB"), Exchange("cccc", "CCCC")]


def test_an_older_turn_that_does_not_fit_is_left_out_and_smaller_ones_before_it_are_not():
    room = RoomWithHistory(history_tokens=10)
    room.exchange("a", "b")
    room.exchange("long", "x" * 100)
    room.exchange("c", "d")
    assert room.asked().history == [Exchange("a", "b"), Exchange("c", "d")]


def test_after_a_long_answer_its_end_goes_along_so_that_it_can_be_continued():
    room = RoomWithHistory(history_tokens=100)
    room.exchange("My name is Ada", "Hello Ada")
    room.exchange("write it", "begin " + "x" * 33_000 + " the end")
    [newest] = room.asked("continue").history
    assert newest.prompt == "write it"
    assert newest.answer.startswith(CUT)
    assert newest.answer.endswith("x the end")
    assert 350 <= len(newest.prompt + newest.answer) <= 400


def test_of_a_long_prompt_the_beginning_goes_along():
    room = RoomWithHistory(history_tokens=100)
    room.exchange("Translate this: " + "y" * 10_000, "the translation")
    [newest] = room.asked().history
    assert newest.prompt.startswith("Translate this: yyy")
    assert newest.prompt.endswith(CUT)
    assert newest.answer == "the translation"


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("word" * 10, 10), ("Привет", 3), ("नमस्ते", 6), ("你好", 2), ("🌈", 2), ("a🌈", 2.25)]
)
def test_tokens_are_estimated_by_script(text: str, tokens: float):
    assert estimated_tokens(text) == tokens


def test_what_was_stopped_and_kept_is_part_of_the_conversation():
    room = RoomWithHistory(history_tokens=1_000)
    room.house.say(room.asha, room.id, "count")
    reply = room.house.claim_one()
    room.house.cancel(room.asha, reply.claim.reply_id)
    room.house.replying.store_outcome(reply, Stopped("one two"))
    assert room.asked("go on").history == [Exchange("count", "one two")]


def test_a_later_attempt_that_failed_takes_no_answer_away():
    room = RoomWithHistory(history_tokens=1_000)
    room.house.model.will(Answer("Hello Ada", "scripted"))
    sent = room.house.say(room.asha, room.id, "My name is Ada")
    room.house.work()
    room.house.regenerate(room.asha, sent.reply_id)
    room.house.model.will(AnswerFailed(FailureReason.REFUSED))
    room.house.work()
    assert room.asked().history == [Exchange("My name is Ada", "Hello Ada")]


def test_only_what_was_answered():
    room = RoomWithHistory(history_tokens=1_000)
    room.exchange("one", "eins")
    room.exchange("refused", AnswerFailed(FailureReason.REFUSED))
    sent = room.house.say(room.asha, room.id, "cancelled")
    room.house.cancel(room.asha, sent.reply_id)
    room.exchange("two", "zwei")
    assert room.asked().history == [Exchange("one", "eins"), Exchange("two", "zwei")]


def test_the_newest_reply_of_each_message():
    room = RoomWithHistory(history_tokens=1_000)
    sent = room.house.say(room.asha, room.id, "one")
    room.house.work()
    room.house.regenerate(room.asha, sent.reply_id)
    room.house.model.will(Answer("eins", "scripted"))
    room.house.work()
    assert room.asked().history == [Exchange("one", "eins")]


def test_another_reply_to_an_older_message_knows_what_was_said_before_it_and_not_itself():
    room = RoomWithHistory(history_tokens=1_000)
    room.exchange("one", "eins")
    sent = room.house.say(room.asha, room.id, "two")
    room.house.work()
    room.exchange("three", "drei")
    room.house.regenerate(room.asha, sent.reply_id)
    room.house.work()
    assert room.house.model.prompts[-1].text == "two"
    assert room.house.model.prompts[-1].history == [Exchange("one", "eins")]


def test_nothing_of_other_rooms_or_people():
    room = RoomWithHistory(history_tokens=1_000)
    ravi = room.house.user(RAVI)
    for who in (room.asha, ravi):
        room.house.say(who, room.house.room(who), "secret")
    room.house.work()
    assert room.asked().history == []


def test_so_many_turns_and_no_more():
    room = RoomWithHistory(history_tokens=10_000)
    for number in range(MAX_HISTORY_TURNS + 2):
        room.exchange(str(number), "yes")
    assert [turn.prompt for turn in room.asked().history] == [str(n) for n in range(2, MAX_HISTORY_TURNS + 2)]


@given(
    turns=st.lists(st.tuples(st.text("xन", min_size=1, max_size=30), st.text("y🌈", max_size=30)), max_size=6),
    tokens=st.integers(1, 30),
)
def test_the_newest_goes_along_whatever_fits_of_the_others_and_no_more(turns: list[tuple[str, str]], tokens: int):
    room = RoomWithHistory(history_tokens=tokens)
    for prompt, answer in turns:
        room.exchange(prompt, answer)
    kept = list(room.asked().history)
    said = [Exchange(*turn) for turn in turns]
    assert bool(kept) == bool(said)
    whole = kept[:-1] if kept and kept[-1] != said[-1] else kept
    remaining = iter(said)
    assert all(turn in remaining for turn in whole), "in the order of the conversation"
    # The mark of a cut may go beyond the budget where there is room for nothing else.
    spent = sum(estimated_tokens(turn.prompt) + estimated_tokens(turn.answer) for turn in kept)
    assert spent <= tokens + 2 * estimated_tokens(CUT)
