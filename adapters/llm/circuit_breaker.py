"""A circuit breaker (M. Nygard, "Release It!"; martinfowler.com/bliki/CircuitBreaker.html) around a language model.

It differs from the pattern in one thing: prompts can make a healthy provider fail, so it matters whose calls fail
(docs/decisions/0023).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

import structlog

from adapters.llm.first_piece import FirstPiece
from application.ports.language_model import LanguageModel, Prompt, Stop
from application.ports.runtime import Clock
from domain.accounts import UserId
from domain.replies import PROVIDER_DOWN, Answer, AnswerFailed, AnswerOverdue, FailureReason

log = structlog.get_logger(__name__)

# The retry_after of calls that fail while a probe runs: its outcome is near.
PROBE_PAUSE = timedelta(seconds=1)
# So much later than others may those probe whose own calls have failed. Workers look for due replies every second.
HEAD_START = timedelta(seconds=3)
# So long a caller has no vote whose failure was contradicted.
DISTRUST = timedelta(minutes=10)

Caller = UserId | None


class _Call(NamedTuple):
    """``era``: of the breaker when the call began."""

    caller: Caller
    began: datetime
    era: int
    probe: bool = False


class _Failure(NamedTuple):
    """``by_prompt``: the prompt may have been the reason. A provider is busy whatever it is asked."""

    at: datetime
    caller: Caller
    by_prompt: bool


class LanguageModelBreaker(LanguageModel):
    """Spares a provider that is down, and its callers the wait. A caller is the user who asked.

    Closed, it passes every call on. ``threshold`` failures in a row within ``window`` open it for the callers whose
    calls failed, and for everybody once those are ``callers`` different ones: their calls fail at once (AnswerFailed
    with ``asked`` False) for ``open_for``, or for the longer time that a busy provider has asked for, at most
    ``open_at_most``. Then one call at a time goes through as a probe, first of callers who have not failed; its failure
    opens it again. The first chunk of any call, or any answer of the provider, closes it. Callers whose failures were
    followed by the answer to another caller's later call have no vote until they get an answer themselves, or for
    ``DISTRUST``. That the provider is busy counts from every caller.

    Calls that began before it last opened or closed neither open nor close it.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        clock: Clock,
        threshold: int = 5,
        callers: int = 3,
        window: timedelta = timedelta(seconds=60),
        open_for: timedelta = timedelta(seconds=10),
        open_at_most: timedelta = timedelta(minutes=10),
    ) -> None:
        self._model = model
        self._clock = clock
        self._threshold = threshold
        self._callers = callers
        self._window = window
        self._open_for = open_for
        self._open_at_most = open_at_most
        self._lock = Lock()
        # In a row: since the last answer of the provider.
        self._failures: list[_Failure] = []
        self._contradicted: dict[Caller, datetime] = {}
        self._open_until: datetime | None = None
        self._opened_for = timedelta()
        self._logged: tuple[object, ...] | None = None
        self._reason = FailureReason.MODEL_UNREACHABLE
        self._probe_until: datetime | None = None
        self._era = 0

    def is_open(self) -> bool:
        """Whether everybody's calls fail at once."""
        with self._lock:
            return self._open_until is not None and self._open_until > self._clock() and self._is_for_everybody()

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        call = self._admit(prompt.asked_by)
        first_piece = FirstPiece(on_chunk, when_it_comes=lambda: self._is_up(call))
        try:
            answer = self._model.write(prompt, within=within, stop=stop, on_chunk=first_piece)
        except AnswerOverdue:  # the provider was answering, and this call was too long
            raise
        except AnswerFailed as failure:
            if failure.asked and failure.reason in PROVIDER_DOWN:
                self._has_failed(call, failure)
            elif failure.asked:
                self._is_up(call)  # a refusal is an answer, too
            raise
        else:
            self._is_up(call)
            return answer
        finally:
            if call.probe:
                self._probe_is_back(call)

    def _admit(self, caller: Caller) -> _Call:
        with self._lock:
            now = self._clock()
            self._forget(now)
            if self._open_until is None or not (self._is_for_everybody() or caller in self._failed()):
                return _Call(caller, now, self._era)
            due = self._open_until + (HEAD_START if self._comes_last(caller, now) else timedelta())
            if now < due or (self._probe_until is not None and now < self._probe_until):
                raise AnswerFailed(self._reason, retry_after=max(due - now, PROBE_PAUSE), asked=False)
            # A probe that hangs keeps its place no longer than that.
            self._probe_until = now + self._open_for
            return _Call(caller, now, self._era, probe=True)

    def _is_up(self, call: _Call) -> None:
        with self._lock:
            if call.era != self._era:
                return
            self._contradict(call)
            self._failures = []
            if self._open_until is not None:
                self._close()
                log.warning("model_breaker_closed")

    def _contradict(self, answered: _Call) -> None:
        # Not by the answer to a call that had begun before: the provider may have failed since.
        wrong = {one.caller for one in self._failures if one.by_prompt and one.at <= answered.began}
        if wrong:
            now = self._clock()
            earlier = {caller: at for caller, at in self._contradicted.items() if self._is_distrusted(caller, now)}
            self._contradicted = earlier | dict.fromkeys(wrong, now)
        self._contradicted.pop(answered.caller, None)

    def _has_failed(self, call: _Call, failure: AnswerFailed) -> None:
        with self._lock:
            now = self._clock()
            self._forget(now)
            is_open, is_of_this_era = self._open_until is not None, call.era == self._era
            by_prompt = failure.reason is not FailureReason.MODEL_BUSY
            has_no_vote = by_prompt and self._is_distrusted(call.caller, now) and not call.probe
            if has_no_vote or not (is_open or is_of_this_era):
                return
            was_for_everybody = self._is_for_everybody()
            self._failures.append(_Failure(now, call.caller, by_prompt))
            if is_open:
                opens = call.probe or (self._is_for_everybody() and not was_for_everybody)
            else:
                opens = len(self._failures) >= self._threshold
            if opens and is_of_this_era:
                self._open(now, failure)

    def _open(self, now: datetime, failure: AnswerFailed) -> None:
        wished = failure.retry_after if failure.reason is FailureReason.MODEL_BUSY else None
        open_for = max(self._open_for, min(wished or timedelta(), self._open_at_most))
        for_everybody = self._is_for_everybody()
        # Not again and again while a provider is down: each probe that fails opens it anew.
        if self._logged != (failure.reason, open_for, for_everybody):
            self._logged = (failure.reason, open_for, for_everybody)
            _log_opened(failure, seconds=open_for.total_seconds(), for_everybody=for_everybody)
        self._open_until, self._opened_for = now + open_for, open_for
        self._reason = failure.reason
        self._probe_until = None
        self._era += 1

    def _close(self) -> None:
        self._open_until, self._opened_for = None, timedelta()
        self._probe_until = None
        self._logged = None
        self._era += 1

    def _forget(self, now: datetime) -> None:
        """Failures count for a window, and as long as they keep the breaker open."""
        since = now - self._window - self._opened_for
        if self._failures and self._failures[0].at < since:
            self._failures = [failure for failure in self._failures if failure.at >= since]
            if not self._failures and self._open_until is not None:
                self._close()

    def _probe_is_back(self, call: _Call) -> None:
        """A probe that was stopped has no outcome: the next call is the next probe."""
        with self._lock:
            if call.era == self._era:
                self._probe_until = None

    def _failed(self) -> set[Caller]:
        return {failure.caller for failure in self._failures}

    def _is_for_everybody(self) -> bool:
        return len(self._failed()) >= self._callers

    def _is_distrusted(self, caller: Caller, now: datetime) -> bool:
        at = self._contradicted.get(caller)
        return at is not None and now < at + DISTRUST

    def _comes_last(self, caller: Caller, now: datetime) -> bool:
        return caller in self._failed() or self._is_distrusted(caller, now)


def _log_opened(failure: AnswerFailed, *, seconds: float, for_everybody: bool) -> None:
    reason, status, model = failure.reason.value, failure.status, failure.model
    if for_everybody:
        log.error("model_breaker_opened", reason=reason, provider_status=status, model=model, seconds=seconds)
    else:
        log.warning("model_breaker_opened_for_some", reason=reason, provider_status=status, model=model)
