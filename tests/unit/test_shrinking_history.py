"""A prompt that is too long for the model is asked again with less of the conversation."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from adapters.llm.shrinking_history import REMEMBERED_FOR, ShrinkingHistory
from adapters.memory.doubles import ScriptedLanguageModel, SettableClock
from application.ports.language_model import Exchange, LanguageModel, Prompt, Stop
from domain.replies import Answer, AnswerFailed, FailureReason

# 20 tokens by the estimate of four characters each.
EXCHANGE = Exchange("p" * 40, "a" * 40)
LATER = Exchange("q" * 40, "b" * 40)


class SmallModel(LanguageModel):
    """Takes so many characters."""

    def __init__(self, characters: int) -> None:
        self.characters = characters
        self.asked: list[Prompt] = []

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        self.asked.append(prompt)
        said = [text for exchange in prompt.history for text in exchange]
        if len("".join([*said, prompt.text, prompt.system or ""])) > self.characters:
            raise AnswerFailed(FailureReason.PROMPT_TOO_LONG)
        return Answer("Yes.", "small")


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(datetime(2026, 1, 1, tzinfo=UTC))


def ask(model: LanguageModel, history: Sequence[Exchange] = (), text: str = "And now?") -> Answer:
    prompt = Prompt(text, history, "Be brief.")
    return model.write(prompt, within=timedelta(seconds=5), stop=Stop(), on_chunk=lambda chunk: None)


def failure_of(model: LanguageModel, history: Sequence[Exchange] = ()) -> FailureReason:
    with pytest.raises(AnswerFailed) as failed:
        ask(model, history)
    return failed.value.reason


def test_what_the_model_takes_goes_there_as_it_is(clock: SettableClock):
    small = SmallModel(1_000)
    ask(ShrinkingHistory(small, clock=clock), [EXCHANGE, LATER])
    assert small.asked == [Prompt("And now?", [EXCHANGE, LATER], "Be brief.")]


def test_half_of_the_history_keeps_the_newest_of_it(clock: SettableClock):
    small = SmallModel(120)
    ask(ShrinkingHistory(small, clock=clock), [EXCHANGE, LATER])
    assert [prompt.history for prompt in small.asked] == [[EXCHANGE, LATER], [LATER]]
    assert {(prompt.text, prompt.system) for prompt in small.asked} == {("And now?", "Be brief.")}


def test_without_any_history_at_last(clock: SettableClock):
    small = SmallModel(20)
    ask(ShrinkingHistory(small, clock=clock), [EXCHANGE] * 100)
    assert small.asked[-1].history == ()
    assert len(small.asked) == 5


@pytest.mark.parametrize(("history", "calls"), [([], 1), ([Exchange("a", "b")], 2), ([EXCHANGE] * 100, 5)])
def test_a_message_that_is_too_long_by_itself_fails(clock: SettableClock, history: Sequence[Exchange], calls: int):
    small = SmallModel(5)
    assert failure_of(ShrinkingHistory(small, clock=clock), history) is FailureReason.PROMPT_TOO_LONG
    assert len(small.asked) == calls


@pytest.mark.parametrize("reason", sorted(set(FailureReason) - {FailureReason.PROMPT_TOO_LONG}))
def test_other_failures_are_passed_on(clock: SettableClock, reason: FailureReason):
    model = ScriptedLanguageModel()
    model.will(AnswerFailed(reason))
    assert failure_of(ShrinkingHistory(model, clock=clock), [EXCHANGE]) is reason
    assert len(model.prompts) == 1


def test_after_the_first_piece_nothing_is_asked_again(clock: SettableClock):
    model = ScriptedLanguageModel()
    model.will(["I ", AnswerFailed(FailureReason.PROMPT_TOO_LONG)])
    assert failure_of(ShrinkingHistory(model, clock=clock), [EXCHANGE]) is FailureReason.PROMPT_TOO_LONG
    assert len(model.prompts) == 1


def test_the_next_messages_need_no_call_that_fails(clock: SettableClock):
    small = SmallModel(300)
    model = ShrinkingHistory(small, clock=clock)
    ask(model, [EXCHANGE] * 10)
    clock.advance(REMEMBERED_FOR - timedelta(seconds=1))
    small.asked.clear()
    ask(model, [*[EXCHANGE] * 10, LATER])
    ask(model, [*[EXCHANGE] * 10, LATER], text="x" * 50)
    assert [len(prompt.history) for prompt in small.asked] == [2, 1]
    assert {prompt.history[-1] for prompt in small.asked} == {LATER}


def test_for_an_hour(clock: SettableClock):
    small = SmallModel(300)
    model = ShrinkingHistory(small, clock=clock)
    ask(model, [EXCHANGE] * 10)
    clock.advance(REMEMBERED_FOR)
    small.characters = 2_000
    ask(model, [EXCHANGE] * 10)
    assert small.asked[-1].history == [EXCHANGE] * 10


def test_a_message_as_long_as_what_was_taken_goes_with_all_of_its_history(clock: SettableClock):
    small = SmallModel(300)
    model = ShrinkingHistory(small, clock=clock)
    ask(model, [EXCHANGE] * 10)
    small.characters = 2_000
    ask(model, [EXCHANGE] * 10, text="x" * 400)
    assert small.asked[-1].history == [EXCHANGE] * 10
