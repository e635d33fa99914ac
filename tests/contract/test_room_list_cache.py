"""The contract of the cached list of chatrooms: a page comes back under its own version only."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from itertools import count

import pytest
from redis import Redis

from adapters.local_room_list_cache import LocalRoomListCache
from adapters.memory.stores import MemoryRoomListCache
from adapters.redis.connection import connect
from adapters.redis.room_list_cache import RedisRoomListCache
from application.ports.room_list_cache import RoomListCache
from domain.accounts import UserId
from tests.concurrency import eventually, together
from tests.contract.world import new_id
from tests.redis_doubles import DOWN

KEEP = timedelta(seconds=300)
# As the database gives them: microseconds, or 0.
V1, V2, V3 = 0, 1_700_000_000_000_000, 2**62


class RoomListCacheContract:
    @pytest.fixture
    def user_id(self) -> UserId:
        return UserId(new_id())

    def test_nothing_is_cached_at_first(self, cache: RoomListCache, user_id: UserId) -> None:
        assert cache.get(user_id, V1) is None

    @pytest.mark.parametrize(
        "page", [b"[]", b"", bytes(range(256)), b"\xff\x00\r\n$-1\r\n", b"x" * 1_000_000, "नमस्ते 👩🏽‍🚀".encode()]
    )
    def test_comes_back_unchanged(self, cache: RoomListCache, user_id: UserId, page: bytes) -> None:
        cache.put(user_id, V2, page)
        assert cache.get(user_id, V2) == page
        assert cache.get(user_id, V2) == page

    def test_each_user_has_a_page_of_their_own(self, cache: RoomListCache, user_id: UserId) -> None:
        other = UserId(new_id())
        cache.put(user_id, V1, b"mine")
        assert cache.get(other, V1) is None
        cache.put(other, V1, b"theirs")
        cache.put(other, V2, b"theirs, changed")
        assert cache.get(user_id, V1) == b"mine"

    def test_a_page_of_another_version_is_none(self, cache: RoomListCache, user_id: UserId) -> None:
        cache.put(user_id, V2, b"page")
        for version in (V1, V2 - 1, V2 + 1, V3):
            assert cache.get(user_id, version) is None
        assert cache.get(user_id, V2) == b"page"

    def test_the_next_version_takes_the_place_of_the_one_before(self, cache: RoomListCache, user_id: UserId) -> None:
        for version, page in ((V1, b"one"), (V2, b"two, which is longer"), (V3, b"three")):
            cache.put(user_id, version, page)
            assert cache.get(user_id, version) == page
        assert cache.get(user_id, V1) is None

    def test_one_who_was_slow_does_no_harm(self, cache: RoomListCache, user_id: UserId) -> None:
        cache.put(user_id, V2, b"fresh")
        cache.put(user_id, V1, b"stale")
        assert cache.get(user_id, V2) in {None, b"fresh"}

    def test_with_many_readers_and_writers_each_page_is_that_of_its_version(
        self, cache: RoomListCache, user_id: UserId
    ) -> None:
        versions = count(1)

        def work() -> bool:
            right = True
            for _ in range(50):
                version = next(versions)
                cache.put(user_id, version, str(version).encode())
                for asked in (version, version - 1):
                    right &= cache.get(user_id, asked) in {None, str(asked).encode()}
            return right

        assert all(together([work] * 8))


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

    def test_it_is_one_key_a_user_that_expires(self, cache: RoomListCache, redis: Redis, user_id: UserId) -> None:
        for version in (V1, V2):
            cache.put(user_id, version, b"page")
        (key,) = redis.scan_iter("room_list:*")
        assert 0 < int(redis.ttl(key)) <= 300

    def test_a_page_that_has_had_its_time_is_gone(self, cache: RoomListCache, redis: Redis, user_id: UserId) -> None:
        cache.put(user_id, V1, b"page")
        for key in list(redis.scan_iter("room_list:*")):
            redis.pexpire(key, 1)
        assert eventually(lambda: cache.get(user_id, V1) is None)

    def test_reading_does_not_lengthen_its_time(self, cache: RoomListCache, redis: Redis, user_id: UserId) -> None:
        cache.put(user_id, V1, b"page")
        (key,) = redis.scan_iter("room_list:*")
        redis.pexpire(key, 5_000)
        assert cache.get(user_id, V1) == b"page"
        assert int(redis.pttl(key)) <= 5_000

    def test_it_lives_through_a_flush(self, cache: RoomListCache, redis: Redis, user_id: UserId) -> None:
        cache.put(user_id, V1, b"page")
        redis.flushdb()
        assert cache.get(user_id, V1) is None
        cache.put(user_id, V1, b"page")
        assert cache.get(user_id, V1) == b"page"

    def test_the_release_before_has_keys_of_another_name(
        self, cache: RoomListCache, redis: Redis, user_id: UserId
    ) -> None:
        redis.hset(f"rooms:{user_id}", "page 2", "of that release")
        assert cache.get(user_id, V1) is None
        cache.put(user_id, V1, b"page")
        assert redis.hgetall(f"rooms:{user_id}") == {b"page 2": b"of that release"}

    @pytest.mark.parametrize("keep", [timedelta(seconds=1), timedelta(days=1)])
    def test_keeps_as_long_as_it_was_told(self, redis: Redis, user_id: UserId, keep: timedelta) -> None:
        RedisRoomListCache(redis, keep=keep).put(user_id, V1, b"page")
        (key,) = redis.scan_iter("room_list:*")
        assert 0 < int(redis.pttl(key)) <= keep.total_seconds() * 1000


@pytest.mark.parametrize("down", DOWN)
def test_without_redis_it_holds_nothing_and_never_raises(down: Callable[[], AbstractContextManager[str]]) -> None:
    user_id = UserId(new_id())
    with down() as url, connect(url) as redis:
        cache = RedisRoomListCache(redis, keep=KEEP)
        cache.put(user_id, V1, b"page")
        assert cache.get(user_id, V1) is None


class TestLocalRoomListCache(RoomListCacheContract):
    @pytest.fixture
    def shared(self) -> MemoryRoomListCache:
        return MemoryRoomListCache()

    @pytest.fixture
    def cache(self, shared: MemoryRoomListCache) -> RoomListCache:
        return LocalRoomListCache(shared)

    def test_another_process_finds_what_one_has_put(
        self, cache: RoomListCache, shared: MemoryRoomListCache, user_id: UserId
    ) -> None:
        other = LocalRoomListCache(shared)
        cache.put(user_id, V1, b"page")
        assert other.get(user_id, V1) == b"page"
        other.put(user_id, V2, b"changed")
        assert cache.get(user_id, V2) == b"changed"

    def test_what_was_found_once_stays_when_the_others_lose_it(self, user_id: UserId) -> None:
        shared = MemoryRoomListCache()
        shared.put(user_id, V1, b"page")
        cache = LocalRoomListCache(shared)
        assert cache.get(user_id, V1) == b"page"
        shared.put(user_id, V2, b"of a later version")
        assert cache.get(user_id, V1) == b"page"


class Nothing(RoomListCache):
    """As Redis when it is down."""

    def get(self, user_id: UserId, version: int) -> bytes | None:
        return None

    def put(self, user_id: UserId, version: int, page: bytes) -> None:
        """Forget it."""


def kept_of(cache: RoomListCache, users: list[UserId]) -> list[bool]:
    return [cache.get(user_id, V1) is not None for user_id in users]


def test_a_process_keeps_the_pages_that_were_used_last_within_its_bytes() -> None:
    cache = LocalRoomListCache(Nothing(), max_bytes=30)
    one, two, three, four = users = [UserId(new_id()) for _ in range(4)]
    for user_id in (one, two, three):
        cache.put(user_id, V1, b"x" * 10)
    assert cache.get(one, V1) is not None
    cache.put(four, V1, b"x" * 10)
    assert kept_of(cache, users) == [True, False, True, True]
    cache.put(four, V1, b"x" * 11)
    assert kept_of(cache, users) == [False, False, True, True]
    cache.put(two, V1, b"x" * 31)
    assert kept_of(cache, users) == [False, False, True, True]
    cache.put(two, V1, b"x" * 30)
    assert kept_of(cache, users) == [False, True, False, False]


def test_a_process_keeps_the_pages_of_so_many_users() -> None:
    cache = LocalRoomListCache(Nothing(), max_users=2)
    users = [UserId(new_id()) for _ in range(3)]
    for user_id in users:
        cache.put(user_id, V1, b"")
    assert kept_of(cache, users) == [False, True, True]
