"""A circuit breaker (M. Nygard, "Release It!"; martinfowler.com/bliki/CircuitBreaker.html) around a language model."""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

import structlog

from application.ports.language_model import LanguageModel, Prompt, Stop
from application.ports.runtime import Clock
from domain.replies import PROVIDER_DOWN, Answer, AnswerFailed, AnswerOverdue, FailureReason

log = structlog.get_logger(__name__)

# The retry_after of calls that fail while a probe runs: its outcome is near.
PROBE_PAUSE = timedelta(seconds=1)


class LanguageModelBreaker(LanguageModel):
    """Spares a provider that is down, and its callers the wait.

    Closed, it passes every call on. After ``threshold`` failures in a row within ``window`` it opens: calls fail at
    once (AnswerFailed with ``asked`` False) for ``open_for``, or for the longer time that a busy provider has asked
    for, at most ``open_at_most``. Then one call at a time goes through as a probe: its first chunk, or any answer of
    the provider, closes the breaker; its failure opens it again. The outcome of a call that began before the breaker
    last opened or closed is ignored.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        clock: Clock,
        threshold: int = 5,
        window: timedelta = timedelta(seconds=60),
        open_for: timedelta = timedelta(seconds=10),
        open_at_most: timedelta = timedelta(minutes=10),
    ) -> None:
        self._model = model
        self._clock = clock
        self._window = window
        self._open_for = open_for
        self._open_at_most = open_at_most
        self._lock = Lock()
        self._failures: deque[datetime] = deque(maxlen=threshold)
        self._open_until: datetime | None = None
        self._opened_for = timedelta()
        self._reason = FailureReason.MODEL_UNREACHABLE
        self._probing = False
        self._era = 0

    def is_open(self) -> bool:
        """Whether calls fail at once."""
        open_until = self._open_until
        return open_until is not None and open_until > self._clock()

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        era, probe = self._admit()

        def on_probe_chunk(chunk: str) -> None:
            self._is_up(era)
            on_chunk(chunk)

        try:
            answer = self._model.write(prompt, within=within, stop=stop, on_chunk=on_probe_chunk if probe else on_chunk)
        except AnswerFailed as failure:
            if isinstance(failure, AnswerOverdue):
                pass  # the provider was answering, and this call was too long
            elif failure.reason in PROVIDER_DOWN and failure.asked:
                self._has_failed(era, failure)
            elif failure.asked:
                self._is_up(era)  # a refusal is an answer, too
            raise
        else:
            self._is_up(era)
            return answer
        finally:
            if probe:
                self._probe_is_back(era)

    def _admit(self) -> tuple[int, bool]:
        """The era in which a call begins, and whether it is a probe."""
        with self._lock:
            if self._open_until is None:
                return self._era, False
            remaining = self._open_until - self._clock()
            if self._probing or remaining > timedelta():
                raise AnswerFailed(self._reason, retry_after=max(remaining, PROBE_PAUSE), asked=False)
            self._probing = True
            return self._era, True

    def _is_up(self, era: int) -> None:
        with self._lock:
            if era != self._era:
                return
            self._failures.clear()
            if self._open_until is not None:
                self._open_until = None
                self._probing = False
                self._era += 1
                log.warning("model_breaker_closed")

    def _has_failed(self, era: int, failure: AnswerFailed) -> None:
        with self._lock:
            if era != self._era:
                return
            now = self._clock()
            self._failures.append(now)
            if self._open_until is not None or self._is_too_much(now):
                self._open(now, failure)

    def _is_too_much(self, now: datetime) -> bool:
        return len(self._failures) == self._failures.maxlen and now - self._failures[0] <= self._window

    def _open(self, now: datetime, failure: AnswerFailed) -> None:
        wished = failure.retry_after if failure.reason is FailureReason.MODEL_BUSY else None
        open_for = max(self._open_for, min(wished or timedelta(), self._open_at_most))
        if self._open_until is None or failure.reason is not self._reason or open_for != self._opened_for:
            # Not again and again while a provider is down: each probe that fails opens it anew.
            log.error(
                "model_breaker_opened",
                reason=failure.reason.value,
                provider_status=failure.status,
                model=failure.model,
                seconds=open_for.total_seconds(),
            )
        self._open_until, self._opened_for = now + open_for, open_for
        self._reason = failure.reason
        self._failures.clear()
        self._probing = False
        self._era += 1

    def _probe_is_back(self, era: int) -> None:
        """A probe that was stopped has no outcome: the next call is the next probe."""
        with self._lock:
            if era == self._era:
                self._probing = False
