"""The contract of the workers' heartbeat and of the probe of Redis. Both have one implementation."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from redis import Redis

from adapters.redis import worker_heartbeat
from adapters.redis.connection import connect
from adapters.redis.probe import RedisProbe
from adapters.redis.worker_heartbeat import MODEL_FAULT, PRESENT, RedisWorkerHeartbeat
from application.ports.health import Fault, Part, Probe
from tests.concurrency import eventually
from tests.redis_doubles import DOWN


class TestRedisWorkerHeartbeat:
    @pytest.fixture
    def redis(self, clean_redis: str) -> Iterator[Redis]:
        with connect(clean_redis) as redis:
            yield redis

    @pytest.fixture
    def model_faults(self) -> list[Fault]:
        """Of which the first is found."""
        return []

    @pytest.fixture
    def heartbeat(self, redis: Redis, model_faults: list[Fault]) -> RedisWorkerHeartbeat:
        return RedisWorkerHeartbeat(redis, model_fault=lambda: next(iter(model_faults), None))

    @pytest.fixture
    def probe(self, redis: Redis) -> Probe:
        return RedisProbe(redis)

    def test_no_worker_is_there_at_first(self, probe: Probe) -> None:
        assert probe() == {Part.WORKERS: Fault.ABSENT}

    def test_a_worker_that_announces_itself_is_there(self, heartbeat: RedisWorkerHeartbeat, probe: Probe) -> None:
        heartbeat.announce()
        assert probe() == {}

    def test_for_ten_seconds_from_the_last_time(
        self, heartbeat: RedisWorkerHeartbeat, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(worker_heartbeat, "TOLD_EVERY_SECONDS", 0.0)
        heartbeat.announce()
        redis.pexpire(PRESENT, 1_000)
        heartbeat.announce()
        assert 1_000 < int(redis.pttl(PRESENT)) <= 10_000

    def test_redis_is_told_before_the_last_time_is_over_and_not_each_time(
        self, heartbeat: RedisWorkerHeartbeat, redis: Redis
    ) -> None:
        heartbeat.announce()
        redis.delete(PRESENT)
        heartbeat.announce()
        assert not redis.exists(PRESENT)
        assert 2 * worker_heartbeat.TOLD_EVERY_SECONDS < worker_heartbeat.PRESENT_SECONDS

    def test_a_worker_that_was_silent_for_longer_is_absent(
        self, heartbeat: RedisWorkerHeartbeat, probe: Probe, redis: Redis
    ) -> None:
        heartbeat.announce()
        redis.pexpire(PRESENT, 1)
        assert eventually(lambda: probe() == {Part.WORKERS: Fault.ABSENT})
        RedisWorkerHeartbeat(redis, model_fault=lambda: None).announce()
        assert probe() == {}

    @pytest.mark.parametrize("fault", [Fault.BREAKER_OPEN, Fault.MISCONFIGURED])
    def test_a_fault_of_the_model_is_told_for_five_seconds(
        self, heartbeat: RedisWorkerHeartbeat, probe: Probe, redis: Redis, model_faults: list[Fault], fault: Fault
    ) -> None:
        model_faults.append(fault)
        heartbeat.announce()
        assert probe() == {Part.MODEL: fault}
        assert 0 < int(redis.pttl(MODEL_FAULT)) <= 5_000
        model_faults.clear()
        heartbeat.announce()
        redis.pexpire(MODEL_FAULT, 1)
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
        RedisWorkerHeartbeat(redis, model_fault=lambda: Fault.BREAKER_OPEN).announce()
        assert RedisProbe(redis)() == {Part.REDIS: Fault.UNREACHABLE}
