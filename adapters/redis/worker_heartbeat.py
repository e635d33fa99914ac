from redis import Redis
from redis.exceptions import RedisError

from application.ports.worker_heartbeat import WorkerHeartbeat

KEY = "workers:present"
SECONDS = 10


class RedisWorkerHeartbeat(WorkerHeartbeat):
    """One key, which expires unless some worker sets it again."""

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
