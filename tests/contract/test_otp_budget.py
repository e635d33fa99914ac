"""The contract of what bounds codes: wrong ones a day, codes taken back, and how many are sent."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv6Network
from itertools import islice
from typing import Protocol

import pytest
from redis import Redis
from structlog.testing import capture_logs

from adapters.memory.doubles import SettableClock
from adapters.memory.stores import MemoryOtpBudget, MemoryOtpStore
from adapters.redis.connection import connect
from adapters.redis.otp_budget import RedisOtpBudget
from adapters.redis.otp_store import RedisOtpStore
from application.ports.otp_budget import OtpBudget
from application.ports.otp_store import OtpStore
from domain.accounts import PhoneNumber
from domain.errors import DependencyDown, OtpInvalid, OtpLocked, OtpResendTooSoon, OtpSendsExhausted
from domain.one_time_password import OtpPolicy, Purpose, SendCaps
from tests.concurrency import at_once
from tests.redis_doubles import DOWN

ASHA = PhoneNumber("+919876543210")
BESIDE_HER = PhoneNumber("+919876543987")
BORIS = PhoneNumber("+4915112345678")
POLICY = OtpPolicy()
BOTH = (Purpose.LOGIN, Purpose.PASSWORD_RESET)
HERE, THERE = "203.0.113.7", "203.0.113.8"
DAY = timedelta(days=1)


class PassTime(Protocol):
    """Makes everything in the store older."""

    def __call__(self, by: timedelta) -> None: ...


class Stores:
    """A clock and a Redis, one of which a store needs."""

    @pytest.fixture
    def clock(self) -> SettableClock:
        return SettableClock(datetime(2026, 1, 1, tzinfo=UTC))

    @pytest.fixture
    def redis(self, clean_redis: str) -> Iterator[Redis]:
        with connect(clean_redis) as redis:
            yield redis


def older(redis: Redis) -> PassTime:
    def shorten_every_life(by: timedelta) -> None:
        for key in list(redis.scan_iter("otp*")):
            redis.pexpire(key, int(redis.pttl(key)) - int(by.total_seconds() * 1000))

    return shorten_every_life


def guess_wrong(store: OtpStore, times: int, pass_time: PassTime, purpose: Purpose = Purpose.LOGIN) -> None:
    """Wrong codes, with a new code asked for whenever the last one is void."""
    for number in range(times):
        if number % POLICY.max_attempts == 0:
            pass_time(timedelta(seconds=31))
            store.put(ASHA, purpose, "123456", POLICY)
        with pytest.raises(OtpInvalid):
            store.redeem(ASHA, [purpose], "000000", POLICY)


class BudgetContract(Stores):
    def test_twenty_wrong_codes_lock_the_number_whatever_is_sent_in_between(
        self, store: OtpStore, pass_time: PassTime
    ) -> None:
        guess_wrong(store, 15, pass_time)
        guess_wrong(store, 5, pass_time, Purpose.PASSWORD_RESET)
        pass_time(timedelta(minutes=1))
        for purposes in (BOTH, [Purpose.LOGIN], [Purpose.PASSWORD_RESET]):
            with pytest.raises(OtpLocked) as locked:
                store.redeem(ASHA, purposes, "123456", POLICY)
            assert 80_000 < locked.value.retry_after <= 86_400
        with pytest.raises(OtpLocked):
            store.put(ASHA, Purpose.LOGIN, "123456", POLICY)

    def test_nineteen_do_not(self, store: OtpStore, pass_time: PassTime) -> None:
        guess_wrong(store, 19, pass_time)
        assert store.redeem(ASHA, BOTH, "123456", POLICY) is Purpose.LOGIN

    def test_a_right_code_gives_none_of_them_back(self, store: OtpStore, pass_time: PassTime) -> None:
        guess_wrong(store, 19, pass_time)
        store.redeem(ASHA, BOTH, "123456", POLICY)
        guess_wrong(store, 1, pass_time)
        with pytest.raises(OtpLocked):
            store.redeem(ASHA, BOTH, "123456", POLICY)

    def test_after_a_day_they_are_forgotten(self, store: OtpStore, pass_time: PassTime) -> None:
        guess_wrong(store, 20, pass_time)
        pass_time(DAY)
        store.put(ASHA, Purpose.LOGIN, "222222", POLICY)
        assert store.redeem(ASHA, BOTH, "222222", POLICY) is Purpose.LOGIN

    def test_other_numbers_are_not_locked(self, store: OtpStore, pass_time: PassTime) -> None:
        guess_wrong(store, 20, pass_time)
        store.put(BORIS, Purpose.LOGIN, "654321", POLICY)
        assert store.redeem(BORIS, BOTH, "654321", POLICY) is Purpose.LOGIN

    def test_where_there_is_nothing_to_guess_nothing_is_counted(self, store: OtpStore) -> None:
        for _ in range(30):
            with pytest.raises(OtpInvalid):
                store.redeem(ASHA, BOTH, "000000", POLICY)
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        assert store.redeem(ASHA, BOTH, "123456", POLICY) is Purpose.LOGIN

    def test_a_wrong_code_for_two_purposes_counts_once(self, store: OtpStore, pass_time: PassTime) -> None:
        for number in range(20):
            if number % 5 == 0:
                pass_time(timedelta(seconds=31))
                for purpose in BOTH:
                    store.put(ASHA, purpose, "123456", POLICY)
            with pytest.raises(OtpInvalid):
                store.redeem(ASHA, BOTH, "000000", POLICY)
        with pytest.raises(OtpLocked):
            store.redeem(ASHA, BOTH, "123456", POLICY)

    # Codes that were never sent

    def test_what_is_withdrawn_is_no_code_and_the_next_need_not_wait(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        store.withdraw(ASHA, Purpose.LOGIN)
        with pytest.raises(OtpInvalid):
            store.redeem(ASHA, BOTH, "123456", POLICY)
        store.put(ASHA, Purpose.LOGIN, "222222", POLICY)
        assert store.redeem(ASHA, BOTH, "222222", POLICY) is Purpose.LOGIN

    def test_the_code_before_it_is_as_good_as_it_was(self, store: OtpStore, pass_time: PassTime) -> None:
        store.put(ASHA, Purpose.LOGIN, "111111", POLICY)
        with pytest.raises(OtpInvalid):
            store.redeem(ASHA, BOTH, "000000", POLICY)
        pass_time(timedelta(seconds=31))
        store.put(ASHA, Purpose.LOGIN, "222222", POLICY)
        store.withdraw(ASHA, Purpose.LOGIN)
        with pytest.raises(OtpInvalid) as refused:
            store.redeem(ASHA, BOTH, "222222", POLICY)
        assert refused.value.attempts_left == 3
        assert store.redeem(ASHA, BOTH, "111111", POLICY) is Purpose.LOGIN

    def test_the_code_before_it_does_not_live_longer(self, store: OtpStore, pass_time: PassTime) -> None:
        store.put(ASHA, Purpose.LOGIN, "111111", POLICY)
        pass_time(timedelta(minutes=4))
        store.put(ASHA, Purpose.LOGIN, "222222", POLICY)
        store.withdraw(ASHA, Purpose.LOGIN)
        pass_time(timedelta(minutes=1, seconds=1))
        with pytest.raises(OtpInvalid):
            store.redeem(ASHA, BOTH, "111111", POLICY)

    def test_a_code_that_was_used_does_not_come_back(self, store: OtpStore, pass_time: PassTime) -> None:
        store.put(ASHA, Purpose.LOGIN, "111111", POLICY)
        store.redeem(ASHA, BOTH, "111111", POLICY)
        pass_time(timedelta(seconds=31))
        store.put(ASHA, Purpose.LOGIN, "222222", POLICY)
        store.withdraw(ASHA, Purpose.LOGIN)
        with pytest.raises(OtpInvalid):
            store.redeem(ASHA, BOTH, "111111", POLICY)

    def test_the_last_one_alone_is_withdrawn(self, store: OtpStore, pass_time: PassTime) -> None:
        for code in ("111111", "222222", "333333"):
            store.put(ASHA, Purpose.LOGIN, code, POLICY)
            pass_time(timedelta(seconds=31))
        store.withdraw(ASHA, Purpose.LOGIN)
        with pytest.raises(OtpInvalid):
            store.redeem(ASHA, BOTH, "333333", POLICY)
        for code in ("111111", "222222"):
            assert store.redeem(ASHA, BOTH, code, POLICY) is Purpose.LOGIN

    def test_the_other_purpose_keeps_its_code(self, store: OtpStore) -> None:
        for purpose in BOTH:
            store.put(ASHA, purpose, "123456", POLICY)
        store.withdraw(ASHA, Purpose.LOGIN)
        assert store.redeem(ASHA, BOTH, "123456", POLICY) is Purpose.PASSWORD_RESET
        with pytest.raises(OtpResendTooSoon):
            store.put(ASHA, Purpose.PASSWORD_RESET, "123456", POLICY)


class TestMemoryBudget(BudgetContract):
    @pytest.fixture
    def store(self, clock: SettableClock) -> OtpStore:
        return MemoryOtpStore(clock)

    @pytest.fixture
    def pass_time(self, clock: SettableClock) -> PassTime:
        return clock.advance


class TestRedisBudget(BudgetContract):
    @pytest.fixture
    def store(self, redis: Redis) -> OtpStore:
        return RedisOtpStore(redis, key=b"k" * 32)

    @pytest.fixture
    def pass_time(self, redis: Redis) -> PassTime:
        return older(redis)

    def test_failures_are_forgotten_and_name_no_number(
        self, store: OtpStore, redis: Redis, pass_time: PassTime
    ) -> None:
        guess_wrong(store, 1, pass_time)
        [key] = redis.scan_iter("otp-failures:*")
        assert 0 < int(redis.ttl(key)) <= 86_400
        assert b"9876543210" not in key


ALL_CAPS = SendCaps(per_number=2, per_address=3, per_prefix=4, total=5)


def refused(sends: OtpBudget, phone: PhoneNumber, address: str | None, caps: SendCaps = ALL_CAPS) -> int:
    with pytest.raises(OtpSendsExhausted) as refusal:
        sends.take(phone, address, caps)
    return refusal.value.retry_after


class SendsContract(Stores):
    def test_without_caps_everything_is_sent(self, sends: OtpBudget) -> None:
        for _ in range(50):
            sends.take(ASHA, HERE, SendCaps(per_number=None))

    def test_a_number_gets_so_many(self, sends: OtpBudget) -> None:
        for _ in range(2):
            sends.take(ASHA, HERE, ALL_CAPS)
        assert 80_000 < refused(sends, ASHA, HERE) <= 86_400
        sends.take(BORIS, HERE, ALL_CAPS)

    def test_an_address_sends_so_many(self, sends: OtpBudget) -> None:
        for last in range(3):
            sends.take(PhoneNumber(f"+4915112{last}45678"), HERE, ALL_CAPS)
        refused(sends, ASHA, HERE)
        sends.take(ASHA, THERE, ALL_CAPS)

    @pytest.mark.parametrize(("prefix", "times"), [(64, 1), (56, 2), (48, 4)])
    def test_a_network_of_ipv6_sends_so_many_however_many_addresses_it_has(
        self, sends: OtpBudget, prefix: int, times: int
    ) -> None:
        network = IPv6Network(f"2001:db8:5::/{prefix}")
        apart = min(64, prefix + 8)
        inside = [f"{one.network_address}/64" for one in islice(network.subnets(new_prefix=apart), 60)]
        caps, sent = SendCaps(per_number=None, per_address=3, total=1_000), 0
        for number in range(60):
            with suppress(OtpSendsExhausted):
                sends.take(PhoneNumber(f"+4915{number:02}2345678"), inside[number % len(inside)], caps)
                sent += 1
        assert sent == 3 * times
        sends.take(ASHA, "2001:db8:6::/64", caps)

    def test_one_block_of_ipv4_cannot_spend_it_all(self, sends: OtpBudget) -> None:
        caps, sent = SendCaps(per_number=None, per_address=1, total=1_000), 0
        for last in range(100):
            with suppress(OtpSendsExhausted):
                sends.take(PhoneNumber(f"+4915{last:02}2345678"), f"203.0.113.{last}", caps)
                sent += 1
        assert sent == 16

    def test_a_stranger_does_not_use_up_what_a_known_address_may_send(self, sends: OtpBudget) -> None:
        caps = SendCaps(per_number=3, per_number_and_address=2)
        sends.take(ASHA, THERE, caps)
        sends.take(ASHA, THERE, caps)
        refused(sends, ASHA, THERE, caps)
        sends.take(ASHA, "198.51.100.9", caps)
        refused(sends, ASHA, "198.51.100.10", caps)
        for _ in range(3):
            sends.take(ASHA, HERE, caps, known=True)
        with pytest.raises(OtpSendsExhausted):
            sends.take(ASHA, HERE, caps, known=True)

    def test_numbers_of_one_block_get_so_many(self, sends: OtpBudget) -> None:
        for last in range(4):
            sends.take(PhoneNumber(f"+91987654300{last}"), f"203.0.113.{last}", ALL_CAPS)
        refused(sends, PhoneNumber("+919876543999"), THERE)
        sends.take(PhoneNumber("+919876544000"), THERE, ALL_CAPS)

    def test_so_many_are_sent_in_all(self, sends: OtpBudget) -> None:
        for last in range(5):
            sends.take(PhoneNumber(f"+49{last}5112345678"), f"203.0.113.{last}", ALL_CAPS)
        refused(sends, ASHA, HERE)

    def test_what_is_refused_is_counted_nowhere(self, sends: OtpBudget) -> None:
        for _ in range(2):
            sends.take(ASHA, HERE, ALL_CAPS)
        for _ in range(10):
            refused(sends, ASHA, HERE)
        sends.take(BESIDE_HER, HERE, ALL_CAPS)

    def test_without_an_address_the_others_count(self, sends: OtpBudget) -> None:
        for _ in range(2):
            sends.take(ASHA, None, ALL_CAPS)
        refused(sends, ASHA, None)

    def test_a_day_later_they_are_forgotten(self, sends: OtpBudget, pass_time: PassTime) -> None:
        for _ in range(2):
            sends.take(ASHA, HERE, ALL_CAPS)
        pass_time(DAY)
        sends.take(ASHA, HERE, ALL_CAPS)

    def test_what_was_not_sent_is_given_back(self, sends: OtpBudget) -> None:
        for _ in range(20):
            sends.take(ASHA, HERE, ALL_CAPS)
            sends.give_back(ASHA, HERE, ALL_CAPS)

    def test_however_many_ask_at_once_no_more_are_sent(self, sends: OtpBudget) -> None:
        outcomes = at_once([partial(sends.take, ASHA, HERE, ALL_CAPS)] * 16)
        assert outcomes.count(None) == 2


class TestMemorySends(SendsContract):
    @pytest.fixture
    def sends(self, clock: SettableClock) -> OtpBudget:
        return MemoryOtpBudget(clock)

    @pytest.fixture
    def pass_time(self, clock: SettableClock) -> PassTime:
        return clock.advance


class TestRedisSends(SendsContract):
    @pytest.fixture
    def sends(self, redis: Redis) -> OtpBudget:
        return RedisOtpBudget(redis, key=b"k" * 32)

    @pytest.fixture
    def pass_time(self, redis: Redis) -> PassTime:
        return older(redis)

    def test_who_it_is_about_cannot_be_read(self, sends: OtpBudget, redis: Redis) -> None:
        sends.take(ASHA, HERE, ALL_CAPS)
        keys = list(redis.scan_iter("otp-sends:*"))
        assert len(keys) == 5
        assert not any(secret in repr(keys) for secret in ("9876543", HERE))
        assert all(0 < int(redis.ttl(key)) <= 86_400 for key in keys)

    def test_the_spend_ceiling_is_loud(self, sends: OtpBudget) -> None:
        caps = SendCaps(total=1)
        sends.take(ASHA, HERE, caps)
        with capture_logs() as lines:
            refused(sends, BORIS, THERE, caps)
        [line] = lines
        assert (line["event"], line["log_level"]) == ("otp_spend_ceiling_reached", "critical")
        assert not any(secret in repr(line) for secret in (BORIS.e164, THERE))


@pytest.mark.parametrize("down", DOWN)
def test_without_redis_nothing_is_sent(down: Callable[[], AbstractContextManager[str]]) -> None:
    with down() as url, connect(url) as redis:
        sends = RedisOtpBudget(redis, key=b"k" * 32)
        with pytest.raises(DependencyDown):
            sends.take(ASHA, HERE, ALL_CAPS)
        sends.give_back(ASHA, HERE, ALL_CAPS)
        RedisOtpStore(redis, key=b"k" * 32).withdraw(ASHA, Purpose.LOGIN)
