"""Several language models in order of preference."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from adapters.llm.fallback import LanguageModelFallback
from adapters.memory.doubles import ScriptedLanguageModel, SettableClock
from application.ports.language_model import AnswerStopped, LanguageModel, Prompt, Stop
from domain.replies import RETRYABLE, Answer, AnswerFailed, FailureReason

GONE = AnswerFailed(FailureReason.MODEL_NOT_FOUND)
OTHER_REASONS = sorted(set(FailureReason) - {FailureReason.MODEL_NOT_FOUND})


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def models() -> list[ScriptedLanguageModel]:
    return [ScriptedLanguageModel() for _ in range(3)]


@pytest.fixture
def fallback(models: Sequence[LanguageModel], clock: SettableClock) -> LanguageModelFallback:
    return LanguageModelFallback(models, clock=clock, skip_for=timedelta(minutes=10))


def ask(
    model: LanguageModel, *, stop: Stop | None = None, on_chunk: Callable[[str], None] = lambda chunk: None
) -> Answer:
    return model.write(Prompt("Hi"), within=timedelta(seconds=5), stop=stop or Stop(), on_chunk=on_chunk)


def asked(models: Sequence[ScriptedLanguageModel]) -> list[int]:
    return [len(model.prompts) for model in models]


def test_the_first_answers(fallback: LanguageModelFallback, models: list[ScriptedLanguageModel]):
    assert ask(fallback).text == "echo: Hi"
    assert asked(models) == [1, 0, 0]


def test_the_next_takes_the_place_of_one_that_is_gone(
    fallback: LanguageModelFallback, models: list[ScriptedLanguageModel]
):
    models[0].will(GONE)
    models[1].will(GONE)
    models[2].will(["I ", "answer."])
    chunks: list[str] = []
    assert ask(fallback, on_chunk=chunks.append).text == "I answer."
    assert chunks == ["I ", "answer."]
    assert asked(models) == [1, 1, 1]


def test_one_that_is_gone_is_skipped_for_a_while(
    fallback: LanguageModelFallback, models: list[ScriptedLanguageModel], clock: SettableClock
):
    models[0].will(GONE)
    ask(fallback)
    clock.advance(timedelta(minutes=9, seconds=59))
    ask(fallback)
    assert asked(models) == [1, 2, 0]
    clock.advance(timedelta(seconds=1))
    ask(fallback)
    assert asked(models) == [2, 2, 0]


def test_with_all_gone_each_is_asked_once(fallback: LanguageModelFallback, models: list[ScriptedLanguageModel]):
    for model in models:
        model.will(GONE)
    with pytest.raises(AnswerFailed) as failed:
        ask(fallback)
    assert failed.value.reason is FailureReason.MODEL_NOT_FOUND
    assert failed.value.reason not in RETRYABLE
    assert asked(models) == [1, 1, 1]


def test_with_all_gone_one_that_is_back_answers(fallback: LanguageModelFallback, models: list[ScriptedLanguageModel]):
    for model in models:
        model.will(GONE)
    with pytest.raises(AnswerFailed):
        ask(fallback)
    models[0].will(GONE)
    assert ask(fallback).text == "echo: Hi"
    assert asked(models) == [2, 2, 1]


@pytest.mark.parametrize("reason", OTHER_REASONS)
def test_other_failures_are_passed_on(
    fallback: LanguageModelFallback, models: list[ScriptedLanguageModel], reason: FailureReason
):
    failure = AnswerFailed(reason, retry_after=timedelta(seconds=3))
    models[0].will(failure)
    with pytest.raises(AnswerFailed) as failed:
        ask(fallback)
    assert failed.value is failure
    assert asked(models) == [1, 0, 0]


def test_after_the_first_piece_there_is_no_other_model(
    fallback: LanguageModelFallback, models: list[ScriptedLanguageModel]
):
    models[0].will(["I ", GONE])
    with pytest.raises(AnswerFailed):
        ask(fallback)
    assert asked(models) == [1, 0, 0]


def test_stop_is_passed_on(fallback: LanguageModelFallback, models: list[ScriptedLanguageModel]):
    stop = Stop()
    stop.request()
    models[0].will(GONE)
    with pytest.raises(AnswerStopped):
        ask(fallback, stop=stop)
    assert asked(models) == [1, 1, 0]
