"""What was said before goes with the prompt, as far as it fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.chat.write_reply import CHARACTERS_PER_TOKEN, MAX_HISTORY_TURNS
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
    assert room.asked() == Prompt("and now?", [Exchange("one", "eins"), Exchange("two", "zwei")], None)


def test_nothing_of_it_where_the_budget_is_nothing():
    room = RoomWithHistory(history_tokens=0)
    room.exchange("one", "eins")
    assert room.asked() == Prompt("and now?", (), None)


def test_the_system_prompt_of_the_room_goes_along_always():
    for tokens in (0, 1_000):
        room = RoomWithHistory(history_tokens=tokens, system_prompt="Talk like a pirate.")
        assert room.asked().system == "Talk like a pirate."
        another = room.house.room(room.asha)
        room.house.say(room.asha, another, "hi")
        room.house.work()
        assert room.house.model.prompts[-1] == Prompt("hi", [] if tokens else (), None)


def test_turns_are_whole_and_the_newest_go_first():
    # Four characters a token: 5 tokens are 20 characters, 8 a turn.
    room = RoomWithHistory(history_tokens=5)
    for letter in "abc":
        room.exchange(letter * 4, letter.upper() * 4)
    assert room.asked().history == [Exchange("bbbb", "BBBB"), Exchange("cccc", "CCCC")]


@pytest.mark.parametrize(("answer", "fits"), [("x" * 36, True), ("x" * 37, False)])
def test_a_turn_that_just_fits(answer: str, fits: bool):
    room = RoomWithHistory(history_tokens=10)
    room.exchange("four", answer)
    assert room.asked().history == ([Exchange("four", answer)] if fits else [])


def test_nothing_older_than_what_does_not_fit():
    room = RoomWithHistory(history_tokens=10)
    room.exchange("a", "b")
    room.exchange("long", "x" * 100)
    room.exchange("c", "d")
    assert room.asked().history == [Exchange("c", "d")]


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
    assert room.house.model.prompts[-1] == Prompt("two", [Exchange("one", "eins")], None)


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
    turns=st.lists(st.tuples(st.text("x", min_size=1, max_size=30), st.text("y", max_size=30)), max_size=6),
    tokens=st.integers(1, 30),
)
def test_it_is_the_longest_end_of_the_conversation_that_fits(turns: list[tuple[str, str]], tokens: int):
    room = RoomWithHistory(history_tokens=tokens)
    for prompt, answer in turns:
        room.exchange(prompt, answer)
    kept = list(room.asked().history)
    said = [Exchange(*turn) for turn in turns]
    assert kept == said[len(said) - len(kept) :]
    budget = tokens * CHARACTERS_PER_TOKEN
    assert sum(len(turn.prompt) + len(turn.answer) for turn in kept) <= budget
    if len(kept) < len(said):
        one_more = said[len(said) - len(kept) - 1 :]
        assert sum(len(turn.prompt) + len(turn.answer) for turn in one_more) > budget
