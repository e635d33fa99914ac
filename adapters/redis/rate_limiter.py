"""Rate limits over Redis, by the limits library; in this process alone while Redis is away."""

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

# Every request comes by here: while Redis does not answer, only one in so many seconds waits to find that out.
ASK_AGAIN_AFTER_SECONDS = 2.0


# A process takes this part of a limit from Redis at once, and gives it out without asking again. So a process may stop
# somebody by that much too early, never too late; limits below a hundred are counted one by one.
SHARES = 100
# So many users and addresses are remembered between their requests.
KEPT = 10_000


class _Window(NamedTuple):
    """The counter of one charge in the window that time is in, and how much of it is taken at once."""

    key: str
    seconds: int
    resets_in: int
    share: int


class RedisRateLimiter(RateLimiter):
    """The RateLimiter port: fixed windows, counted from the epoch so that what is left of one needs no asking.

    At most one round trip, however many charges, and none while what was taken lasts. Users, addresses and numbers
    stand in Redis as keyed digests.
    """

    def __init__(self, redis: Redis, *, key: bytes) -> None:
        self._key = key
        self._redis = redis
        # The address is never used: the pool has one.
        self._storage = RedisStorage("redis://", connection_pool=redis.connection_pool, key_prefix="limits")
        self._here = MemoryStorage()
        self._ask_again_at = 0.0
        self._lock = Lock()
        # By counter: what was taken and not given out; several shares where threads took at the same moment.
        self._taken: OrderedDict[str, list[range]] = OrderedDict()

    def __call__(self, charges: Sequence[Hit]) -> Sequence[WindowStatus]:
        now = time.time()
        windows = [self._window(charge, now) for charge in charges]
        counts = {window.key: self._give_out(window.key) for window in windows}
        missing = [window for window in windows if counts[window.key] is None]
        if missing:
            counts.update(self._take(missing))
        return [
            WindowStatus(charge.limit, counts[window.key] or 0, window.resets_in)
            for charge, window in zip(charges, windows, strict=True)
        ]

    def _window(self, charge: Hit, now: float) -> _Window:
        seconds = int(charge.limit.per.total_seconds())
        number = int(now // seconds)
        subject = charge.subject.encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, subject, "sha256").hex()[:24]
        return _Window(
            key=f"{charge.limit.name}:{digest}:{number}",
            seconds=seconds,
            resets_in=max(ceil((number + 1) * seconds - now), 1),
            share=max(charge.limit.amount // SHARES, 1),
        )

    def _give_out(self, key: str) -> int | None:
        """The next of what was taken, if there is one."""
        with self._lock:
            shares = self._taken.get(key)
            if not shares:
                return None
            share = shares.pop()
            if len(share) > 1:
                shares.append(share[1:])
            return share[0]

    def _take(self, windows: Sequence[_Window]) -> dict[str, int]:
        """Take a share of each counter, and the first of each share."""
        totals = self._count_in_redis(windows)
        if totals is None:
            return {window.key: self._here.incr(window.key, window.seconds) for window in windows}
        firsts = {}
        with self._lock:
            for window, total in zip(windows, totals, strict=True):
                firsts[window.key] = total - window.share + 1
                if window.share > 1:
                    self._taken.setdefault(window.key, []).append(range(firsts[window.key] + 1, total + 1))
            while len(self._taken) > KEPT:
                self._taken.popitem(last=False)
        return firsts

    def _count_in_redis(self, windows: Sequence[_Window]) -> Sequence[int] | None:
        if time.monotonic() < self._ask_again_at:
            return None
        try:
            if len(windows) == 1:
                return [self._storage.incr(windows[0].key, windows[0].seconds, windows[0].share)]
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
                    key = self._storage.prefixed_key(window.key)
                    pipeline.evalsha(script, 1, key, window.seconds, window.share)
                return [int(count) for count in pipeline.execute()]
        except NoScriptError:  # the first time, and after a restart of Redis
            return [self._storage.incr(window.key, window.seconds, window.share) for window in windows]
