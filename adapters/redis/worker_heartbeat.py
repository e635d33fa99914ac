"""The heartbeat of workers, in Redis."""

from redis import Redis
from redis.exceptions import RedisError

from application.ports.worker_heartbeat import WorkerHeartbeat

KEY = "workers:present"
SECONDS = 10


class RedisWorkerHeartbeat(WorkerHeartbeat):
    """The WorkerHeartbeat port: one key that any worker keeps alive."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def announce(self) -> None:
        try:
            self._redis.set(KEY, b"1", ex=SECONDS)
        except RedisError:
            return  # readiness reports Redis itself

    def __call__(self) -> bool:
        try:
            return bool(self._redis.exists(KEY))
        except RedisError:
            return False
