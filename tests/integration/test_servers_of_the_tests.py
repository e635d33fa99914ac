"""The tests themselves touch nothing that is not theirs."""

import psycopg2
import pytest
from redis import Redis

from tests import servers


def test_a_redis_database_that_holds_anything_is_refused(clean_redis: str) -> None:
    with Redis.from_url(clean_redis) as redis:
        redis.delete(servers.OURS)
        redis.set("precious", b"1")
        with pytest.raises(RuntimeError, match="not empty"):
            servers.take_redis(clean_redis)
        assert redis.get("precious") == b"1"
    servers.flush_redis(clean_redis)


def test_one_that_an_earlier_run_left_behind_is_taken(clean_redis: str) -> None:
    with Redis.from_url(clean_redis) as redis:
        redis.set("rubbish", b"1")
        servers.take_redis(clean_redis)
        assert redis.get("rubbish") is None


def test_a_database_of_the_tests_is_their_own_and_goes_with_them(database_server: str) -> None:
    with servers.new_database(database_server) as url:
        assert url != database_server
        name = url.rpartition("/")[2].partition("?")[0]
        assert name in databases(database_server)
        servers.empty_all_tables(url)
    assert name not in databases(database_server)


def databases(database_server: str) -> set[str]:
    connection = psycopg2.connect(servers.libpq_url(database_server))
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            return {name for (name,) in cursor.fetchall()}
    finally:
        connection.close()
