"""The ports that Redis serves, in memory."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from queue import Empty, SimpleQueue
from threading import Lock
from uuid import uuid4

from application.ports.otp_budget import OtpBudget
from application.ports.otp_store import OtpStore
from application.ports.rate_limiter import Hit, RateLimiter, WindowStatus
from application.ports.reply_stream import Chunk, ReplyPublisher, ReplySubscriber, ReplySubscription
from application.ports.room_list_cache import Lookup, RoomListCache
from application.ports.runtime import Clock
from application.ports.worker_notifier import WorkerNotifier
from domain.accounts import PhoneNumber, UserId
from domain.errors import OtpInvalid, OtpLocked, OtpResendTooSoon, OtpSendsExhausted
from domain.one_time_password import OtpPolicy, Purpose, SendCaps
from domain.replies import ReplyId


@dataclass(frozen=True, slots=True)
class _SentCode:
    code: str
    sent_at: datetime
    expires_at: datetime
    resend_at: datetime
    attempts: int = 0
    used: bool = False


class MemoryOtpStore(OtpStore):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._codes: dict[tuple[PhoneNumber, Purpose], _SentCode] = {}
        self._before: dict[tuple[PhoneNumber, Purpose], _SentCode | None] = {}
        self._failures: dict[PhoneNumber, tuple[int, datetime]] = {}

    def put(self, phone: PhoneNumber, purpose: Purpose, code: str, policy: OtpPolicy) -> None:
        now = self._clock()
        with self._lock:
            self._refuse_guessed(phone, now, policy)
            last = self._codes.get((phone, purpose))
            if last is not None and last.resend_at > now:
                raise OtpResendTooSoon(retry_after=_whole_seconds(last.resend_at, now))
            self._before[(phone, purpose)] = last
            self._codes[(phone, purpose)] = _SentCode(code, now, now + policy.lifetime, now + policy.resend_after)

    def redeem(self, phone: PhoneNumber, purposes: Collection[Purpose], code: str, policy: OtpPolicy) -> Purpose:
        now = self._clock()
        attempts_left = 0
        locked_until: datetime | None = None
        compared = False
        with self._lock:
            self._refuse_guessed(phone, now, policy)
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
                compared = True
                attempts_left = max(attempts_left, policy.max_attempts - sent.attempts)
            if compared:
                self._count_failure(phone, now, policy)
        if locked_until is not None and not attempts_left:
            raise OtpLocked(retry_after=_whole_seconds(locked_until, now))
        raise OtpInvalid(attempts_left=attempts_left)

    def withdraw(self, phone: PhoneNumber, purpose: Purpose) -> None:
        with self._lock:
            before = self._before.pop((phone, purpose), None)
            del self._codes[(phone, purpose)]
            if before is not None:
                self._codes[(phone, purpose)] = before

    def _refuse_guessed(self, phone: PhoneNumber, now: datetime, policy: OtpPolicy) -> None:
        failures, forgotten_at = self._failures.get(phone, (0, now))
        if forgotten_at > now and failures >= policy.max_failures:
            raise OtpLocked(retry_after=_whole_seconds(forgotten_at, now))

    def _count_failure(self, phone: PhoneNumber, now: datetime, policy: OtpPolicy) -> None:
        failures, forgotten_at = self._failures.get(phone, (0, now))
        if forgotten_at <= now:
            failures, forgotten_at = 0, now + policy.failures_forgotten_after
        self._failures[phone] = (failures + 1, forgotten_at)


class MemoryOtpBudget(OtpBudget):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._counts: dict[str, tuple[int, datetime]] = {}

    def take(self, phone: PhoneNumber, address: str | None, caps: SendCaps) -> None:
        now = self._clock()
        with self._lock:
            counters = {
                subject: (cap, *self._count(subject, now)) for subject, cap in _capped(phone, address, caps).items()
            }
            for cap, sent, forgotten_at in counters.values():
                if sent >= cap:
                    raise OtpSendsExhausted(retry_after=_whole_seconds(forgotten_at, now))
            for subject, (_, sent, forgotten_at) in counters.items():
                self._counts[subject] = (sent + 1, forgotten_at)

    def give_back(self, phone: PhoneNumber, address: str | None, caps: SendCaps) -> None:
        with self._lock:
            for subject in _capped(phone, address, caps):
                sent, forgotten_at = self._counts[subject]
                self._counts[subject] = (sent - 1, forgotten_at)

    def _count(self, subject: str, now: datetime) -> tuple[int, datetime]:
        sent, forgotten_at = self._counts.get(subject, (0, now))
        return (sent, forgotten_at) if forgotten_at > now else (0, now + timedelta(days=1))


def _capped(phone: PhoneNumber, address: str | None, caps: SendCaps) -> dict[str, int]:
    capped = {
        f"number {phone.e164}": caps.per_number,
        f"prefix {phone.e164[:-3]}": caps.per_prefix,
        f"address {address}": caps.per_address if address is not None else None,
        "total": caps.total,
    }
    return {subject: cap for subject, cap in capped.items() if cap is not None}


class MemoryRateLimiter(RateLimiter):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._counts: Counter[tuple[str, str, int]] = Counter()

    def __call__(self, hits: Sequence[Hit]) -> Sequence[WindowStatus]:
        now = self._clock().timestamp()
        with self._lock:
            return [self._count(hit, now) for hit in hits]

    def _count(self, hit: Hit, now: float) -> WindowStatus:
        seconds = hit.limit.per.total_seconds()
        window = int(now // seconds)
        key = (hit.limit.name, hit.subject, window)
        self._counts[key] += 1
        return WindowStatus(hit.limit, self._counts[key], max(ceil((window + 1) * seconds - now), 1))


class MemoryRoomListCache(RoomListCache):
    def __init__(self) -> None:
        self._lock = Lock()
        self._pages: dict[UserId, bytes] = {}
        self._versions: dict[UserId, bytes] = {}

    def get(self, user_id: UserId) -> Lookup:
        with self._lock:
            return Lookup(self._pages.get(user_id), self._versions.get(user_id))

    def put(self, user_id: UserId, page: bytes, *, version: bytes | None) -> None:
        with self._lock:
            if self._versions.get(user_id) == version:
                self._pages[user_id] = page

    def drop(self, user_id: UserId) -> None:
        with self._lock:
            self._pages.pop(user_id, None)
            self._versions[user_id] = uuid4().bytes


class MemoryWorkerNotifier(WorkerNotifier):
    def __init__(self) -> None:
        self.notified = 0

    def notify(self) -> None:
        self.notified += 1


class MemoryReplySubscription(ReplySubscription):
    confirmed = True

    def __init__(self) -> None:
        self._lock = Lock()
        self._chunks: SimpleQueue[Chunk] = SimpleQueue()
        self._callback: Callable[[], None] | None = None

    def next(self, *, within: float) -> Chunk | None:
        with suppress(Empty):
            return self._chunks.get(timeout=within) if within else self._chunks.get_nowait()
        return None

    def when_ready(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if self._chunks.empty():
                self._callback = callback
                return
        callback()

    def put(self, chunk: Chunk) -> None:
        with self._lock:
            self._chunks.put(chunk)
            callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class MemoryReplyStream(ReplyPublisher, ReplySubscriber):
    def __init__(self) -> None:
        self._lock = Lock()
        self._published: dict[ReplyId, list[Chunk]] = {}
        self._forgotten: set[ReplyId] = set()
        self._subscribers: dict[ReplyId, list[MemoryReplySubscription]] = {}

    def publish(self, reply_id: ReplyId, chunk: Chunk) -> None:
        with self._lock:
            if reply_id not in self._forgotten:
                self._published.setdefault(reply_id, []).append(chunk)
            for subscription in self._subscribers.get(reply_id, ()):
                subscription.put(chunk)

    def forget(self, reply_ids: Collection[ReplyId]) -> None:
        with self._lock:
            self._forgotten.update(reply_ids)
            for reply_id in reply_ids:
                self._published.pop(reply_id, None)

    @contextmanager
    def listen(self, reply_id: ReplyId) -> Iterator[ReplySubscription]:
        subscription = MemoryReplySubscription()
        with self._lock:
            self._subscribers.setdefault(reply_id, []).append(subscription)
        try:
            yield subscription
        finally:
            with self._lock:
                self._subscribers[reply_id].remove(subscription)

    def published(self, reply_id: ReplyId) -> list[Chunk]:
        with self._lock:
            return list(self._published.get(reply_id, ()))


def _whole_seconds(until: datetime, now: datetime) -> int:
    return max(ceil((until - now).total_seconds()), 1)
