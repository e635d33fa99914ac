"""Connections to Redis: one that was cut is noticed by one caller at most, one that rested by none."""

from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from adapters.redis import connection as connection_module
from adapters.redis.connection import connect
from tests.concurrency import together

pytestmark = pytest.mark.real

CONNECTIONS = 4


@pytest.fixture
def redis(clean_redis: str) -> Iterator[Redis]:
    with connect(clean_redis) as redis:
        yield redis


@pytest.fixture
def cut(redis: Redis, clean_redis: str) -> None:
    """Fills the pool, then ends all its connections."""
    taken = together([redis.connection_pool.get_connection] * CONNECTIONS)
    for connection in taken:
        redis.connection_pool.release(connection)
    with connect(clean_redis) as other:
        assert other.client_kill_filter(_type="normal", skipme=True) >= CONNECTIONS


@pytest.mark.usefixtures("cut")
def test_the_first_is_noticed_and_all_are_replaced(redis: Redis) -> None:
    noticed = 0
    for _ in range(3 * CONNECTIONS):
        try:
            redis.get("a key")
        except RedisError:
            noticed += 1
    assert noticed <= 1


@pytest.mark.usefixtures("cut")
def test_one_that_has_rested_is_replaced_without_anybody_noticing(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "DOUBT_AFTER_SECONDS", 0.0)
    for _ in range(2 * CONNECTIONS):
        redis.get("a key")


def test_after_a_refusal_the_connection_goes_on(redis: Redis) -> None:
    redis.set("a text", "no number")
    kept = redis.client_id()
    with pytest.raises(ResponseError):
        redis.incr("a text")
    assert redis.client_id() == kept
    assert redis.get("a text") == b"no number"
