"""Rate limits in Redis, by the limits library; while Redis does not answer, each process counts for itself."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import chain
from math import ceil
from threading import Lock

from limits.storage import MemoryStorage, RedisStorage
from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from application.ports.rate_limiter import Hit, RateLimiter, WindowStatus

# A process reserves a hundredth of a limit in Redis at once and uses it up without a round trip. So a client may be
# refused that much too early, never too late. Limits below a hundred are counted one by one.
SHARES = 100
# The number of counters with a reservation that a process remembers.
KEPT = 10_000


# The window of a hit: its number since the epoch.
Window = tuple[Hit, int]
NONE_RESERVED: Iterator[int] = iter(())


class RedisRateLimiter(RateLimiter):
    """Fixed windows that start at multiples of their length since the epoch, so that each process knows their ends.

    Makes at most one round trip, however many hits, and none while the reservations last. Users, addresses and numbers
    are stored as keyed digests. ``key``: a secret that is not in Redis.
    """

    def __init__(self, redis: Redis, *, key: bytes) -> None:
        self._key = key
        self._redis = redis
        # The URL is not used: the pool has its own.
        self._storage = RedisStorage("redis://", connection_pool=redis.connection_pool, key_prefix="limits")
        self._here = MemoryStorage()
        self._lock = Lock()
        # What is reserved and not used.
        self._reserved: OrderedDict[Window, Iterator[int]] = OrderedDict()

    def __call__(self, hits: Sequence[Hit]) -> Sequence[WindowStatus]:
        now = time.time()
        windows = _windows(hits, now)
        with self._lock:
            counts = [next(self._reserved.get(window, NONE_RESERVED), None) for window in windows]
        if None in counts:
            missing = [window for window, count in zip(windows, counts, strict=True) if count is None]
            reserved = iter(self._reserve(missing))
            counts = [next(reserved) if count is None else count for count in counts]
        return [
            WindowStatus(limit, count or 0, max(ceil((number + 1) * limit.per.total_seconds() - now), 1))
            for ((limit, _), number), count in zip(windows, counts, strict=True)
        ]

    def give_back(self, hits: Sequence[Hit]) -> None:
        windows = _windows(hits, time.time())
        if self._count_in_redis(windows, [-1] * len(windows)) is None:
            for window in windows:
                self._here.decr(self._key_of(window))

    def _key_of(self, window: Window) -> str:
        (limit, subject), number = window
        digest = hmac.digest(self._key, subject.encode("utf-8", "surrogatepass"), "sha256").hex()[:24]
        return f"{limit.name}:{digest}:{number}"

    def _reserve(self, windows: Sequence[Window]) -> Sequence[int]:
        """Reserve a share of each window; the first count of each share."""
        shares = [max(hit.limit.amount // SHARES, 1) for hit, _ in windows]
        totals = self._count_in_redis(windows, shares)
        if totals is None:
            return [self._here.incr(self._key_of(window), _seconds(window)) for window in windows]
        firsts = [total - share + 1 for total, share in zip(totals, shares, strict=True)]
        with self._lock:
            for window, first, total in zip(windows, firsts, totals, strict=True):
                if first < total:
                    # Another thread may have reserved a share at the same moment.
                    before = self._reserved.get(window, NONE_RESERVED)
                    self._reserved[window] = chain(before, range(first + 1, total + 1))
            while len(self._reserved) > KEPT:
                self._reserved.popitem(last=False)
        return firsts

    def _count_in_redis(self, windows: Sequence[Window], amounts: Sequence[int]) -> Sequence[int] | None:
        counters = [
            (self._key_of(window), _seconds(window), amount) for window, amount in zip(windows, amounts, strict=True)
        ]
        try:
            if len(counters) == 1:
                return [self._storage.incr(*counters[0])]
            return self._count_together(counters)
        except RedisError:
            return None

    def _count_together(self, counters: Sequence[tuple[str, int, int]]) -> Sequence[int]:
        """The library's own script for each counter, in one pipeline. By EVALSHA: redis-py would first look for it."""
        script = self._storage.lua_incr_expire.sha
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for key, seconds, amount in counters:
                    pipeline.evalsha(script, 1, self._storage.prefixed_key(key), seconds, amount)
                return [int(count) for count in pipeline.execute()]
        except NoScriptError:  # at the first call and after a restart of Redis
            return [self._storage.incr(*counter) for counter in counters]


def _windows(hits: Sequence[Hit], now: float) -> list[Window]:
    return [(hit, int(now // hit.limit.per.total_seconds())) for hit in hits]


def _seconds(window: Window) -> int:
    return int(window[0].limit.per.total_seconds())
