"""The circuit breaker around a language model."""

import contextlib
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import pytest
from structlog.testing import capture_logs

from adapters.llm.circuit_breaker import LanguageModelBreaker
from adapters.memory.doubles import ScriptedLanguageModel, SettableClock
from application.ports.language_model import AnswerStopped, Prompt, Stop
from domain.replies import Answer, AnswerFailed, AnswerOverdue, FailureReason

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
UNREACHABLE = AnswerFailed(FailureReason.MODEL_UNREACHABLE)
ANSWER = Answer("Yes.", "m")
PERMANENT = [
    FailureReason.REFUSED,
    FailureReason.EMPTY_ANSWER,
    FailureReason.ANSWER_INTERRUPTED,
    FailureReason.MODEL_MISCONFIGURED,
    FailureReason.PROMPT_TOO_LONG,
    FailureReason.MODEL_REJECTED_REQUEST,
    FailureReason.MODEL_NOT_FOUND,
]


class Setting:
    """A breaker of two failures within a minute, open for ten seconds, and what it stands upon."""

    def __init__(self) -> None:
        self.clock = SettableClock(NOW)
        self.model = ScriptedLanguageModel()
        self.breaker = LanguageModelBreaker(
            self.model,
            clock=self.clock,
            threshold=2,
            window=60 * SECOND,
            open_for=10 * SECOND,
            open_at_most=100 * SECOND,
        )

    def ask(self, stop: Stop | None = None) -> Answer:
        return self.breaker.write(Prompt("Hi"), within=SECOND, stop=stop or Stop(), on_chunk=lambda chunk: None)

    def fail(self, *failures: Exception) -> None:
        """Each of these, passed on as it came."""
        self.model.will(*failures)
        for failure in failures:
            with pytest.raises(type(failure)) as raised:
                self.ask()
            assert raised.value is failure

    def refusal(self) -> AnswerFailed:
        """What it says while it is open: the model is not asked."""
        before = len(self.model.prompts)
        with pytest.raises(AnswerFailed) as raised:
            self.ask()
        assert len(self.model.prompts) == before
        assert not raised.value.asked
        return raised.value

    @property
    def is_open(self) -> bool:
        asked = len(self.model.prompts)
        with contextlib.suppress(AnswerFailed):
            self.ask()
        return len(self.model.prompts) == asked


@pytest.fixture
def at() -> Setting:
    """A breaker, closed."""
    return Setting()


def test_closed_it_passes_answers_and_failures(at: Setting):
    at.model.will(ANSWER)
    assert at.ask() == ANSWER
    at.fail(UNREACHABLE)


def test_enough_failures_in_a_row_open_it(at: Setting):
    at.fail(UNREACHABLE, UNREACHABLE)
    refusal = at.refusal()
    assert (refusal.reason, refusal.retry_after) == (FailureReason.MODEL_UNREACHABLE, 10 * SECOND)
    at.clock.advance(4 * SECOND)
    assert at.refusal().retry_after == 6 * SECOND


def test_a_success_in_between_begins_the_count_anew(at: Setting):
    at.fail(UNREACHABLE)
    at.ask()
    at.fail(UNREACHABLE)
    assert not at.is_open


@pytest.mark.parametrize("reason", PERMANENT)
def test_what_the_provider_says_no_to_counts_as_success(at: Setting, reason: FailureReason):
    at.fail(UNREACHABLE, AnswerFailed(reason), UNREACHABLE)
    assert not at.is_open


def test_failures_far_apart_do_not_open_it(at: Setting):
    at.fail(UNREACHABLE)
    at.clock.advance(61 * SECOND)
    at.fail(UNREACHABLE)
    assert not at.is_open


@pytest.mark.parametrize(
    "outcome", [AnswerStopped(), ZeroDivisionError(), AnswerFailed(UNREACHABLE.reason, asked=False), AnswerOverdue()]
)
def test_what_says_nothing_of_the_provider_does_not_count(at: Setting, outcome: Exception):
    at.fail(UNREACHABLE, outcome)
    assert not at.is_open
    at.fail(UNREACHABLE, outcome, UNREACHABLE)
    assert at.is_open


