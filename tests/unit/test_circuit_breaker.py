"""The circuit breaker around a language model."""

import contextlib
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Event, Thread
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from adapters.llm.circuit_breaker import LanguageModelBreaker
from adapters.memory.doubles import ScriptedLanguageModel, SettableClock
from application.ports.language_model import AnswerStopped, Prompt, Stop
from domain.accounts import UserId
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


def user(number: int) -> UserId:
    return UserId(UUID(int=number))


ASHA, RAVI, LATA, MOHAN = map(user, range(1, 5))


class Setting:
    """A breaker that is open for ten seconds after so many failures within a minute, and what it stands upon."""

    def __init__(self, *, threshold: int = 2, callers: int = 2) -> None:
        self.clock = SettableClock(NOW)
        self.model = ScriptedLanguageModel()
        self._newcomers = count(100)
        self.breaker = LanguageModelBreaker(
            self.model,
            clock=self.clock,
            threshold=threshold,
            callers=callers,
            window=60 * SECOND,
            open_for=10 * SECOND,
            open_at_most=100 * SECOND,
        )

    def ask(self, by: UserId | None = None) -> Answer:
        """Asked by somebody who has not asked before, unless ``by`` is given."""
        prompt = Prompt("Hi", asked_by=by or user(next(self._newcomers)))
        return self.breaker.write(prompt, within=SECOND, stop=Stop(), on_chunk=lambda chunk: None)

    def fail(self, *failures: Exception, by: UserId | None = None) -> None:
        """Each of these, passed on as it came."""
        self.model.will(*failures)
        for failure in failures:
            with pytest.raises(type(failure)) as raised:
                self.ask(by)
            assert raised.value is failure

    def refusal(self, by: UserId | None = None) -> AnswerFailed:
        """What it says while it is open: the model is not asked."""
        before = len(self.model.prompts)
        with pytest.raises(AnswerFailed) as raised:
            self.ask(by)
        assert len(self.model.prompts) == before
        assert not raised.value.asked
        return raised.value

    def is_open_for(self, by: UserId | None) -> bool:
        asked = len(self.model.prompts)
        with contextlib.suppress(AnswerFailed):
            self.ask(by)
        return len(self.model.prompts) == asked

    @property
    def is_open(self) -> bool:
        return self.is_open_for(None)


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


