"""The ports that Redis serves, in memory."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil
from queue import Empty, SimpleQueue
from threading import Lock
from uuid import uuid4

from application.ports.reply_stream import Piece
from application.ports.room_list_cache import Lookup
from application.ports.runtime import Clock
from domain.accounts import PhoneNumber, UserId
from domain.errors import OtpInvalid, OtpLocked, OtpResendTooSoon
from domain.one_time_password import OtpPolicy, Purpose
from domain.replies import ReplyId


@dataclass(frozen=True, slots=True)
class _SentCode:
    code: str
    sent_at: datetime
    expires_at: datetime
    resend_at: datetime
    attempts: int = 0
    used: bool = False


class MemoryOtpStore:
    """The OtpStore port."""

    def __init__(self, clock: Clock) -> None:
        """Begin empty."""
        self._clock = clock
        self._lock = Lock()
        self._codes: dict[tuple[PhoneNumber, Purpose], _SentCode] = {}

    def put(self, phone: PhoneNumber, purpose: Purpose, code: str, policy: OtpPolicy) -> None:
        """Keep a new code, unless one was put a moment ago."""
        now = self._clock()
        with self._lock:
            last = self._codes.get((phone, purpose))
            if last is not None and last.resend_at > now:
                raise OtpResendTooSoon(retry_after=_whole_seconds(last.resend_at, now))
            self._codes[(phone, purpose)] = _SentCode(code, now, now + policy.lifetime, now + policy.resend_after)

    def redeem(self, phone: PhoneNumber, purposes: Collection[Purpose], code: str, policy: OtpPolicy) -> Purpose:
        """Use up the code and say what it was sent for."""
        now = self._clock()
        attempts_left = 0
        locked_until: datetime | None = None
        with self._lock:
            for purpose in purposes:
                sent = self._codes.get((phone, purpose))
                if sent is None or sent.used or sent.expires_at <= now:
                    continue
                if sent.attempts >= policy.max_attempts:
                    locked_until = max(locked_until or sent.resend_at, sent.resend_at)
                    continue
                sent = replace(sent, attempts=sent.attempts + 1, used=sent.code == code)
                self._codes[(phone, purpose)] = sent
                if sent.used:
                    return purpose
                attempts_left = max(attempts_left, policy.max_attempts - sent.attempts)
        if locked_until is not None and not attempts_left:
            raise OtpLocked(retry_after=_whole_seconds(locked_until, now))
        raise OtpInvalid(attempts_left=attempts_left)


class MemoryRoomListCache:
    """The RoomListCache port."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lock = Lock()
        self._pages: dict[UserId, bytes] = {}
        self._versions: dict[UserId, bytes] = {}

    def get(self, user_id: UserId) -> Lookup:
        """What is cached for the user."""
        with self._lock:
            return Lookup(self._pages.get(user_id), self._versions.get(user_id))

    def put(self, user_id: UserId, page: bytes, *, version: bytes | None) -> None:
        """Keep a page unless it was dropped since ``version`` was looked up."""
        with self._lock:
            if self._versions.get(user_id) == version:
                self._pages[user_id] = page

    def drop(self, user_id: UserId) -> None:
        """Forget the user's page, and any that is being read right now."""
        with self._lock:
            self._pages.pop(user_id, None)
            self._versions[user_id] = uuid4().bytes


class MemoryJobQueue:
    """The JobQueue port: counts the rings."""

    def __init__(self) -> None:
        """Begin silent."""
        self.rings = 0

    def ring(self) -> None:
        """Note that a worker was wanted."""
        self.rings += 1


class _MemoryListening:
    """The Listening port."""

    def __init__(self) -> None:
        self.pieces: SimpleQueue[Piece] = SimpleQueue()

    def next(self, *, within: float) -> Piece | None:
        """The next piece, or None when none came ``within`` seconds."""
        with suppress(Empty):
            return self.pieces.get(timeout=within)
        return None


class MemoryReplyStream:
    """The ReplyFeed and the ReplyListener port."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lock = Lock()
        self._published: dict[ReplyId, list[Piece]] = {}
        self._listeners: dict[ReplyId, list[_MemoryListening]] = {}

    def publish(self, reply_id: ReplyId, piece: Piece) -> None:
        """Let listeners have the piece."""
        with self._lock:
            self._published.setdefault(reply_id, []).append(piece)
            for listener in self._listeners.get(reply_id, ()):
                listener.pieces.put(piece)

    @contextmanager
    def listen(self, reply_id: ReplyId) -> Iterator[_MemoryListening]:
        """Listen to what is published from now on."""
        listener = _MemoryListening()
        with self._lock:
            self._listeners.setdefault(reply_id, []).append(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners[reply_id].remove(listener)

    def published(self, reply_id: ReplyId) -> list[Piece]:
        """What was published up to now."""
        with self._lock:
            return list(self._published.get(reply_id, ()))


def _whole_seconds(until: datetime, now: datetime) -> int:
    return max(ceil((until - now).total_seconds()), 1)
