"""The contract of the workers' heartbeat and of the look whether Redis is there. Both have one implementation."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from redis import Redis

from adapters.redis.connection import RedisProbe, connect
from adapters.redis.worker_heartbeat import KEY, RedisWorkerHeartbeat
from application.ports.worker_heartbeat import WorkerHeartbeat
from tests.concurrency import eventually
from tests.redis_doubles import DOWN


class TestRedisWorkerPresence:
    @pytest.fixture
    def redis(self, clean_redis: str) -> Iterator[Redis]:
        with connect(clean_redis) as redis:
            yield redis

    @pytest.fixture
    def heartbeat(self, redis: Redis) -> WorkerHeartbeat:
        return RedisWorkerHeartbeat(redis)

    def test_no_worker_is_there_at_first(self, heartbeat: WorkerHeartbeat) -> None:
        assert not heartbeat()

    def test_who_announces_itself_is_there(self, heartbeat: WorkerHeartbeat, redis: Redis) -> None:
        heartbeat.announce()
        assert heartbeat()
        assert RedisWorkerHeartbeat(redis)()

    def test_for_ten_seconds_from_the_last_time(self, heartbeat: WorkerHeartbeat, redis: Redis) -> None:
        heartbeat.announce()
        redis.pexpire(KEY, 1_000)
        heartbeat.announce()
        assert 1_000 < int(redis.pttl(KEY)) <= 10_000

    def test_who_was_silent_for_longer_is_not(self, heartbeat: WorkerHeartbeat, redis: Redis) -> None:
        heartbeat.announce()
        redis.pexpire(KEY, 1)
        assert eventually(lambda: not heartbeat())
        heartbeat.announce()
        assert heartbeat()

    def test_redis_is_there(self, redis: Redis) -> None:
        assert RedisProbe(redis)()


@pytest.mark.parametrize("down", DOWN)
def test_without_redis_no_worker_is_there_and_nothing_raises(down: Callable[[], AbstractContextManager[str]]) -> None:
    with down() as url, connect(url) as redis:
        heartbeat = RedisWorkerHeartbeat(redis)
        heartbeat.announce()
        assert not heartbeat()
        assert not RedisProbe(redis)()
