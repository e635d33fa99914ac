"""What is looked at once, when a process starts: would it work with this Redis?"""

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from application.operations.startup import CannotStart

SECONDS = 1.0
A_CLUSTER = "REDIS_URL names a node of a Redis Cluster, whose slots our scripts cross: name a server that is in none."


def check_redis(redis_url: str) -> None:
    """Raises CannotStart for a node of a cluster. One that is not there, or does not say, is no reason."""
    try:
        with Redis.from_url(
            redis_url, socket_connect_timeout=SECONDS, socket_timeout=SECONDS, retry=Retry(NoBackoff(), 0)
        ) as redis:
            told = redis.info("cluster")
    except RedisError:
        return
    if told.get("cluster_enabled"):
        raise CannotStart(A_CLUSTER)
