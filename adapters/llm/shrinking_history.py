"""A prompt that is too long for a model is asked again with less of the conversation."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from adapters.llm.first_piece import FirstPiece
from application.chat.history import estimated_tokens, within_budget
from application.ports.language_model import Exchange, LanguageModel, Prompt, Stop
from application.ports.runtime import Clock
from domain.replies import Answer, AnswerFailed, FailureReason

# After so many halves nothing of the history goes along.
HALVINGS = 3
REMEMBERED_FOR = timedelta(hours=1)


class _Fitting(NamedTuple):
    """``tokens``: an estimate, of the whole prompt."""

    tokens: float
    until: datetime


class ShrinkingHistory(LanguageModel):
    """Where ``model`` finds a prompt too long, halves its history, three times, and leaves it out at last.

    Nothing is asked again after the first piece of an answer. How long the prompt was that was taken in the end is
    remembered for ``REMEMBERED_FOR``: later ones are cut to that at once, so that not each of them begins with a call
    that fails.
    """

    def __init__(self, model: LanguageModel, *, clock: Clock) -> None:
        self._model = model
        self._clock = clock
        self._fitting: _Fitting | None = None

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        ends = time.monotonic() + within.total_seconds()
        too_long: AnswerFailed | None = None
        for history in self._histories(prompt):
            remaining = timedelta(seconds=ends - time.monotonic())
            first_piece = FirstPiece(on_chunk)
            shorter = replace(prompt, history=history)
            try:
                answer = self._model.write(shorter, within=remaining, stop=stop, on_chunk=first_piece)
            except AnswerFailed as failure:
                if failure.reason is not FailureReason.PROMPT_TOO_LONG or first_piece.came:
                    raise
                too_long = failure
            else:
                if too_long is not None:
                    self._fitting = _Fitting(_own_tokens(prompt) + _tokens(history), self._clock() + REMEMBERED_FOR)
                return answer
        raise too_long or AnswerFailed(FailureReason.PROMPT_TOO_LONG)

    def _histories(self, prompt: Prompt) -> Iterator[Sequence[Exchange]]:
        """Those to try, each shorter than the one before; the last one is empty."""
        history = self._as_far_as_it_fitted(prompt)
        yield history
        tokens = _tokens(history)
        for halving in range(1, HALVINGS + 1):
            if budget := int(tokens / 2**halving):
                yield within_budget(reversed(history), tokens=budget)
        if history:
            yield ()

    def _as_far_as_it_fitted(self, prompt: Prompt) -> Sequence[Exchange]:
        if self._fitting is None or self._clock() >= self._fitting.until:
            return prompt.history
        budget = int(self._fitting.tokens - _own_tokens(prompt))
        # A text that is about as long by itself is asked with all of its history: the model may take it.
        return within_budget(reversed(prompt.history), tokens=budget) if budget > 0 else prompt.history


def _own_tokens(prompt: Prompt) -> float:
    return estimated_tokens(prompt.text) + estimated_tokens(prompt.system or "")


def _tokens(history: Sequence[Exchange]) -> float:
    return sum(estimated_tokens(exchange.prompt) + estimated_tokens(exchange.answer) for exchange in history)
