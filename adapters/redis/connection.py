"""How this service talks to Redis: briefly, or not at all."""

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

TIMEOUT_SECONDS = 0.25
MAX_CONNECTIONS = 64


def connect(redis_url: str) -> Redis:
    """A client that gives up after a quarter of a second and does not send a command twice.

    redis-py's own default is ten attempts, and it would send a whole MULTI/EXEC again.
    """
    pool = BlockingConnectionPool.from_url(
        redis_url,
        # More than ever work at once; whoever finds none waits rather than being refused.
        max_connections=MAX_CONNECTIONS,
        timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis(connection_pool=pool)


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
