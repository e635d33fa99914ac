"""The language model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import NamedTuple, Protocol

from domain.replies import Answer


class Exchange(NamedTuple):
    """What was said earlier: a prompt and the answer to it."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is to answer: ``text``, after ``history`` (oldest first), as ``system`` says."""

    text: str
    history: Sequence[Exchange] = ()
    system: str | None = None


class Stop:
    """A wish to end a running answer, from any thread to whichever thread writes it."""

    def __init__(self) -> None:
        """Nobody wishes it yet."""
        self._lock = Lock()
        self._requested = False
        self._callbacks: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        """Whether somebody wishes it."""
        return self._requested

    def request(self) -> None:
        """Wish it; a second wish changes nothing."""
        with self._lock:
            callbacks, self._callbacks = self._callbacks, []
            self._requested = True
        for callback in callbacks:
            callback()

    def when_requested(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, as soon as it is wished, at once if it is already. It must be quick."""
        with self._lock:
            if not self._requested:
                self._callbacks.append(callback)
                return
        callback()


class AnswerStopped(Exception):
    """The answer was ended because ``Stop`` was requested; the chunks so far are all there is."""


class LanguageModel(Protocol):
    """Answers prompts. Safe to call from many threads at once."""

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        """The answer to ``prompt``, its chunks given to ``on_chunk`` as they come; joined they are its text.

        ``on_chunk`` is called in the calling thread or another, never twice at once, and not after this has ended.
        AnswerFailed; AnswerStopped soon after ``stop`` was requested. Whatever the provider does, this ends ``within``
        that time, all in all.
        """
