"""The language model."""

from datetime import timedelta
from typing import Protocol

from domain.replies import Answer


class LanguageModel(Protocol):
    """Answers prompts. Safe to call from many threads at once."""

    def answer(self, prompt: str, *, within: timedelta) -> Answer:
        """The answer to ``prompt``, or AnswerFailed; either comes ``within`` that time, all in all."""
