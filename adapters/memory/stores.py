"""The ports that Redis serves, in memory."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from queue import Empty, SimpleQueue
from threading import Lock

from application.ports.otp_budget import OtpBudget
from application.ports.otp_store import OtpStore, Redeemed
from application.ports.rate_limiter import Hit, RateLimiter, WindowStatus
from application.ports.reply_stream import Chunk, ReplyPublisher, ReplySubscriber, ReplySubscription
from application.ports.room_list_cache import RoomListCache
from application.ports.runtime import Clock
from application.ports.worker_notifier import WorkerNotifier
from domain.accounts import UNKNOWN_ORIGIN, Origin, PhoneNumber, UserId
from domain.errors import OtpInvalid, OtpLocked, OtpResendTooSoon, OtpSendsExhausted
from domain.networks import networks_of
from domain.one_time_password import REPEAT_GRACE, OtpPolicy, Purpose, SendCaps
from domain.replies import ReplyId

ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class _SentCode:
    code: str
    asked_by: str | None
    expires_at: datetime
    attempts: int = 0
    elsewhere: int = 0
    receipt: str | None = None
    used_by: Origin | None = None
    used_at: datetime | None = None

    def may_be_tried(self, now: datetime, client: Origin | None) -> bool:
        if self.used_at is not None:
            return client is not None and self.used_by == client and now < self.used_at + REPEAT_GRACE
        return now < self.expires_at


class MemoryOtpStore(OtpStore):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._codes: dict[tuple[PhoneNumber, Purpose], list[_SentCode]] = {}
        self._cooldowns: dict[tuple[PhoneNumber, Purpose, str | None], datetime] = {}
        # By number and address; ELSEWHERE: at codes that another address had asked for.
        self._failures: dict[tuple[PhoneNumber, str | None], tuple[int, datetime]] = {}

    def put(
        self, phone: PhoneNumber, purpose: Purpose, code: str, policy: OtpPolicy, origin: Origin = UNKNOWN_ORIGIN
    ) -> None:
        now, address = self._clock(), origin.address
        with self._lock:
            self._refuse_guessed(phone, address, now, policy)
            resend_at = self._cooldowns.get((phone, purpose, address), now)
            if resend_at > now:
                raise OtpResendTooSoon(retry_after=_whole_seconds(resend_at, now))
            self._cooldowns[(phone, purpose, address)] = now + policy.resend_after
            self._codes.setdefault((phone, purpose), []).append(_SentCode(code, address, now + policy.lifetime))

    def redeem(
        self,
        phone: PhoneNumber,
        purposes: Collection[Purpose],
        code: str,
        policy: OtpPolicy,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> Purpose:
        return self._use(phone, purposes, code, policy, address=origin.address, client=None, receipt="").purpose

    def redeem_once(
        self,
        phone: PhoneNumber,
        purposes: Collection[Purpose],
        code: str,
        policy: OtpPolicy,
        *,
        receipt: str,
        origin: Origin,
    ) -> Redeemed:
        client = origin if origin.address is not None else None
        return self._use(phone, purposes, code, policy, address=origin.address, client=client, receipt=receipt)

    def _use(  # noqa: C901 - the twin of one script
        self,
        phone: PhoneNumber,
        purposes: Collection[Purpose],
        code: str,
        policy: OtpPolicy,
        *,
        address: str | None,
        client: Origin | None,
        receipt: str,
    ) -> Redeemed:
        now = self._clock()
        attempts_left, locked_until = 0, None
        compared: set[str | None] = set()
        with self._lock:
            self._refuse_guessed(phone, address, now, policy)
            closed_until = self._closed_until(phone, ELSEWHERE, now, policy)
            for purpose in purposes:
                codes = self._codes.get((phone, purpose), [])
                for index, sent in enumerate(codes):
                    mine = sent.asked_by in {address, None}
                    attempts = sent.attempts if mine else sent.elsewhere
                    if not sent.may_be_tried(now, client):
                        continue
                    if closed_until is not None and not mine:
                        locked_until = max(locked_until or now, closed_until)
                        continue
                    if attempts >= policy.max_attempts:
                        if sent.used_at is None:
                            resend_at = self._cooldowns.get((phone, purpose, address), now)
                            locked_until = max(locked_until or now, resend_at)
                        continue
                    tried = replace(sent, attempts=attempts + 1) if mine else replace(sent, elsewhere=attempts + 1)
                    codes[index] = tried
                    if sent.code == code:
                        if sent.receipt is None:
                            codes[index] = replace(tried, receipt=receipt, used_by=client, used_at=now)
                        return Redeemed(purpose, sent.receipt if sent.receipt is not None else receipt)
                    if sent.used_at is None:
                        compared.add(address if mine else ELSEWHERE)
                        attempts_left = max(attempts_left, policy.max_attempts - attempts - 1)
            for counter in compared:
                self._count_failure(phone, counter, now, policy)
        if locked_until is not None and not compared:
            raise OtpLocked(retry_after=_whole_seconds(locked_until, now))
        raise OtpInvalid(attempts_left=attempts_left)

    def give_back(self, phone: PhoneNumber, purpose: Purpose, code: str) -> None:
        with self._lock:
            codes = self._codes.get((phone, purpose), [])
            codes[:] = [
                replace(sent, receipt=None, used_by=None, used_at=None, attempts=0) if sent.code == code else sent
                for sent in codes
            ]

    def void(self, phone: PhoneNumber) -> None:
        with self._lock:
            for purpose in Purpose:
                self._codes.pop((phone, purpose), None)

    def withdraw(self, phone: PhoneNumber, purpose: Purpose, origin: Origin = UNKNOWN_ORIGIN) -> None:
        with self._lock:
            self._cooldowns.pop((phone, purpose, origin.address), None)
            codes = self._codes.get((phone, purpose), [])
            mine = [index for index, sent in enumerate(codes) if sent.asked_by == origin.address]
            if mine:
                del codes[mine[-1]]

    def _refuse_guessed(self, phone: PhoneNumber, address: str | None, now: datetime, policy: OtpPolicy) -> None:
        closed_until = self._closed_until(phone, address, now, policy)
        if closed_until is not None:
            raise OtpLocked(retry_after=_whole_seconds(closed_until, now))

    def _closed_until(
        self, phone: PhoneNumber, counter: str | None, now: datetime, policy: OtpPolicy
    ) -> datetime | None:
        failures, forgotten_at = self._failures.get((phone, counter), (0, now))
        return forgotten_at if forgotten_at > now and failures >= policy.max_failures else None

    def _count_failure(self, phone: PhoneNumber, counter: str | None, now: datetime, policy: OtpPolicy) -> None:
        failures, forgotten_at = self._failures.get((phone, counter), (0, now))
        if forgotten_at <= now:
            failures, forgotten_at = 0, now + policy.failures_forgotten_after
        self._failures[(phone, counter)] = (failures + 1, forgotten_at)


class MemoryOtpBudget(OtpBudget):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._counts: dict[str, tuple[int, datetime]] = {}

    def take(self, phone: PhoneNumber, address: str | None, caps: SendCaps, *, known: bool = False) -> None:
        now = self._clock()
        with self._lock:
            counters = {
                subject: (cap, *self._count(subject, now))
                for subject, cap in _capped(phone, address, caps, known=known).items()
            }
            for cap, sent, forgotten_at in counters.values():
                if sent >= cap:
                    raise OtpSendsExhausted(retry_after=_whole_seconds(forgotten_at, now))
            for subject, (_, sent, forgotten_at) in counters.items():
                self._counts[subject] = (sent + 1, forgotten_at)

    def give_back(self, phone: PhoneNumber, address: str | None, caps: SendCaps, *, known: bool = False) -> None:
        with self._lock:
            for subject in _capped(phone, address, caps, known=known):
                sent, forgotten_at = self._counts[subject]
                self._counts[subject] = (sent - 1, forgotten_at)

    def _count(self, subject: str, now: datetime) -> tuple[int, datetime]:
        sent, forgotten_at = self._counts.get(subject, (0, now))
        return (sent, forgotten_at) if forgotten_at > now else (0, now + timedelta(days=1))


def _capped(phone: PhoneNumber, address: str | None, caps: SendCaps, *, known: bool) -> dict[str, int]:
    capped = {
        f"known {phone.e164} {address}" if known else f"number {phone.e164}": caps.per_number,
        f"both {phone.e164} {address}": None if known else caps.per_number_and_address,
        f"prefix {phone.e164[:-3]}": caps.per_prefix,
        "total": caps.total,
    }
    if address is not None and caps.per_address is not None:
        capped |= {f"address {one.subject}": caps.per_address * one.times for one in networks_of(address)}
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

    def give_back(self, hits: Sequence[Hit]) -> None:
        now = self._clock().timestamp()
        with self._lock:
            for hit in hits:
                key = (hit.limit.name, hit.subject, int(now // hit.limit.per.total_seconds()))
                self._counts[key] = max(self._counts[key] - 1, 0)

    def _count(self, hit: Hit, now: float) -> WindowStatus:
        seconds = hit.limit.per.total_seconds()
        window = int(now // seconds)
        key = (hit.limit.name, hit.subject, window)
        self._counts[key] += 1
        return WindowStatus(hit.limit, self._counts[key], max(ceil((window + 1) * seconds - now), 1))


class MemoryRoomListCache(RoomListCache):
    def __init__(self) -> None:
        self._pages: dict[UserId, tuple[int, bytes]] = {}

    def get(self, user_id: UserId, version: int) -> bytes | None:
        kept, page = self._pages.get(user_id, (None, b""))
        return page if kept == version else None

    def put(self, user_id: UserId, version: int, page: bytes) -> None:
        self._pages[user_id] = version, page


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
