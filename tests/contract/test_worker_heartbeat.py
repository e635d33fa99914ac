"""The contract of the workers' heartbeat and of the probe of Redis. Both have one implementation."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from redis import Redis

from adapters.redis.connection import connect
from adapters.redis.probe import RedisProbe
from adapters.redis.worker_heartbeat import BREAKER_OPEN, PRESENT, RedisWorkerHeartbeat
from application.ports.health import Fault, Part, Probe
from tests.concurrency import eventually
from tests.redis_doubles import DOWN


class TestRedisWorkerHeartbeat:
    @pytest.fixture
    def redis(self, clean_redis: str) -> Iterator[Redis]:
        with connect(clean_redis) as redis:
            yield redis

    @pytest.fixture
    def breaker(self) -> set[str]:
        return set()

    @pytest.fixture
    def heartbeat(self, redis: Redis, breaker: set[str]) -> RedisWorkerHeartbeat:
        return RedisWorkerHeartbeat(redis, breaker_is_open=lambda: "open" in breaker)

    @pytest.fixture
    def probe(self, redis: Redis) -> Probe:
        return RedisProbe(redis)

    def test_no_worker_is_there_at_first(self, probe: Probe) -> None:
        assert probe() == {Part.WORKERS: Fault.ABSENT}

    def test_a_worker_that_announces_itself_is_there(self, heartbeat: RedisWorkerHeartbeat, probe: Probe) -> None:
        heartbeat.announce()
        assert probe() == {}

    def test_for_ten_seconds_from_the_last_time(self, heartbeat: RedisWorkerHeartbeat, redis: Redis) -> None:
        heartbeat.announce()
        redis.pexpire(PRESENT, 1_000)
        heartbeat.announce()
        assert 1_000 < int(redis.pttl(PRESENT)) <= 10_000

    def test_a_worker_that_was_silent_for_longer_is_absent(
        self, heartbeat: RedisWorkerHeartbeat, probe: Probe, redis: Redis
    ) -> None:
        heartbeat.announce()
        redis.pexpire(PRESENT, 1)
        assert eventually(lambda: probe() == {Part.WORKERS: Fault.ABSENT})
        heartbeat.announce()
        assert probe() == {}

    def test_an_open_breaker_is_told_for_five_seconds(
        self, heartbeat: RedisWorkerHeartbeat, probe: Probe, redis: Redis, breaker: set[str]
    ) -> None:
        breaker.add("open")
        heartbeat.announce()
        assert probe() == {Part.MODEL: Fault.BREAKER_OPEN}
        assert 0 < int(redis.pttl(BREAKER_OPEN)) <= 5_000
        breaker.clear()
        heartbeat.announce()
        redis.pexpire(BREAKER_OPEN, 1)
        assert eventually(lambda: probe() == {})

    def test_a_redis_that_takes_no_writes_is_found_though_it_answers(self, redis: Redis, probe: Probe) -> None:
        redis.config_set("maxmemory", 1)
        try:
            assert redis.ping()
            assert probe() == {Part.REDIS: Fault.NO_WRITES}
        finally:
            redis.config_set("maxmemory", 0)


@pytest.mark.parametrize("down", DOWN)
def test_without_redis_it_is_unreachable_and_nothing_raises(down: Callable[[], AbstractContextManager[str]]) -> None:
    with down() as url, connect(url) as redis:
        RedisWorkerHeartbeat(redis, breaker_is_open=lambda: True).announce()
        assert RedisProbe(redis)() == {Part.REDIS: Fault.UNREACHABLE}
