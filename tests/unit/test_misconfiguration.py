"""The operator is told when the provider does not let the service use its model."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from adapters.llm.circuit_breaker import LanguageModelBreaker
from adapters.llm.misconfiguration import MisconfigurationWatch
from adapters.memory.doubles import ScriptedLanguageModel, SettableClock
from application.ports.health import Fault
from application.ports.language_model import AnswerStopped, Prompt, Stop
from domain.replies import Answer, AnswerFailed, FailureReason
from entrypoints.container.language_models import WatchedModel

SECOND = timedelta(seconds=1)
BAD_KEY = AnswerFailed(FailureReason.MODEL_MISCONFIGURED, status=400, code="API_KEY_INVALID", model="m")
GONE = AnswerFailed(FailureReason.MODEL_NOT_FOUND, status=404, code="NOT_FOUND", model="m")
SAYS_NOTHING = [AnswerFailed(FailureReason.MODEL_BUSY), AnswerFailed(FailureReason.REFUSED), AnswerStopped()]


class Setting:
    def __init__(self) -> None:
        self.clock = SettableClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.model = ScriptedLanguageModel()
        self.watch = MisconfigurationWatch(self.model, clock=self.clock)

    def ask(self) -> Answer:
        return self.watch.write(Prompt("Hi"), within=SECOND, stop=Stop(), on_chunk=lambda chunk: None)

    def fail(self, failure: Exception) -> None:
        self.model.will(failure)
        with pytest.raises(type(failure)) as raised:
            self.ask()
        assert raised.value is failure


@pytest.fixture
def at() -> Setting:
    return Setting()


@pytest.mark.parametrize("fault", [BAD_KEY, GONE])
def test_it_is_misconfigured_until_an_answer_comes(at: Setting, fault: AnswerFailed):
    assert not at.watch.is_misconfigured()
    at.fail(fault)
    assert at.watch.is_misconfigured()
    at.ask()
    assert not at.watch.is_misconfigured()


@pytest.mark.parametrize("other", SAYS_NOTHING)
def test_other_ends_of_a_call_change_nothing(at: Setting, other: Exception):
    at.fail(other)
    assert not at.watch.is_misconfigured()
    at.fail(BAD_KEY)
    at.fail(other)
    assert at.watch.is_misconfigured()


def test_each_kind_is_logged_once_a_minute(at: Setting):
    with capture_logs() as logs:
        for _ in range(6):
            at.fail(BAD_KEY)
            at.fail(GONE)
            at.clock.advance(15 * SECOND)
    assert logs[0] == {
        "event": "model_misconfigured",
        "log_level": "error",
        "reason": "model_misconfigured",
        "provider_status": 400,
        "provider_code": "API_KEY_INVALID",
        "model": "m",
    }
    assert [line["provider_code"] for line in logs] == ["API_KEY_INVALID", "NOT_FOUND"] * 2


def test_readiness_hears_of_the_fault_that_an_operator_can_mend_first(at: Setting):
    breaker = LanguageModelBreaker(at.watch, clock=at.clock, threshold=1, callers=1)
    model = WatchedModel(breaker, at.watch)
    assert model.fault() is None
    at.fail(BAD_KEY)
    assert model.fault() is Fault.MISCONFIGURED
    at.model.will("Yes.", AnswerFailed(FailureReason.MODEL_UNREACHABLE))
    for _ in range(2):
        with suppress(AnswerFailed):
            breaker.write(Prompt("Hi"), within=SECOND, stop=Stop(), on_chunk=lambda chunk: None)
    assert model.fault() is Fault.BREAKER_OPEN
    at.fail(BAD_KEY)
    assert model.fault() is Fault.MISCONFIGURED
