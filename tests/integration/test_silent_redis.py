"""A Redis that is silent, or takes no writes: noticed once per process, left alone for a second, found again."""

import time
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from adapters.redis.connection import ENOUGH_TIMEOUTS, connect, outage_of
from tests.proxy import FreezableProxy
from tests.redis_doubles import closed_port, dropped_packets

pytestmark = pytest.mark.real

PATIENCE_SECONDS = 30.0


@pytest.fixture
def proxy(clean_redis: str) -> Iterator[FreezableProxy]:
    proxy = FreezableProxy(clean_redis, default_port=6379)
    yield proxy
    proxy.close()


@pytest.fixture
def redis(proxy: FreezableProxy) -> Iterator[Redis]:
    with connect(proxy.url) as redis:
        yield redis


def fails(redis: Redis, times: int) -> None:
    for _ in range(times):
        with pytest.raises(RedisError):
            redis.get("a key")


def test_after_some_time_outs_callers_are_refused_without_asking_it(
    redis: Redis, proxy: FreezableProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.get("a key")
    proxy.freeze()
    fails(redis, ENOUGH_TIMEOUTS)
    monkeypatch.setattr(redis.connection_pool.connection_class, "send_packed_command", None)  # sending fails
    fails(redis, 100)


def test_one_to_which_no_connection_comes_about_is_left_alone_as_well() -> None:
    with dropped_packets() as url, connect(url) as redis:
        fails(redis, ENOUGH_TIMEOUTS)
        assert not outage_of(redis).may_try()


def test_one_time_out_alone_proves_nothing(redis: Redis, proxy: FreezableProxy) -> None:
    redis.get("a key")
    proxy.freeze()
    fails(redis, 1)
    proxy.thaw()
    redis.get("a key")


def test_each_refused_connection_is_noted() -> None:
    with closed_port() as url, connect(url) as redis:
        fails(redis, 5)
        assert outage_of(redis).errors == 5


def test_it_is_found_again_and_both_changes_are_logged_once(redis: Redis, proxy: FreezableProxy) -> None:
    redis.get("a key")
    with capture_logs() as logs:
        proxy.freeze()
        fails(redis, 20)
        proxy.thaw()
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                redis.get("a key")
                break
            except RedisError:
                assert time.monotonic() < until, "Redis did not come back"
                time.sleep(0.05)
    down, up = [line for line in logs if line["event"].startswith("dependency")]
    assert (down["event"], down["dependency"], down["error"]) == ("dependency_down", "redis", "TimeoutError")
    assert (up["event"], up["dependency"]) == ("dependency_up_again", "redis")


def test_a_silence_between_messages_of_a_channel_is_no_outage(redis: Redis) -> None:
    with capture_logs() as logs, redis.pubsub() as pubsub:
        pubsub.subscribe("a channel")
        for _ in range(2 * ENOUGH_TIMEOUTS):
            pubsub.get_message(timeout=0.01)
        redis.get("a key")
    assert logs == []


def test_a_redis_that_takes_no_writes_is_logged_once(redis: Redis, clean_redis: str) -> None:
    with Redis.from_url(clean_redis) as operator, capture_logs() as logs:
        operator.config_set("maxmemory", "1")
        try:
            for _ in range(3):
                with pytest.raises(RedisError):
                    redis.set("a key", "a value")
        finally:
            operator.config_set("maxmemory", "0")
    assert [(line["event"], line["dependency"]) for line in logs] == [("dependency_refuses", "redis")]
