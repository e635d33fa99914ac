"""The contract of the rate limiter."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from time import perf_counter

import pytest
from redis import Redis

from adapters.memory.doubles import SettableClock
from adapters.memory.stores import MemoryRateLimiter
from adapters.redis.connection import connect
from adapters.redis.rate_limiter import RedisRateLimiter
from application.ports.rate_limiter import Hit, Limit, RateLimiter
from tests.concurrency import together
from tests.contract.world import THREADS
from tests.redis_doubles import DOWN, black_hole

# A day: no window ends while a test runs, but at midnight.
THREE = Limit("three", 3, timedelta(days=1))
FIVE = Limit("five", 5, timedelta(days=1))


class RateLimiterContract:
    def test_it_counts_up_to_the_limit_and_beyond(self, limiter: RateLimiter) -> None:
        charged = [limiter([Hit(THREE, "asha")])[0] for _ in range(5)]
        assert [one.used for one in charged] == [1, 2, 3, 4, 5]
        assert [one.remaining for one in charged] == [2, 1, 0, 0, 0]
        assert [one.exceeded for one in charged] == [False, False, False, True, True]
        assert all(1 <= one.resets_in <= 86_400 for one in charged)

    def test_each_subject_has_its_own(self, limiter: RateLimiter) -> None:
        for _ in range(4):
            limiter([Hit(THREE, "asha")])
        for subject in ("ravi", "", "Asha", "asha\x00", "\ud800", "ß" * 5_000):
            assert limiter([Hit(THREE, subject)])[0].used == 1

    def test_each_limit_counts_for_itself(self, limiter: RateLimiter) -> None:
        for number in (1, 2):
            first, second = limiter([Hit(THREE, "asha"), Hit(FIVE, "asha")])
            assert (first.limit, first.used) == (THREE, number)
            assert (second.limit, second.used) == (FIVE, number)

    def test_no_charge_no_answer(self, limiter: RateLimiter) -> None:
        assert list(limiter([])) == []

    def test_what_is_given_back_was_not_used(self, limiter: RateLimiter) -> None:
        charge = [Hit(THREE, "asha"), Hit(FIVE, "asha")]
        for _ in range(9):
            assert [one.used for one in limiter(charge)] == [1, 1]
            limiter.give_back(charge)
        limiter([Hit(THREE, "asha")])
        assert [one.used for one in limiter(charge)] == [2, 1]

    def test_of_many_at_once_none_is_lost(self, limiter: RateLimiter) -> None:
        charge = [Hit(THREE, "asha"), Hit(FIVE, "asha")]
        used = [charged[0].used for charged in together([partial(limiter, charge)] * THREADS)]
        assert sorted(used) == list(range(1, THREADS + 1))


class TestMemoryRateLimiter(RateLimiterContract):
    @pytest.fixture
    def clock(self) -> SettableClock:
        return SettableClock(datetime(2026, 1, 1, 12, tzinfo=UTC))

    @pytest.fixture
    def limiter(self, clock: SettableClock) -> RateLimiter:
        return MemoryRateLimiter(clock)

    def test_with_the_window_the_count_ends(self, limiter: RateLimiter, clock: SettableClock) -> None:
        limiter([Hit(THREE, "asha")])
        [charged] = limiter([Hit(THREE, "asha")])
        assert (charged.used, charged.resets_in) == (2, 12 * 3600)
        clock.advance(timedelta(hours=12))
        [charged] = limiter([Hit(THREE, "asha")])
        assert (charged.used, charged.resets_in) == (1, 86_400)


class TestRedisRateLimiter(RateLimiterContract):
    @pytest.fixture
    def redis(self, clean_redis: str) -> Iterator[Redis]:
        with connect(clean_redis) as redis:
            yield redis

    @pytest.fixture
    def limiter(self, redis: Redis) -> RateLimiter:
        return RedisRateLimiter(redis, key=b"k" * 32)

    def test_two_processes_count_together(self, limiter: RateLimiter, redis: Redis) -> None:
        other = RedisRateLimiter(redis, key=b"k" * 32)
        limiter([Hit(THREE, "asha")])
        assert other([Hit(THREE, "asha")])[0].used == 2

    def test_it_goes_with_the_window(self, redis: Redis) -> None:
        limiter = RedisRateLimiter(redis, key=b"k" * 32)
        seconds = Limit("a second", 1, timedelta(seconds=1))
        seen = set()
        began = perf_counter()
        while perf_counter() - began < 1.2:
            seen.add(limiter([Hit(seconds, "asha")])[0].used == 1)
        assert seen == {True, False}

    def test_who_it_is_about_cannot_be_read_and_everything_expires(self, limiter: RateLimiter, redis: Redis) -> None:
        limiter([Hit(THREE, "+919876543210"), Hit(FIVE, "203.0.113.7")])
        keys = list(redis.scan_iter("limits*"))
        assert len(keys) == 2
        assert not any(secret in repr(keys) for secret in ("9876543210", "203.0.113.7"))
        assert all(0 < int(redis.ttl(key)) <= 86_400 for key in keys)

    def test_it_lives_through_a_restart_of_redis(self, limiter: RateLimiter, redis: Redis) -> None:
        both = [Hit(THREE, "asha"), Hit(FIVE, "asha")]
        for _ in range(2):
            limiter(both)
            redis.flushdb()
            redis.script_flush()
            assert [charged.used for charged in limiter(both)] == [1, 1]
            assert limiter([Hit(THREE, "asha")])[0].used == 2

    def test_of_a_large_limit_a_process_takes_a_share_at_once(self, limiter: RateLimiter, redis: Redis) -> None:
        large = Hit(Limit("large", 1_000, timedelta(days=1)), "asha")
        before = int(redis.info("stats")["total_reads_processed"])
        assert [limiter([large])[0].used for _ in range(100)] == list(range(1, 101))
        assert int(redis.info("stats")["total_reads_processed"]) - before <= 13
        other = RedisRateLimiter(redis, key=b"k" * 32)
        assert other([large])[0].used == 101
        assert limiter([large])[0].used == 111

    def test_every_share_is_given_out_once(self, limiter: RateLimiter, redis: Redis) -> None:
        large = Limit("large", 400, timedelta(days=1))
        others = [limiter, RedisRateLimiter(redis, key=b"k" * 32), RedisRateLimiter(redis, key=b"k" * 32)]

        def ask(one: RateLimiter) -> int:
            return sum(not one([Hit(large, "asha"), Hit(FIVE, "x")])[0].exceeded for _ in range(100))

        let_in = sum(together(partial(ask, others[number % 3]) for number in range(THREADS)))
        assert let_in == 400

    def test_it_is_one_question_to_redis(self, limiter: RateLimiter, redis: Redis) -> None:
        both = [Hit(THREE, "asha"), Hit(FIVE, "asha")]
        limiter(both)
        before = int(redis.info("stats")["total_reads_processed"])
        for _ in range(5):
            limiter(both)
            limiter.give_back(both)
        # The questions themselves, and one for the figures.
        assert int(redis.info("stats")["total_reads_processed"]) - before <= 12


@pytest.mark.parametrize("down", DOWN)
def test_without_redis_each_process_counts_for_itself(down: Callable[[], AbstractContextManager[str]]) -> None:
    with down() as url, connect(url) as redis:
        limiter = RedisRateLimiter(redis, key=b"k" * 32)
        assert [limiter([Hit(THREE, "asha")])[0].used for _ in range(4)] == [1, 2, 3, 4]
        assert [charged.used for charged in limiter([Hit(THREE, "asha"), Hit(FIVE, "asha")])] == [5, 1]


def test_a_redis_that_hangs_is_not_waited_for_each_time() -> None:
    with black_hole() as url, connect(url) as redis:
        limiter = RedisRateLimiter(redis, key=b"k" * 32)
        began = perf_counter()
        for _ in range(50):
            limiter([Hit(THREE, "asha")])
        assert perf_counter() - began < 1.5
