"""Stand-ins that a test scripts: model, password hasher, delivery, ids and time."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock
from uuid import UUID

from application.ports.language_model import AnswerStopped, Prompt, Stop
from domain.accounts import PhoneNumber, UserId
from domain.one_time_password import Purpose
from domain.replies import Answer

# A chunk of an answer, something that happens between two chunks, or the end of it all.
Step = str | Callable[[], object] | Exception


class ScriptedLanguageModel:
    """The LanguageModel port: says, or raises, what the test has told it to; echoes when it was told nothing."""

    def __init__(self) -> None:
        """Begin without a script."""
        self.prompts: list[Prompt] = []
        self._lock = Lock()
        self._script: list[Answer | Exception | Sequence[Step]] = []

    def will(self, *outcomes: Answer | Exception | Sequence[Step]) -> None:
        """Answer the next calls with these, one each; a list: in chunks, one after the other."""
        with self._lock:
            self._script.extend(outcomes)

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        """The next outcome of the script."""
        with self._lock:
            self.prompts.append(prompt)
            outcome = self._script.pop(0) if self._script else Answer(f"echo: {prompt.text}", "scripted")
        if isinstance(outcome, Exception):
            raise outcome
        said = _play([outcome.text] if isinstance(outcome, Answer) else outcome, stop, on_chunk)
        return outcome if isinstance(outcome, Answer) else Answer(said, "scripted")


def _play(steps: Sequence[Step], stop: Stop, on_chunk: Callable[[str], None]) -> str:
    said = []
    for step in steps:
        if stop.requested:
            raise AnswerStopped
        if isinstance(step, Exception):
            raise step
        if isinstance(step, str):
            on_chunk(step)
            said.append(step)
        else:
            step()
    return "".join(said)


class PlainPasswordHasher:
    """The PasswordHasher port without the work."""

    def __init__(self, *, cost: int = 1) -> None:
        """Begin counting, so that two hashes of one password differ. ``cost`` is only written into them."""
        self._cost = cost
        self._count = 0

    def hash(self, password: str) -> str:
        """A "hash" that is different each time."""
        self._count += 1
        return f"plain:{self._cost}:{self._count}:{password}"

    def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password of the hash."""
        return password_hash is not None and password_hash.split(":", 3)[3] == password

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether it says another cost."""
        return not password_hash.startswith(f"plain:{self._cost}:")


class Outbox:
    """The OtpDelivery port: keeps what was sent, and shows nobody anything."""

    def __init__(self) -> None:
        """Begin empty."""
        self.sent: list[tuple[PhoneNumber, str, Purpose]] = []

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose) -> str | None:
        """Keep the code."""
        self.sent.append((phone, code, purpose))
        return None

    def last_code(self) -> str:
        """The code that was sent last."""
        return self.sent[-1][1]


class SettableClock:
    """The Clock port: stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        """Stand at ``now``."""
        self.now = now

    def __call__(self) -> datetime:
        """The time it was set to."""
        return self.now

    def advance(self, by: timedelta) -> None:
        """Move on."""
        self.now += by


class CountingIds:
    """The NewId port: ascending, the same in every run."""

    def __init__(self) -> None:
        """Begin at 1."""
        self._lock = Lock()
        self._last = 0

    def __call__(self) -> UUID:
        """The next id."""
        with self._lock:
            self._last += 1
            return UUID(int=self._last)


class CountingRefreshTokens:
    """The RefreshTokens port: readable, and not secret at all."""

    def __init__(self) -> None:
        """Begin at 1."""
        self._ids = CountingIds()

    def first(self) -> str:
        """A token that is different each time."""
        return f"refresh-{self._ids().int}.0"

    def after(self, token: str) -> str:
        """The token with the next number."""
        family, _, number = token.rpartition(".")
        return f"{family}.{int(number) + 1 if number.isdecimal() and number.isascii() else 1}"

    def digest(self, token: str) -> bytes:
        """The token itself."""
        return token.encode("utf-8", "surrogatepass")


class RecordingLeavingHook:
    """The AccountErasureHook port: notes who left, or raises what the test has told it to."""

    def __init__(self) -> None:
        """Begin with nobody gone."""
        self.left: list[UserId] = []
        self.failure: Exception | None = None

    def __call__(self, *, user_id: UserId) -> None:
        """Note it."""
        if self.failure is not None:
            raise self.failure
        self.left.append(user_id)
