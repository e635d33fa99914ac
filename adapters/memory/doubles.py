"""Test doubles whose behaviour a test sets: language model, password hasher, delivery, ids and time."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock
from uuid import UUID

from application.ports.account_erasure_hook import AccountErasureHook
from application.ports.language_model import AnswerStopped, LanguageModel, Prompt, Stop
from application.ports.otp_delivery import OtpDelivery
from application.ports.password_hasher import PasswordHasher
from application.ports.refresh_tokens import RefreshTokens
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWork
from domain.accounts import PhoneNumber, SessionId, UserId
from domain.languages import Language
from domain.one_time_password import Purpose
from domain.replies import Answer

# A chunk of an answer, something that happens between two chunks, or the error that ends it.
Step = str | Callable[[], object] | Exception


class ScriptedLanguageModel(LanguageModel):
    """Gives the outcomes of its script, and echoes the prompt when there are none left."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []
        self._lock = Lock()
        self._script: list[Answer | Exception | Sequence[Step]] = []

    def will(self, *outcomes: Answer | Exception | Sequence[Step]) -> None:
        """Adds the outcomes of the next calls, one each. A list is an answer in steps."""
        with self._lock:
            self._script.extend(outcomes)

    def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
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


class PlainPasswordHasher(PasswordHasher):
    """Keeps passwords as they are. ``cost`` is only written into the hash; a counter makes each one different."""

    def __init__(self, *, cost: int = 1) -> None:
        self._cost = cost
        self._count = 0

    def hash(self, password: str) -> str:
        self._count += 1
        return f"plain:{self._cost}:{self._count}:{password}"

    def matches(self, password: str, password_hash: str | None) -> bool:
        return password_hash is not None and password_hash.split(":", 3)[3] == password

    def needs_rehash(self, password_hash: str) -> bool:
        return not password_hash.startswith(f"plain:{self._cost}:")


class Outbox(OtpDelivery):
    """Keeps the codes that were sent, and the languages of their texts."""

    def __init__(self) -> None:
        self.sent: list[tuple[PhoneNumber, str, Purpose]] = []
        self.languages: list[Language] = []

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose, language: Language) -> str | None:
        self.sent.append((phone, code, purpose))
        self.languages.append(language)
        return None

    def last_code(self) -> str:
        return self.sent[-1][1]


class SettableClock(Clock):
    """Stands still until it is advanced."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


class CountingIds(NewId):
    """1, 2, 3, …: ascending, and the same in every run."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last = 0

    def __call__(self) -> UUID:
        with self._lock:
            self._last += 1
            return UUID(int=self._last)


class CountingRefreshTokens(RefreshTokens):
    """Readable tokens: ``refresh-<family>.<number>``. The digest is the token itself."""

    def __init__(self) -> None:
        self._ids = CountingIds()

    def first(self) -> str:
        return f"refresh-{self._ids().int}.0"

    def first_of(self, session_id: SessionId) -> str:
        return f"refresh-of-{session_id}.0"

    def successors(self, token: str) -> Sequence[str]:
        family, _, number = token.rpartition(".")
        return [f"{family}.{int(number) + 1 if number.isdecimal() and number.isascii() else 1}"]

    def digest(self, token: str) -> bytes:
        return token.encode("utf-8", "surrogatepass")


class RecordingErasureHook(AccountErasureHook):
    """Records the users it was called for, or raises ``failure``."""

    def __init__(self) -> None:
        self.called_for: list[UserId] = []
        self.failure: Exception | None = None

    def __call__(self, *, user_id: UserId) -> None:
        if self.failure is not None:
            raise self.failure
        self.called_for.append(user_id)

    def note_erased(self, work: UnitOfWork, *, user_id: UserId) -> None:
        """Nothing is looked at afterwards."""
