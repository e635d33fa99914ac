"""How this service talks to Redis: briefly, or not at all."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

TIMEOUT_SECONDS = 0.25


def connect(redis_url: str) -> Redis:
    """A client that gives up after a quarter of a second and does not send a command twice.

    redis-py's own default is ten attempts, and it would send a whole MULTI/EXEC again.
    """
    return Redis.from_url(
        redis_url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


def connect_for_rq(redis_url: str) -> Redis:
    """A client for RQ's worker, which raises its timeouts itself to wait for jobs."""
    return Redis.from_url(redis_url, socket_connect_timeout=1.0)


class RedisProbe:
    """The Probe port."""

    def __init__(self, redis: Redis) -> None:
        """Ask ``redis``."""
        self._redis = redis

    def __call__(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self._redis.ping())
        except RedisError:
            return False
