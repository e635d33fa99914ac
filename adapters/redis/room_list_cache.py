"""The cached chatroom lists in Redis: one value a user, the version in eight bytes and the page behind it."""

from datetime import timedelta
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from application.ports.room_list_cache import RoomListCache
from domain.accounts import UserId

VERSION_BYTES = 8


class RedisRoomListCache(RoomListCache):
    """``keep``: how long a page is kept, in whole seconds."""

    def __init__(self, redis: Redis, *, keep: timedelta) -> None:
        self._redis = redis
        self._seconds = int(keep.total_seconds())

    def get(self, user_id: UserId, version: int) -> bytes | None:
        try:
            value = cast("bytes | None", self._redis.get(_key(user_id)))
        except RedisError:
            return None
        if value is None or not value.startswith(_packed(version)):
            return None
        return value[VERSION_BYTES:]

    def put(self, user_id: UserId, version: int, page: bytes) -> None:
        try:
            self._redis.set(_key(user_id), _packed(version) + page, ex=self._seconds)
        except RedisError:
            return  # the next request reads the database and tries again


def _packed(version: int) -> bytes:
    return version.to_bytes(VERSION_BYTES, "big")


def _key(user_id: UserId) -> str:
    # It has another name whenever pages get another form, since releases share Redis while one is being rolled out. The
    # one before versions was ``rooms:``, a hash.
    return f"room_list:{user_id}"
