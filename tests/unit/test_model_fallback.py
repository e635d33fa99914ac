"""Several language models in order of preference."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

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


@pytest.mark.parametrize(
    ("told", "skipped"), [(None, timedelta(minutes=10)), (timedelta(seconds=18), timedelta(seconds=18))]
)
def test_one_whose_quota_of_the_day_is_spent_is_skipped_until_the_time_it_told(
    fallback: LanguageModelFallback,
    models: list[ScriptedLanguageModel],
    clock: SettableClock,
    told: timedelta | None,
    skipped: timedelta,
):
    models[0].will(AnswerFailed(FailureReason.MODEL_BUSY, quota_spent=True, retry_after=told))
    assert ask(fallback).text == "echo: Hi"
    clock.advance(skipped - timedelta(seconds=1))
    ask(fallback)
    assert asked(models) == [1, 2, 0]
    clock.advance(timedelta(seconds=1))
    ask(fallback)
    assert asked(models) == [2, 2, 0]


def test_with_all_spent_nobody_is_asked_until_the_first_of_them_may_be(
    fallback: LanguageModelFallback, models: list[ScriptedLanguageModel], clock: SettableClock
):
    for model, seconds in zip(models, (60, 40, 50), strict=True):
        model.will(
            AnswerFailed(FailureReason.MODEL_BUSY, quota_spent=True, retry_after=timedelta(seconds=seconds), model="m")
        )
    with pytest.raises(AnswerFailed) as first:
        ask(fallback)
    assert first.value.quota_spent
    clock.advance(timedelta(seconds=10))
    with pytest.raises(AnswerFailed) as second:
        ask(fallback)
    assert asked(models) == [1, 1, 1]
    assert (second.value.reason, second.value.asked) == (FailureReason.MODEL_BUSY, False)
    assert second.value.retry_after == timedelta(seconds=30)
    clock.advance(timedelta(seconds=30))
    assert ask(fallback).text == "echo: Hi"
    assert asked(models) == [1, 2, 1]


def test_of_several_failures_the_one_that_may_pass_is_told(
    fallback: LanguageModelFallback, models: list[ScriptedLanguageModel]
):
    spent = AnswerFailed(FailureReason.MODEL_BUSY, quota_spent=True)
    models[0].will(spent)
    models[1].will(GONE)
    models[2].will(GONE)
    with pytest.raises(AnswerFailed) as failed:
        ask(fallback)
    assert failed.value is spent


@pytest.mark.parametrize("status", [503, 529, None])
def test_one_that_stays_overloaded_is_skipped_for_half_a_minute(
    fallback: LanguageModelFallback, models: list[ScriptedLanguageModel], clock: SettableClock, status: int
):
    overloaded = AnswerFailed(FailureReason.MODEL_BUSY, status=status)
    models[0].will(overloaded, "Yes.", overloaded, overloaded, overloaded, "Yes.")
    with pytest.raises(AnswerFailed):
        ask(fallback)
    ask(fallback)
    with pytest.raises(AnswerFailed):
        ask(fallback)
    assert asked(models) == [3, 0, 0]  # never twice in a row
    ask(fallback)
    ask(fallback)
    assert asked(models) == [4, 2, 0]
    clock.advance(timedelta(seconds=30))
    ask(fallback)
    assert asked(models) == [5, 3, 0]
    clock.advance(timedelta(seconds=30))
    ask(fallback)
    assert asked(models) == [6, 3, 0]


@pytest.mark.parametrize(
    "between",
    [
        AnswerFailed(FailureReason.MODEL_BUSY, status=429),
        AnswerFailed(FailureReason.MODEL_UNREACHABLE, status=500),
        AnswerFailed(FailureReason.REFUSED),
    ],
)
def test_overloads_with_another_failure_between_are_not_in_a_row(
    fallback: LanguageModelFallback, models: list[ScriptedLanguageModel], between: AnswerFailed
):
    overloaded = AnswerFailed(FailureReason.MODEL_BUSY, status=503)
    models[0].will(overloaded, between, overloaded)
    for _ in range(3):
        with pytest.raises(AnswerFailed):
            ask(fallback)
    assert asked(models) == [3, 0, 0]


def test_limits_of_requests_are_no_reason_to_ask_another(
    fallback: LanguageModelFallback, models: list[ScriptedLanguageModel]
):
    models[0].will(*[AnswerFailed(FailureReason.MODEL_BUSY, status=429)] * 5)
    for _ in range(5):
        with pytest.raises(AnswerFailed):
            ask(fallback)
    assert asked(models) == [5, 0, 0]


def test_the_only_model_is_asked_however_overloaded_it_is(clock: SettableClock):
    model = ScriptedLanguageModel()
    alone = LanguageModelFallback([model], clock=clock)
    model.will(*[AnswerFailed(FailureReason.MODEL_BUSY, status=503)] * 3)
    for _ in range(3):
        with pytest.raises(AnswerFailed):
            ask(alone)
    assert ask(alone).text == "echo: Hi"


def test_a_model_that_is_skipped_is_logged_once(
    fallback: LanguageModelFallback, models: list[ScriptedLanguageModel], clock: SettableClock
):
    gone = AnswerFailed(FailureReason.MODEL_NOT_FOUND, status=404, model="m")
    with capture_logs() as logs:
        for model in models:
            model.will(gone, gone)
        for _ in range(2):
            with pytest.raises(AnswerFailed):
                ask(fallback)
    assert len(logs) == 3
    assert logs[0] == {
        "event": "model_skipped",
        "log_level": "warning",
        "model": "m",
        "reason": "model_not_found",
        "provider_status": 404,
        "quota_spent": False,
        "seconds": 600.0,
    }


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