@pytest.mark.parametrize(("wish", "granted"), [(3, 10), (42, 42), (86_400, 100)])
def test_a_busy_provider_says_how_long_at_least(at: Setting, wish: int, granted: int):
    busy = AnswerFailed(FailureReason.MODEL_BUSY, retry_after=wish * SECOND)
    at.fail(busy, busy)
    refusal = at.refusal()
    assert (refusal.reason, refusal.retry_after) == (FailureReason.MODEL_BUSY, granted * SECOND)


def test_a_probe_that_succeeds_closes_it(at: Setting):
    at.fail(UNREACHABLE, UNREACHABLE)
    at.clock.advance(10 * SECOND)
    assert not at.is_open
    at.fail(UNREACHABLE)
    assert not at.is_open


def test_a_probe_that_is_refused_closes_it(at: Setting):
    at.fail(UNREACHABLE, UNREACHABLE)
    at.clock.advance(10 * SECOND)
    at.fail(AnswerFailed(FailureReason.REFUSED))
    assert not at.is_open


def test_a_probe_that_fails_opens_it_again(at: Setting):
    at.fail(UNREACHABLE, UNREACHABLE)
    at.clock.advance(10 * SECOND)
    at.fail(UNREACHABLE)
    assert at.refusal().retry_after == 10 * SECOND


def test_a_probe_that_is_stopped_leaves_its_place_to_the_next(at: Setting):
    at.fail(UNREACHABLE, UNREACHABLE)
    at.clock.advance(10 * SECOND)
    at.fail(AnswerStopped())
    assert not at.is_open


def test_one_probe_at_a_time(at: Setting):
    at.fail(UNREACHABLE, UNREACHABLE)
    at.clock.advance(10 * SECOND)
    begun, go_on = Event(), Event()
    at.model.will([begun.set, lambda: go_on.wait(5), "Yes."])
    probe = Thread(target=at.ask)
    probe.start()
    assert begun.wait(5)
    assert at.refusal().retry_after == SECOND
    go_on.set()
    probe.join(5)
    assert not at.is_open


def test_the_first_piece_of_a_probe_closes_it(at: Setting):
    at.fail(UNREACHABLE, UNREACHABLE)
    at.clock.advance(10 * SECOND)
    others: list[bool] = []
    at.model.will(["Yes", lambda: others.append(at.is_open), UNREACHABLE])
    with pytest.raises(AnswerFailed):
        at.ask()
    assert others == [False]
    assert not at.is_open  # how the probe ended is of an earlier time


@pytest.mark.parametrize("late", ["Yes.", UNREACHABLE])
def test_calls_of_an_earlier_time_have_no_say(at: Setting, late: str | Exception):
    begun, go_on = Event(), Event()
    at.model.will([begun.set, lambda: go_on.wait(5), late])

    def call() -> None:
        with contextlib.suppress(AnswerFailed):
            at.ask()

    earlier = Thread(target=call)
    earlier.start()
    assert begun.wait(5)
    at.fail(UNREACHABLE, UNREACHABLE)
    at.clock.advance(5 * SECOND)
    go_on.set()
    earlier.join(5)
    assert at.refusal().retry_after == 5 * SECOND


def test_many_failures_at_once_open_it_once(at: Setting):
    at.model.will(*[UNREACHABLE] * 20)
    asked: list[bool] = []

    def call() -> None:
        try:
            at.ask()
        except AnswerFailed as failure:
            asked.append(failure.asked)

    threads = [Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(asked) == 20
    assert asked.count(True) >= 2
    assert at.refusal().retry_after == 10 * SECOND


def test_it_tells_whether_it_is_open_and_not_for_longer_than_it_refuses(at: Setting):
    assert not at.breaker.is_open()
    at.fail(UNREACHABLE, UNREACHABLE)
    assert at.breaker.is_open()
    at.clock.advance(10 * SECOND)
    assert not at.breaker.is_open()


def test_opening_and_closing_are_logged_once_however_often_a_probe_fails(at: Setting):
    busy = AnswerFailed(FailureReason.MODEL_BUSY, status=429, model="m")
    with capture_logs() as logs:
        at.fail(busy, busy)
        for _ in range(3):
            at.clock.advance(10 * SECOND)
            at.fail(busy)
        at.clock.advance(10 * SECOND)
        at.model.will(ANSWER)
        at.ask()
    assert logs == [
        {
            "event": "model_breaker_opened",
            "log_level": "error",
            "reason": "model_busy",
            "provider_status": 429,
            "model": "m",
            "seconds": 10.0,
        },
        {"event": "model_breaker_closed", "log_level": "warning"},
    ]
