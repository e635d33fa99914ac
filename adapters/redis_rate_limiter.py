"""Rate limits over Redis, by the limits library; in this process alone while Redis is away."""

import hashlib
import hmac
import time
from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from limits.storage import MemoryStorage, RedisStorage
from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from application.ports.rate_limiter import Charge, Charged

# Every request comes by here: while Redis does not answer, only one in so many seconds waits to find that out.
ASK_AGAIN_AFTER_SECONDS = 2.0


class _Window(NamedTuple):
    """The counter of one charge in the window that time is in."""

    key: str
    seconds: int
    resets_in: int


class RedisRateLimiter:
    """The RateLimiter port: fixed windows, counted from the epoch so that what is left of one needs no asking.

    One round trip, however many charges. Users, addresses and numbers stand in Redis as keyed digests.
    """

    def __init__(self, redis: Redis, *, key: bytes) -> None:
        """``key``: a secret that is not in Redis."""
        self._key = key
        self._redis = redis
        pool = redis.connection_pool
        # The address is never used: the pool has one.
        self._storage = RedisStorage("redis://", connection_pool=pool, key_prefix="limits")
        self._here = MemoryStorage()
        self._ask_again_at = 0.0

    def __call__(self, charges: Sequence[Charge]) -> Sequence[Charged]:
        """Count one for each charge."""
        now = time.time()
        windows = [self._window(charge, now) for charge in charges]
        counts = self._count_in_redis(windows) or self._count_here(windows)
        return [
            Charged(charge.limit, count, window.resets_in)
            for charge, window, count in zip(charges, windows, counts, strict=True)
        ]

    def _window(self, charge: Charge, now: float) -> _Window:
        seconds = int(charge.limit.per.total_seconds())
        number = int(now // seconds)
        subject = hmac.new(self._key, charge.subject.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:24]
        return _Window(f"{charge.limit.name}:{subject}:{number}", seconds, max(ceil((number + 1) * seconds - now), 1))

    def _count_in_redis(self, windows: Sequence[_Window]) -> Sequence[int] | None:
        if time.monotonic() < self._ask_again_at:
            return None
        try:
            if len(windows) == 1:
                return [self._storage.incr(windows[0].key, windows[0].seconds)]
            return self._count_together(windows)
        except RedisError:
            self._ask_again_at = time.monotonic() + ASK_AGAIN_AFTER_SECONDS
            return None

    def _count_together(self, windows: Sequence[_Window]) -> Sequence[int]:
        """The library's own script for each, in one pipeline. By its digest: redis-py would first ask for it."""
        script = self._storage.lua_incr_expire.sha
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for window in windows:
                    pipeline.evalsha(script, 1, self._storage.prefixed_key(window.key), window.seconds, 1)
                return [int(count) for count in pipeline.execute()]
        except NoScriptError:  # the first time, and after a restart of Redis
            return [self._storage.incr(window.key, window.seconds) for window in windows]

    def _count_here(self, windows: Sequence[_Window]) -> Sequence[int]:
        return [self._here.incr(window.key, window.seconds) for window in windows]
