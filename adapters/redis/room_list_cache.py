"""The cached chatroom lists in Redis: one hash a user, with the page and the version it belongs to."""

import secrets
from datetime import timedelta
from typing import cast

import structlog
from redis import Redis
from redis.exceptions import RedisError

from application.ports.room_list_cache import Lookup, RoomListCache
from domain.accounts import UserId

# The field of the page. It has another name whenever pages get another form, since releases share the cache while one
# is being rolled out; each drops the pages of both.
PAGE = "page 2"
# KEYS: the user's hash. ARGV: page, version it was read under, seconds to keep, field.
# A page that was read before a write must not be stored after it. The write has changed the version.
PUT = """
local version = redis.call('HGET', KEYS[1], 'version') or ''
if version ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[4], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""

# KEYS: the user's hash. ARGV: a version never seen before, seconds to keep.
DROP = """
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'version', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""

log = structlog.get_logger(__name__)


class RedisRoomListCache(RoomListCache):
    """``keep``: how long a page may be shown, in whole seconds."""

    def __init__(self, redis: Redis, *, keep: timedelta) -> None:
        self._redis = redis
        self._seconds = int(keep.total_seconds())
        self._put = redis.register_script(PUT)
        self._drop = redis.register_script(DROP)

    def get(self, user_id: UserId) -> Lookup:
        try:
            page, version = self._redis.hmget(_key(user_id), PAGE, "version")
        except RedisError:
            return Lookup(None, None)
        return Lookup(cast("bytes | None", page), cast("bytes | None", version))

    def put(self, user_id: UserId, page: bytes, *, version: bytes | None) -> None:
        try:
            self._put(keys=[_key(user_id)], args=[page, version or b"", self._seconds, PAGE])
        except RedisError:
            return  # the next request reads the database and tries again

    def drop(self, user_id: UserId) -> None:
        try:
            self._drop(keys=[_key(user_id)], args=[secrets.token_bytes(8), self._seconds])
        except RedisError as error:
            # A page that was cached before may be shown until it expires.
            log.warning("room_list_not_dropped", error=type(error).__name__)


def _key(user_id: UserId) -> str:
    return f"rooms:{user_id}"
