"""Rate limits in Redis, by the limits library; while Redis does not answer, each process counts for itself."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Sequence
from math import ceil
from threading import Lock
from typing import NamedTuple

from limits.storage import MemoryStorage, RedisStorage
from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from application.ports.rate_limiter import Hit, RateLimiter, WindowStatus

# A process reserves a hundredth of a limit in Redis at once and uses it up without a round trip. So a client may be
# refused that much too early, never too late. Limits below a hundred are counted one by one.
SHARES = 100
# The number of counters with a reservation that a process remembers.
KEPT = 10_000


class _Window(NamedTuple):
    """The counter of one hit in the current window, and how much of it is reserved at once."""

    key: str
    seconds: int
    resets_in: int
    share: int


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
        # By counter: what is reserved and not used; several ranges where threads reserved at the same moment.
        self._reserved: OrderedDict[str, list[range]] = OrderedDict()

    def __call__(self, hits: Sequence[Hit]) -> Sequence[WindowStatus]:
        now = time.time()
        windows = [self._window(hit, now) for hit in hits]
        counts = {window.key: self._use_reserved(window.key) for window in windows}
        missing = [window for window in windows if counts[window.key] is None]
        if missing:
            counts.update(self._reserve(missing))
        return [
            WindowStatus(hit.limit, counts[window.key] or 0, window.resets_in)
            for hit, window in zip(hits, windows, strict=True)
        ]

    def give_back(self, hits: Sequence[Hit]) -> None:
        now = time.time()
        windows = [self._window(hit, now)._replace(share=-1) for hit in hits]
        if self._count_in_redis(windows) is None:
            for window in windows:
                self._here.decr(window.key)

    def _window(self, hit: Hit, now: float) -> _Window:
        seconds = int(hit.limit.per.total_seconds())
        number = int(now // seconds)
        subject = hit.subject.encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, subject, "sha256").hex()[:24]
        return _Window(
            key=f"{hit.limit.name}:{digest}:{number}",
            seconds=seconds,
            resets_in=max(ceil((number + 1) * seconds - now), 1),
            share=max(hit.limit.amount // SHARES, 1),
        )

    def _use_reserved(self, key: str) -> int | None:
        """The next reserved count, None if none is left."""
        with self._lock:
            shares = self._reserved.get(key)
            if not shares:
                return None
            share = shares.pop()
            if len(share) > 1:
                shares.append(share[1:])
            return share[0]

    def _reserve(self, windows: Sequence[_Window]) -> dict[str, int]:
        """Reserve a share of each counter; the first count of each share."""
        totals = self._count_in_redis(windows)
        if totals is None:
            return {window.key: self._here.incr(window.key, window.seconds) for window in windows}
        firsts = {}
        with self._lock:
            for window, total in zip(windows, totals, strict=True):
                firsts[window.key] = total - window.share + 1
                if window.share > 1:
                    self._reserved.setdefault(window.key, []).append(range(firsts[window.key] + 1, total + 1))
            while len(self._reserved) > KEPT:
                self._reserved.popitem(last=False)
        return firsts

    def _count_in_redis(self, windows: Sequence[_Window]) -> Sequence[int] | None:
        try:
            if len(windows) == 1:
                return [self._storage.incr(windows[0].key, windows[0].seconds, windows[0].share)]
            return self._count_together(windows)
        except RedisError:
            return None

    def _count_together(self, windows: Sequence[_Window]) -> Sequence[int]:
        """The library's own script for each counter, in one pipeline. By EVALSHA: redis-py would first look for it."""
        script = self._storage.lua_incr_expire.sha
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for window in windows:
                    key = self._storage.prefixed_key(window.key)
                    pipeline.evalsha(script, 1, key, window.seconds, window.share)
                return [int(count) for count in pipeline.execute()]
        except NoScriptError:  # at the first call and after a restart of Redis
            return [self._storage.incr(window.key, window.seconds, window.share) for window in windows]
