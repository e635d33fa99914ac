"""Several language models in order of preference: the next takes the place of one that cannot answer for a while."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from adapters.llm.first_piece import FirstPiece
from application.ports.language_model import LanguageModel, Prompt, Stop
from application.ports.runtime import Clock
from domain.replies import RETRYABLE, Answer, AnswerFailed, FailureReason

log = structlog.get_logger(__name__)

# 429 is a limit of ours, and mostly soon over; a provider that is busy otherwise is overloaded.
TOO_MANY_REQUESTS = 429
# Now and then one call is turned away, and the next is not.
OVERLOADED_IN_A_ROW = 2


class _Absence(NamedTuple):
    """The facts of the failure by which it was found, and not the failure: its traceback would keep the prompt."""

    until: datetime
    model: str | None
    quota_spent: bool


class LanguageModelFallback(LanguageModel):
    """Asks the first of ``models`` (one or more) that is there.

    One that the provider does not know is skipped for the time of ``skip_for``; one whose quota of the day is spent,
    until the time that the provider has told, or else for ``skip_for``; one that was overloaded in two calls in a row,
    for ``overloaded_for``. Each is asked at most once a call, and none after the first piece of an answer. With none
    left, those are asked all the same whose quota is not spent; where all are, AnswerFailed has ``asked`` False.
    """

    def __init__(
        self,
        models: Sequence[LanguageModel],
        *,
        clock: Clock,
        skip_for: timedelta = timedelta(minutes=10),
        overloaded_for: timedelta = timedelta(seconds=30),
    ) -> None:
        self._models = tuple(models)
        self._clock = clock
        self._skip_for = skip_for
        self._overloaded_for = overloaded_for
        # Need no lock: setting an item is atomic, and what two threads find out at once differs by little.
        self._absences: dict[int, _Absence] = {}
        self._overloaded_in_a_row = [0] * len(self._models)

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        ends = time.monotonic() + within.total_seconds()
        failures: list[AnswerFailed] = []
        for index in self._order():
            remaining = timedelta(seconds=ends - time.monotonic())
            first_piece = FirstPiece(on_chunk)
            try:
                answer = self._models[index].write(prompt, within=remaining, stop=stop, on_chunk=first_piece)
            except AnswerFailed as failure:
                skip_for = self._time_to_skip(index, failure)
                if skip_for is None or first_piece.came:
                    raise
                self._skip(index, failure, skip_for)
                failures.append(failure)
            else:
                self._overloaded_in_a_row[index] = 0
                return answer
        failures += self._known_to_be_spent()
        raise next((failure for failure in failures if failure.reason in RETRYABLE), failures[0])

    def _order(self) -> Sequence[int]:
        absent = self._absent()
        there = [index for index in range(len(self._models)) if index not in absent]
        # If all are absent, all are asked that may be there again.
        return there or [index for index, absence in sorted(absent.items()) if not absence.quota_spent]

    def _absent(self) -> Mapping[int, _Absence]:
        now = self._clock()
        return {index: absence for index, absence in self._absences.items() if now < absence.until}

    def _time_to_skip(self, index: int, failure: AnswerFailed) -> timedelta | None:
        overloaded = failure.reason is FailureReason.MODEL_BUSY and failure.status != TOO_MANY_REQUESTS
        self._overloaded_in_a_row[index] = self._overloaded_in_a_row[index] + 1 if overloaded else 0
        if failure.reason is FailureReason.MODEL_NOT_FOUND:
            return self._skip_for
        if failure.quota_spent:
            return failure.retry_after or self._skip_for
        if self._overloaded_in_a_row[index] >= OVERLOADED_IN_A_ROW:
            return self._overloaded_for
        return None

    def _skip(self, index: int, failure: AnswerFailed, skip_for: timedelta) -> None:
        if index not in self._absent():
            log.warning(
                "model_skipped",
                model=failure.model,
                reason=failure.reason.value,
                provider_status=failure.status,
                quota_spent=failure.quota_spent,
                seconds=skip_for.total_seconds(),
            )
        self._absences[index] = _Absence(self._clock() + skip_for, failure.model, failure.quota_spent)

    def _known_to_be_spent(self) -> list[AnswerFailed]:
        """What may be said without asking, the soonest to be over first."""
        now = self._clock()
        spent = [absence for absence in self._absent().values() if absence.quota_spent]
        return [
            AnswerFailed(FailureReason.MODEL_BUSY, retry_after=absence.until - now, asked=False, model=absence.model)
            for absence in sorted(spent, key=lambda absence: absence.until)
        ]
