"""The language model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import NamedTuple, Protocol

from domain.accounts import UserId
from domain.replies import Answer


class Exchange(NamedTuple):
    """An earlier prompt and its answer."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """``history``: earlier exchanges, oldest first; ``system``: the system prompt.

    ``asked_by``: so that one user's failures are not taken for everybody's. It is never sent to a provider.
    """

    text: str
    history: Sequence[Exchange] = ()
    system: str | None = None
    asked_by: UserId | None = None


class Stop:
    """A stop signal for a running answer. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requested = False
        self._callbacks: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        return self._requested

    def request(self) -> None:
        """Idempotent."""
        with self._lock:
            callbacks, self._callbacks = self._callbacks, []
            self._requested = True
        for callback in callbacks:
            callback()

    def when_requested(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` once when a stop is requested; at once if it was already. It must be quick."""
        with self._lock:
            if not self._requested:
                self._callbacks.append(callback)
                return
        callback()


class AnswerStopped(Exception):
    """The answer ended early because a stop was requested. Its text is the chunks so far.

    ``model``: the name of the model that was asked, where it is known.
    """

    model: str | None = None


class LanguageModel(Protocol):
    """Answers prompts. Safe to call from many threads at once."""

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        """Passes the chunks of the answer to ``on_chunk`` as they come; joined they are the text of the answer.

        ``on_chunk`` is called from this thread or another one, never concurrently, and not after this has returned.
        Raises AnswerFailed, or AnswerStopped soon after ``stop`` was requested. It takes no longer than ``within``
        altogether, whatever the provider does.
        """
