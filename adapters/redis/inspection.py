"""Redis, as an operator's examination sees it. INFO says all of it: managed servers refuse CONFIG."""

from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from adapters.redis.probe import KEY, SECONDS
from application.ports.inspection import LOOPBACK, InspectRedis, NotInspected, RedisFacts

CONNECT_SECONDS = 3.0


class RedisInspection(InspectRedis):
    def __init__(self, redis_url: str, *, prefix: str = "") -> None:
        self._parts = urlsplit(redis_url)
        self._key = f"{prefix}{KEY}"
        self._redis = Redis.from_url(redis_url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS)

    def __call__(self) -> RedisFacts:
        try:
            with self._redis:
                return self._facts()
        except RedisError as error:
            reason, *_ = str(error).strip().splitlines() or [type(error).__name__]
            raise NotInspected(reason) from None

    def _facts(self) -> RedisFacts:
        writes = self._takes_writes()
        try:
            info: dict[str, Any] = self._redis.info("everything")
        except ResponseError:  # the user may not ask
            info = {}
        policy, append_only = info.get("maxmemory_policy"), info.get("aof_enabled")
        return RedisFacts(
            server=_server(info),
            local=self._parts.scheme == "unix" or self._parts.hostname in LOOPBACK,
            encrypted=self._parts.scheme == "rediss",
            takes_writes=writes,
            cluster=bool(info.get("cluster_enabled")),
            eviction=str(policy) if policy is not None else None,
            memory_limit=int(info["maxmemory"]) if "maxmemory" in info else None,
            append_only=bool(append_only) if append_only is not None else None,
        )

    def _takes_writes(self) -> bool:
        try:
            return bool(self._redis.set(self._key, b"1", ex=SECONDS))
        except ResponseError:
            return False


def _server(info: dict[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', 'of an unknown version')}"
