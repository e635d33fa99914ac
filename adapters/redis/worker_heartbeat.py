from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from application.ports.worker_heartbeat import WorkerHeartbeat

PRESENT = "workers:present"
PRESENT_SECONDS = 10
BREAKER_OPEN = "workers:breaker_open"
BREAKER_OPEN_SECONDS = 5


class RedisWorkerHeartbeat(WorkerHeartbeat):
    """Keys that expire unless some worker sets them again. ``breaker_is_open``: whether this one spares the model."""

    def __init__(self, redis: Redis, *, breaker_is_open: Callable[[], bool]) -> None:
        self._redis = redis
        self._breaker_is_open = breaker_is_open

    def announce(self) -> None:
        try:
            self._redis.set(PRESENT, b"1", ex=PRESENT_SECONDS)
            if self._breaker_is_open():
                self._redis.set(BREAKER_OPEN, b"1", ex=BREAKER_OPEN_SECONDS)
        except RedisError:
            return  # readiness reports Redis itself
