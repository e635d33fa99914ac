"""The contract of the cached list of chatrooms: it forgets rather than lies."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from threading import Lock

import pytest
from redis import Redis

from adapters.memory.stores import MemoryRoomListCache
from adapters.redis.connection import connect
from adapters.redis.room_list_cache import RedisRoomListCache
from application.ports.room_list_cache import Lookup, RoomListCache
from domain.accounts import UserId
from tests.concurrency import eventually, together
from tests.contract.world import new_id
from tests.redis_doubles import DOWN

KEEP = timedelta(seconds=300)


def fill(cache: RoomListCache, user_id: UserId, page: bytes) -> None:
    cache.put(user_id, page, version=cache.get(user_id).version)


class RoomListCacheContract:
    @pytest.fixture
    def user_id(self) -> UserId:
        return UserId(new_id())

    def test_nothing_is_cached_at_first(self, cache: RoomListCache, user_id: UserId) -> None:
        assert cache.get(user_id).page is None

    @pytest.mark.parametrize(
        "page", [b"[]", b"", bytes(range(256)), b"\xff\x00\r\n$-1\r\n", b"x" * 1_000_000, "नमस्ते 👩🏽‍🚀".encode()]
    )
    def test_comes_back_unchanged(self, cache: RoomListCache, user_id: UserId, page: bytes) -> None:
        fill(cache, user_id, page)
        assert cache.get(user_id).page == page
        assert cache.get(user_id).page == page

    def test_each_user_has_a_page_of_their_own(self, cache: RoomListCache, user_id: UserId) -> None:
        other = UserId(new_id())
        fill(cache, user_id, b"mine")
        assert cache.get(other).page is None
        fill(cache, other, b"theirs")
        cache.drop(other)
        assert cache.get(user_id).page == b"mine"

    def test_what_is_dropped_is_forgotten_and_can_be_filled_again(self, cache: RoomListCache, user_id: UserId) -> None:
        for page in (b"one", b"two", b"three"):
            fill(cache, user_id, page)
            assert cache.get(user_id).page == page
            cache.drop(user_id)
            assert cache.get(user_id).page is None

    def test_a_page_read_before_a_drop_is_not_kept_after_it(self, cache: RoomListCache, user_id: UserId) -> None:
        before = cache.get(user_id)
        cache.drop(user_id)
        cache.put(user_id, b"stale", version=before.version)
        assert cache.get(user_id).page is None

    def test_nor_is_it_after_several_drops(self, cache: RoomListCache, user_id: UserId) -> None:
        versions = []
        for _ in range(4):
            versions.append(cache.get(user_id).version)
            cache.drop(user_id)
        for version in versions:
            cache.put(user_id, b"stale", version=version)
            assert cache.get(user_id).page is None

    def test_nor_does_it_take_the_place_of_a_fresh_one(self, cache: RoomListCache, user_id: UserId) -> None:
        fill(cache, user_id, b"old")
        stale = cache.get(user_id).version
        cache.drop(user_id)
        fill(cache, user_id, b"fresh")
        cache.put(user_id, b"stale", version=stale)
        assert cache.get(user_id).page == b"fresh"

    def test_of_two_who_read_the_same_both_may_fill(self, cache: RoomListCache, user_id: UserId) -> None:
        one, other = cache.get(user_id), cache.get(user_id)
        cache.put(user_id, b"page", version=one.version)
        cache.put(user_id, b"page", version=other.version)
        assert cache.get(user_id).page == b"page"

    def test_with_many_readers_and_writers_nothing_stale_remains(self, cache: RoomListCache, user_id: UserId) -> None:
        truth = 0
        lock = Lock()

        def write() -> None:
            nonlocal truth
            for _ in range(25):
                with lock:
                    truth += 1
                cache.drop(user_id)

        def read() -> None:
            for _ in range(50):
                lookup = cache.get(user_id)
                if lookup.page is None:
                    page = str(truth).encode()
                    cache.put(user_id, page, version=lookup.version)

        together([write, read, read, read] * 3)
        assert cache.get(user_id).page in {None, str(truth).encode()}
        fill(cache, user_id, str(truth).encode())
        assert cache.get(user_id).page == str(truth).encode()


class TestMemoryRoomListCache(RoomListCacheContract):
    @pytest.fixture
    def cache(self) -> RoomListCache:
        return MemoryRoomListCache()


class TestRedisRoomListCache(RoomListCacheContract):
    @pytest.fixture
    def redis(self, clean_redis: str) -> Iterator[Redis]:
        with connect(clean_redis) as redis:
            yield redis

    @pytest.fixture
    def cache(self, redis: Redis) -> RoomListCache:
        return RedisRoomListCache(redis, keep=KEEP)

    def test_everything_in_it_expires(self, cache: RoomListCache, redis: Redis, user_id: UserId) -> None:
        other = UserId(new_id())
        fill(cache, user_id, b"page")
        cache.drop(other)
        keys = list(redis.scan_iter("rooms:*"))
        assert len(keys) == 2
        assert all(0 < int(redis.ttl(key)) <= 300 for key in keys)

    def test_a_page_that_has_had_its_time_is_gone(self, cache: RoomListCache, redis: Redis, user_id: UserId) -> None:
        fill(cache, user_id, b"page")
        for key in list(redis.scan_iter("rooms:*")):
            redis.pexpire(key, 1)
        assert eventually(lambda: cache.get(user_id).page is None)

    def test_reading_does_not_lengthen_its_time(self, cache: RoomListCache, redis: Redis, user_id: UserId) -> None:
        fill(cache, user_id, b"page")
        (key,) = redis.scan_iter("rooms:*")
        redis.pexpire(key, 5_000)
        assert cache.get(user_id).page == b"page"
        assert int(redis.pttl(key)) <= 5_000

    def test_it_lives_through_a_flush(self, cache: RoomListCache, redis: Redis, user_id: UserId) -> None:
        cache.drop(user_id)
        redis.flushdb()
        redis.script_flush()
        fill(cache, user_id, b"page")
        assert cache.get(user_id).page == b"page"

    @pytest.mark.parametrize("keep", [timedelta(seconds=1), timedelta(days=1)])
    def test_keeps_as_long_as_it_was_told(self, redis: Redis, user_id: UserId, keep: timedelta) -> None:
        fill(RedisRoomListCache(redis, keep=keep), user_id, b"page")
        (key,) = redis.scan_iter("rooms:*")
        assert 0 < int(redis.pttl(key)) <= keep.total_seconds() * 1000


@pytest.mark.parametrize("down", DOWN)
def test_without_redis_it_holds_nothing_and_never_raises(down: Callable[[], AbstractContextManager[str]]) -> None:
    user_id = UserId(new_id())
    with down() as url, connect(url) as redis:
        cache = RedisRoomListCache(redis, keep=KEEP)
        cache.put(user_id, b"page", version=None)
        cache.drop(user_id)
        assert cache.get(user_id) == Lookup(None, None)
