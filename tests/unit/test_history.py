"""What was said before goes with the prompt, as far as it fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.chat.write_reply import CHARACTERS_PER_TOKEN, MAX_HISTORY_TURNS
from application.ports.language_model import Exchange, Prompt
from domain.replies import Answer, AnswerFailed, FailureReason
from tests.builders import ASHA, RAVI, House


class Conversation:
    """A room in which something was said."""

    def __init__(self, history_tokens: int, *, system_prompt: str | None = None) -> None:
        """Open it."""
        self.house = House(basic_daily_prompts=1_000, history_tokens=history_tokens)
        self.asha = self.house.user(ASHA)
        self.room = self.house.room(self.asha, system_prompt=system_prompt)

    def exchange(self, prompt: str, outcome: str | Exception) -> None:
        """Something said, and what was answered."""
        self.house.model.will(Answer(outcome, "scripted") if isinstance(outcome, str) else outcome)
        self.house.say(self.asha, self.room, prompt)
        self.house.work()

    def asked(self, prompt: str = "and now?") -> Prompt:
        """What the model is asked."""
        self.exchange(prompt, "an answer")
        return self.house.model.prompts[-1]


def test_the_conversation_goes_along_oldest_first():
    conversation = Conversation(history_tokens=1_000)
    conversation.exchange("one", "eins")
    conversation.exchange("two", "zwei")
    assert conversation.asked() == Prompt("and now?", [Exchange("one", "eins"), Exchange("two", "zwei")], None)


def test_nothing_of_it_where_the_budget_is_nothing():
    conversation = Conversation(history_tokens=0)
    conversation.exchange("one", "eins")
    assert conversation.asked() == Prompt("and now?", (), None)


def test_the_system_prompt_of_the_room_goes_along_always():
    for tokens in (0, 1_000):
        conversation = Conversation(history_tokens=tokens, system_prompt="Talk like a pirate.")
        assert conversation.asked().system == "Talk like a pirate."
        another = conversation.house.room(conversation.asha)
        conversation.house.say(conversation.asha, another, "hi")
        conversation.house.work()
        assert conversation.house.model.prompts[-1] == Prompt("hi", [] if tokens else (), None)


def test_turns_are_whole_and_the_newest_go_first():
    # Four characters a token: 5 tokens are 20 characters, 8 a turn.
    conversation = Conversation(history_tokens=5)
    for letter in "abc":
        conversation.exchange(letter * 4, letter.upper() * 4)
    assert conversation.asked().history == [Exchange("bbbb", "BBBB"), Exchange("cccc", "CCCC")]


@pytest.mark.parametrize(("answer", "fits"), [("x" * 36, True), ("x" * 37, False)])
def test_a_turn_that_just_fits(answer: str, fits: bool):
    conversation = Conversation(history_tokens=10)
    conversation.exchange("four", answer)
    assert conversation.asked().history == ([Exchange("four", answer)] if fits else [])


def test_nothing_older_than_what_does_not_fit():
    conversation = Conversation(history_tokens=10)
    conversation.exchange("a", "b")
    conversation.exchange("long", "x" * 100)
    conversation.exchange("c", "d")
    assert conversation.asked().history == [Exchange("c", "d")]


def test_only_what_was_answered():
    conversation = Conversation(history_tokens=1_000)
    conversation.exchange("one", "eins")
    conversation.exchange("refused", AnswerFailed(FailureReason.REFUSED))
    sent = conversation.house.say(conversation.asha, conversation.room, "cancelled")
    conversation.house.cancel(conversation.asha, sent.reply_id)
    conversation.exchange("two", "zwei")
    assert conversation.asked().history == [Exchange("one", "eins"), Exchange("two", "zwei")]


def test_the_newest_reply_of_each_message():
    conversation = Conversation(history_tokens=1_000)
    sent = conversation.house.say(conversation.asha, conversation.room, "one")
    conversation.house.work()
    conversation.house.regenerate(conversation.asha, sent.reply_id)
    conversation.house.model.will(Answer("eins", "scripted"))
    conversation.house.work()
    assert conversation.asked().history == [Exchange("one", "eins")]


def test_another_reply_to_an_older_message_knows_what_was_said_before_it_and_not_itself():
    conversation = Conversation(history_tokens=1_000)
    conversation.exchange("one", "eins")
    sent = conversation.house.say(conversation.asha, conversation.room, "two")
    conversation.house.work()
    conversation.exchange("three", "drei")
    conversation.house.regenerate(conversation.asha, sent.reply_id)
    conversation.house.work()
    assert conversation.house.model.prompts[-1] == Prompt("two", [Exchange("one", "eins")], None)


def test_nothing_of_other_rooms_or_people():
    conversation = Conversation(history_tokens=1_000)
    ravi = conversation.house.user(RAVI)
    for who in (conversation.asha, ravi):
        conversation.house.say(who, conversation.house.room(who), "secret")
    conversation.house.work()
    assert conversation.asked().history == []


def test_so_many_turns_and_no_more():
    conversation = Conversation(history_tokens=10_000)
    for number in range(MAX_HISTORY_TURNS + 2):
        conversation.exchange(str(number), "yes")
    assert [turn.prompt for turn in conversation.asked().history] == [str(n) for n in range(2, MAX_HISTORY_TURNS + 2)]


@given(
    turns=st.lists(st.tuples(st.text("x", min_size=1, max_size=30), st.text("y", max_size=30)), max_size=6),
    tokens=st.integers(1, 30),
)
def test_it_is_the_longest_end_of_the_conversation_that_fits(turns: list[tuple[str, str]], tokens: int):
    conversation = Conversation(history_tokens=tokens)
    for prompt, answer in turns:
        conversation.exchange(prompt, answer)
    kept = list(conversation.asked().history)
    said = [Exchange(*turn) for turn in turns]
    assert kept == said[len(said) - len(kept) :]
    budget = tokens * CHARACTERS_PER_TOKEN
    assert sum(len(turn.prompt) + len(turn.answer) for turn in kept) <= budget
    if len(kept) < len(said):
        one_more = said[len(said) - len(kept) - 1 :]
        assert sum(len(turn.prompt) + len(turn.answer) for turn in one_more) > budget