class TestByCaller:
    """A breaker that opens for everybody by the failures of three users, and of five calls."""

    @pytest.fixture
    def at(self) -> Setting:
        return Setting(threshold=5, callers=3)

    def test_one_users_failures_open_it_for_that_user_alone(self, at: Setting):
        at.fail(*[UNREACHABLE] * 5, by=ASHA)
        assert at.refusal(by=ASHA).retry_after == 13 * SECOND
        assert not at.breaker.is_open()  # as operators understand it
        assert not at.is_open_for(RAVI)

    def test_two_users_failures_open_it_for_these_two(self, at: Setting):
        at.fail(*[UNREACHABLE] * 3, by=ASHA)
        at.fail(*[UNREACHABLE] * 2, by=RAVI)
        at.refusal(by=ASHA)
        at.refusal(by=RAVI)
        at.fail(UNREACHABLE, by=LATA)  # who was not refused
        assert at.breaker.is_open()
        at.refusal(by=MOHAN)

    def test_failures_of_three_users_open_it_for_everybody(self, at: Setting):
        for by in (ASHA, RAVI, LATA, ASHA, RAVI):
            at.fail(UNREACHABLE, by=by)
        assert at.breaker.is_open()
        assert at.refusal(by=MOHAN).retry_after == 10 * SECOND

    def test_the_first_piece_of_anybodys_answer_begins_the_count_anew(self, at: Setting):
        at.fail(*[UNREACHABLE] * 4, by=ASHA)
        at.model.will(["Yes", lambda: at.fail(UNREACHABLE, by=LATA), "."])
        at.ask(by=RAVI)
        assert not at.is_open_for(LATA)

    def test_who_has_not_failed_probes_before_who_has(self, at: Setting):
        for by in (ASHA, RAVI, LATA, ASHA, RAVI):
            at.fail(UNREACHABLE, by=by)
        at.clock.advance(10 * SECOND)
        assert at.refusal(by=LATA).retry_after == 3 * SECOND
        assert not at.is_open_for(MOHAN)
        assert not at.is_open_for(LATA)

    def test_who_has_failed_probes_where_nobody_else_asks(self, at: Setting):
        at.fail(*[UNREACHABLE] * 5, by=ASHA)
        at.clock.advance(13 * SECOND)
        assert not at.is_open_for(ASHA)
        assert not at.is_open_for(ASHA)

    def test_a_probe_that_hangs_keeps_others_for_ten_seconds_at_most(self, at: Setting):
        for by in (ASHA, RAVI, LATA, ASHA, RAVI):
            at.fail(UNREACHABLE, by=by)
        at.clock.advance(13 * SECOND)

        def meanwhile() -> None:
            at.clock.advance(9 * SECOND)
            at.refusal(by=MOHAN)
            at.clock.advance(SECOND)
            assert not at.is_open_for(MOHAN)

        at.model.will([meanwhile, UNREACHABLE])
        with pytest.raises(AnswerFailed):
            at.ask(by=ASHA)
        assert not at.is_open_for(ASHA)

    def test_whose_failures_were_contradicted_has_no_vote_until_they_get_an_answer(self, at: Setting):
        for by in (ASHA, RAVI, LATA):
            at.fail(UNREACHABLE, by=by)
        at.ask(by=MOHAN)
        for by in (ASHA, RAVI, LATA) * 5:
            at.fail(UNREACHABLE, by=by)
        for by in (ASHA, RAVI, LATA):
            at.ask(by=by)
        for by in (ASHA, RAVI, LATA, ASHA, RAVI):
            at.fail(UNREACHABLE, by=by)
        assert at.breaker.is_open()

    def test_or_for_ten_minutes(self, at: Setting):
        at.fail(UNREACHABLE, by=ASHA)
        at.ask(by=MOHAN)
        at.clock.advance(timedelta(minutes=10))
        at.fail(*[UNREACHABLE] * 5, by=ASHA)
        at.refusal(by=ASHA)

    def test_an_answer_that_had_begun_before_contradicts_nobody(self, at: Setting):
        at.model.will(["Y", lambda: at.clock.advance(SECOND), lambda: at.fail(UNREACHABLE, by=ASHA), "es."])
        at.ask(by=MOHAN)
        at.fail(*[UNREACHABLE] * 5, by=ASHA)
        at.refusal(by=ASHA)

    def test_that_the_provider_is_busy_is_believed_from_everybody(self, at: Setting):
        busy = AnswerFailed(FailureReason.MODEL_BUSY)
        at.fail(busy, by=ASHA)
        at.ask(by=MOHAN)
        at.fail(*[busy] * 5, by=ASHA)
        at.refusal(by=ASHA)

    def test_failures_of_long_ago_concern_nobody(self, at: Setting):
        at.fail(*[UNREACHABLE] * 5, by=ASHA)
        at.clock.advance(71 * SECOND)
        at.fail(*[UNREACHABLE] * 4, by=ASHA)
        assert not at.is_open_for(RAVI)

    def test_a_failure_of_a_call_that_began_before_it_opened_adds_its_user(self, at: Setting):
        at.fail(*[UNREACHABLE] * 4, by=ASHA)
        at.model.will([lambda: at.fail(UNREACHABLE, by=ASHA), UNREACHABLE])
        with pytest.raises(AnswerFailed):
            at.ask(by=RAVI)
        assert at.refusal(by=RAVI).retry_after == 13 * SECOND
        assert not at.is_open_for(LATA)
