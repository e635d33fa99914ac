"""Several language models in order of preference: when the provider retires one, the next takes its place."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from application.ports.language_model import LanguageModel, Prompt, Stop
from application.ports.runtime import Clock
from domain.replies import Answer, AnswerFailed, FailureReason


class LanguageModelFallback(LanguageModel):
    """Asks the first of ``models`` (one or more) that exists.

    A model that the provider does not know is skipped for the time of ``skip_for``, unless none is left. Each is asked
    at most once a call.
    """

    def __init__(
        self, models: Sequence[LanguageModel], *, clock: Clock, skip_for: timedelta = timedelta(minutes=10)
    ) -> None:
        self._models = tuple(models)
        self._clock = clock
        self._skip_for = skip_for
        # Needs no lock: setting an item is atomic, and two threads that find out at once write the same.
        self._missing_until: dict[int, datetime] = {}

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        ends = time.monotonic() + within.total_seconds()
        status, model = None, None
        for index in self._order():
            remaining = timedelta(seconds=ends - time.monotonic())
            started = _Started(on_chunk)
            try:
                return self._models[index].write(prompt, within=remaining, stop=stop, on_chunk=started)
            except AnswerFailed as failure:
                if failure.reason is not FailureReason.MODEL_NOT_FOUND or started.yes:
                    raise
                self._missing_until[index] = self._clock() + self._skip_for
                status, model = failure.status, failure.model
        raise AnswerFailed(FailureReason.MODEL_NOT_FOUND, status=status, model=model)

    def _order(self) -> Sequence[int]:
        now = self._clock()
        there = [index for index in range(len(self._models)) if not self._is_missing(index, now)]
        # If all are missing, all are asked: they may exist again.
        return there or range(len(self._models))

    def _is_missing(self, index: int, now: datetime) -> bool:
        until = self._missing_until.get(index)
        return until is not None and now < until


class _Started:
    """``on_chunk``, and whether it has been called."""

    __slots__ = ("_on_chunk", "yes")

    def __init__(self, on_chunk: Callable[[str], None]) -> None:
        self._on_chunk = on_chunk
        self.yes = False

    def __call__(self, chunk: str) -> None:
        self.yes = True
        self._on_chunk(chunk)
