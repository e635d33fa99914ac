"""The contract of the one-time passwords that were sent."""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

import pytest
from redis import Redis

from adapters.memory.doubles import SettableClock
from adapters.memory.stores import MemoryOtpStore
from adapters.redis.connection import connect
from adapters.redis.otp_store import RedisOtpStore
from application.ports.otp_store import OtpStore
from domain.accounts import Origin, PhoneNumber
from domain.errors import DependencyDown, OtpInvalid, OtpLocked, OtpResendTooSoon
from domain.one_time_password import REPEAT_GRACE, OtpPolicy, Purpose
from tests.concurrency import at_once
from tests.contract.world import shown
from tests.redis_doubles import DOWN, closed_port

ASHA = PhoneNumber("+919876543210")
BORIS = PhoneNumber("+4915112345678")
HERE, STRANGER = Origin("203.0.113.7", "A phone"), Origin("198.51.100.7", "A phone")
POLICY = OtpPolicy()
BOTH = (Purpose.LOGIN, Purpose.PASSWORD_RESET)
THREADS = 16


class PassTime(Protocol):
    """Makes everything in the store older."""

    def __call__(self, by: timedelta) -> None: ...


def refused(store: OtpStore, code: str, purposes: Collection[Purpose] = BOTH, phone: PhoneNumber = ASHA) -> int:
    """The attempts left after a code that is not accepted."""
    with pytest.raises(OtpInvalid) as refusal:
        store.redeem(phone, purposes, code, POLICY)
    return refusal.value.attempts_left


def lock(store: OtpStore, purpose: Purpose = Purpose.LOGIN) -> None:
    for left in reversed(range(POLICY.max_attempts)):
        assert refused(store, "000000", [purpose]) == left


class OtpStoreContract:
    @pytest.mark.parametrize("purpose", Purpose)
    def test_the_right_code_is_good_once(self, store: OtpStore, purpose: Purpose) -> None:
        store.put(ASHA, purpose, "123456", POLICY)
        assert store.redeem(ASHA, [purpose], "123456", POLICY) is purpose
        assert refused(store, "123456", [purpose]) == 0

    def test_a_code_that_was_never_sent(self, store: OtpStore) -> None:
        assert refused(store, "123456") == 0
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)

    @pytest.mark.parametrize(
        "code", ["000000", "", "1234567", "12345", "１２３４５６", " 123456", "\ud800", "\x00", "9" * 5_000], ids=shown
    )
    def test_any_other_code_is_wrong_and_counts(self, store: OtpStore, code: str) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        assert refused(store, code) == 4
        assert store.redeem(ASHA, BOTH, "123456", POLICY) is Purpose.LOGIN

    def test_after_the_last_attempt_even_the_right_code_is_void(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        lock(store)
        for _ in range(3):
            with pytest.raises(OtpLocked) as refusal:
                store.redeem(ASHA, [Purpose.LOGIN], "123456", POLICY)
            assert 1 <= refusal.value.retry_after <= 30

    def test_the_last_attempt_may_be_right(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        for _ in range(POLICY.max_attempts - 1):
            refused(store, "000000")
        assert store.redeem(ASHA, BOTH, "123456", POLICY) is Purpose.LOGIN

    def test_locked_says_to_ask_again_soon_when_a_new_code_can_be_had(
        self, store: OtpStore, pass_time: PassTime
    ) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        lock(store)
        pass_time(POLICY.resend_after)
        with pytest.raises(OtpLocked) as refusal:
            store.redeem(ASHA, [Purpose.LOGIN], "123456", POLICY)
        assert refusal.value.retry_after == 1
        store.put(ASHA, Purpose.LOGIN, "222222", POLICY)
        assert refused(store, "123456", [Purpose.LOGIN]) == 4
        assert store.redeem(ASHA, [Purpose.LOGIN], "222222", POLICY) is Purpose.LOGIN

    def test_a_code_expires(self, store: OtpStore, pass_time: PassTime) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        store.put(BORIS, Purpose.LOGIN, "654321", POLICY)
        pass_time(POLICY.lifetime - timedelta(seconds=10))
        assert store.redeem(BORIS, BOTH, "654321", POLICY) is Purpose.LOGIN
        pass_time(timedelta(seconds=11))
        assert refused(store, "123456") == 0

    def test_what_was_locked_expires_too(self, store: OtpStore, pass_time: PassTime) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        lock(store)
        pass_time(POLICY.lifetime)
        assert refused(store, "123456") == 0

    def test_attempts_do_not_lengthen_its_life(self, store: OtpStore, pass_time: PassTime) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        pass_time(timedelta(minutes=4))
        assert refused(store, "000000") == 4
        pass_time(timedelta(minutes=1))
        assert refused(store, "123456") == 0

    # Asking again

    def test_asking_again_too_soon_changes_nothing(self, store: OtpStore, pass_time: PassTime) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        refused(store, "000000")
        pass_time(timedelta(seconds=20))
        with pytest.raises(OtpResendTooSoon) as refusal:
            store.put(ASHA, Purpose.LOGIN, "222222", POLICY)
        assert 1 <= refusal.value.retry_after <= 10
        assert refused(store, "222222") == 3
        assert store.redeem(ASHA, BOTH, "123456", POLICY) is Purpose.LOGIN

    @pytest.mark.parametrize("order", [["123456", "222222"], ["222222", "123456"]])
    def test_a_new_code_leaves_the_one_before_it_valid_for_its_time(
        self, store: OtpStore, pass_time: PassTime, order: list[str]
    ) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        refused(store, "000000")
        pass_time(POLICY.resend_after)
        store.put(ASHA, Purpose.LOGIN, "222222", POLICY)
        for code in order:
            assert store.redeem(ASHA, BOTH, code, POLICY) is Purpose.LOGIN
        pass_time(POLICY.resend_after)
        store.put(ASHA, Purpose.LOGIN, "333333", POLICY)
        assert refused(store, "123456") == 4

    def test_it_does_not_live_longer(self, store: OtpStore, pass_time: PassTime) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        pass_time(POLICY.lifetime - timedelta(seconds=10))
        store.put(ASHA, Purpose.LOGIN, "222222", POLICY)
        pass_time(timedelta(seconds=11))
        assert refused(store, "123456") == 4
        assert store.redeem(ASHA, BOTH, "222222", POLICY) is Purpose.LOGIN

    # Strangers

    def test_what_a_stranger_tries_elsewhere_locks_nobody_out(self, store: OtpStore, pass_time: PassTime) -> None:
        for _ in range(10):
            with suppress(OtpLocked):
                store.put(ASHA, Purpose.LOGIN, "222222", POLICY, origin=STRANGER)
            for _ in range(3):
                with suppress(OtpInvalid, OtpLocked):
                    store.redeem(ASHA, BOTH, "000000", POLICY, origin=STRANGER)
            pass_time(POLICY.resend_after)
        with suppress(OtpLocked):
            store.put(ASHA, Purpose.LOGIN, "222222", POLICY, origin=STRANGER)
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY, origin=HERE)
        for _ in range(30):
            with suppress(OtpInvalid, OtpLocked):
                store.redeem(ASHA, BOTH, "000000", POLICY, origin=STRANGER)
        assert store.redeem(ASHA, BOTH, "123456", POLICY, origin=HERE) is Purpose.LOGIN

    def test_a_code_may_be_used_elsewhere(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY, origin=HERE)
        assert store.redeem(ASHA, BOTH, "123456", POLICY, origin=STRANGER) is Purpose.LOGIN

    def test_from_however_many_addresses_a_code_is_guessed_at_so_often(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY, origin=HERE)
        for last in range(POLICY.max_attempts):
            with pytest.raises(OtpInvalid):
                store.redeem(ASHA, BOTH, "000000", POLICY, origin=Origin(f"198.51.100.{last}", None))
        with pytest.raises(OtpLocked):
            store.redeem(ASHA, BOTH, "123456", POLICY, origin=Origin("198.51.100.99", None))

    def test_all_that_are_elsewhere_have_so_many_failures_a_day(self, store: OtpStore, pass_time: PassTime) -> None:
        for number in range(POLICY.max_failures):
            if number % POLICY.max_attempts == 0:
                pass_time(POLICY.resend_after)
                store.put(ASHA, Purpose.LOGIN, "123456", POLICY, origin=HERE)
            with pytest.raises(OtpInvalid):
                store.redeem(ASHA, BOTH, "000000", POLICY, origin=Origin(f"198.51.100.{number}", None))
        pass_time(POLICY.resend_after)
        store.put(ASHA, Purpose.LOGIN, "222222", POLICY, origin=HERE)
        with pytest.raises(OtpLocked):
            store.redeem(ASHA, BOTH, "222222", POLICY, origin=STRANGER)
        assert store.redeem(ASHA, BOTH, "222222", POLICY, origin=HERE) is Purpose.LOGIN

    # Sent twice, given back, ended

    def once(self, store: OtpStore, receipt: str, origin: Origin, code: str = "123456") -> str:
        return store.redeem_once(ASHA, BOTH, code, POLICY, receipt=receipt, origin=origin).receipt

    def test_the_same_code_from_the_same_client_gets_the_first_receipt(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY, origin=HERE)
        assert self.once(store, "first", HERE) == "first"
        assert self.once(store, "second", HERE) == "first"
        for other in (STRANGER, Origin(HERE.address, "another device"), Origin(None, None)):
            with pytest.raises(OtpInvalid):
                self.once(store, "third", other)

    def test_not_after_a_while(self, store: OtpStore, pass_time: PassTime) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY, origin=HERE)
        self.once(store, "first", HERE)
        pass_time(REPEAT_GRACE + timedelta(seconds=1))
        with pytest.raises(OtpInvalid):
            self.once(store, "second", HERE)

    def test_a_used_code_cannot_be_guessed_without_limit(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY, origin=HERE)
        self.once(store, "first", HERE)
        for _ in range(POLICY.max_attempts):
            with pytest.raises(OtpInvalid):
                self.once(store, "second", HERE, "000000")
        with pytest.raises(OtpInvalid):
            self.once(store, "second", HERE)

    def test_what_is_given_back_is_as_good_as_new(self, store: OtpStore, pass_time: PassTime) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        store.redeem(ASHA, BOTH, "123456", POLICY)
        store.give_back(ASHA, Purpose.LOGIN, "123456")
        pass_time(timedelta(minutes=1))
        assert store.redeem(ASHA, BOTH, "123456", POLICY) is Purpose.LOGIN
        store.give_back(ASHA, Purpose.LOGIN, "999999")
        assert refused(store, "123456") == 0

    def test_what_is_void_is_void_for_each_purpose(self, store: OtpStore) -> None:
        for purpose in BOTH:
            store.put(ASHA, purpose, "123456", POLICY)
        store.put(BORIS, Purpose.LOGIN, "123456", POLICY)
        store.void(ASHA)
        assert refused(store, "123456") == 0
        assert store.redeem(BORIS, BOTH, "123456", POLICY) is Purpose.LOGIN

    def test_what_is_void_is_not_repeated_either(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY, origin=HERE)
        self.once(store, "first", HERE)
        store.void(ASHA)
        with pytest.raises(OtpInvalid):
            self.once(store, "second", HERE)

    def test_using_a_code_does_not_shorten_the_wait_for_the_next(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        store.redeem(ASHA, BOTH, "123456", POLICY)
        with pytest.raises(OtpResendTooSoon):
            store.put(ASHA, Purpose.LOGIN, "222222", POLICY)

    def test_of_many_who_ask_at_once_one_code_is_kept(self, store: OtpStore) -> None:
        codes = [f"{number:06}" for number in range(THREADS)]
        outcomes = at_once(partial(store.put, ASHA, Purpose.LOGIN, code, POLICY) for code in codes)
        assert [type(outcome) for outcome in outcomes].count(OtpResendTooSoon) == THREADS - 1
        (kept,) = (code for code, outcome in zip(codes, outcomes, strict=True) if outcome is None)
        assert store.redeem(ASHA, BOTH, kept, POLICY) is Purpose.LOGIN

    # Numbers and purposes

    def test_a_code_is_of_one_number(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        assert refused(store, "123456", phone=BORIS) == 0
        store.put(BORIS, Purpose.LOGIN, "654321", POLICY)
        assert refused(store, "123456", phone=BORIS) == 4
        assert store.redeem(ASHA, BOTH, "123456", POLICY) is Purpose.LOGIN

    def test_a_code_is_of_one_purpose(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        assert refused(store, "123456", [Purpose.PASSWORD_RESET]) == 0
        store.put(ASHA, Purpose.PASSWORD_RESET, "654321", POLICY)
        assert refused(store, "123456", [Purpose.PASSWORD_RESET]) == 4
        assert store.redeem(ASHA, [Purpose.LOGIN], "123456", POLICY) is Purpose.LOGIN
        assert store.redeem(ASHA, [Purpose.PASSWORD_RESET], "654321", POLICY) is Purpose.PASSWORD_RESET

    @pytest.mark.parametrize("order", [BOTH, BOTH[::-1]])
    def test_where_several_purposes_will_do_it_says_which_it_was(
        self, store: OtpStore, order: tuple[Purpose, ...]
    ) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        store.put(ASHA, Purpose.PASSWORD_RESET, "654321", POLICY)
        assert store.redeem(ASHA, order, "654321", POLICY) is Purpose.PASSWORD_RESET
        assert store.redeem(ASHA, order, "123456", POLICY) is Purpose.LOGIN

    def test_a_wrong_code_counts_against_each_purpose_it_was_tried_for(self, store: OtpStore) -> None:
        for purpose in BOTH:
            store.put(ASHA, purpose, "123456", POLICY)
        for left in reversed(range(POLICY.max_attempts)):
            assert refused(store, "000000") == left
        for purposes in ([Purpose.LOGIN], [Purpose.PASSWORD_RESET], BOTH):
            with pytest.raises(OtpLocked):
                store.redeem(ASHA, purposes, "123456", POLICY)

    def test_one_purpose_locked_leaves_the_other_open(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        lock(store)
        store.put(ASHA, Purpose.PASSWORD_RESET, "654321", POLICY)
        assert refused(store, "123456") == 4
        assert store.redeem(ASHA, BOTH, "654321", POLICY) is Purpose.PASSWORD_RESET

    # Many at once

    def test_of_many_with_the_right_code_exactly_one_succeeds(self, store: OtpStore) -> None:
        policy = replace(POLICY, max_attempts=THREADS)
        store.put(ASHA, Purpose.LOGIN, "123456", policy)
        outcomes = at_once([lambda: store.redeem(ASHA, BOTH, "123456", policy)] * THREADS)
        assert outcomes.count(Purpose.LOGIN) == 1
        assert sum(isinstance(outcome, OtpInvalid) for outcome in outcomes) == THREADS - 1

    def test_however_many_guess_at_once_no_attempt_is_won(self, store: OtpStore) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        guesses = (f"{number:06}" for number in range(THREADS))
        outcomes = at_once(partial(store.redeem, ASHA, BOTH, guess, POLICY) for guess in guesses)
        left = sorted(outcome.attempts_left for outcome in outcomes if isinstance(outcome, OtpInvalid))
        assert left == [0, 1, 2, 3, 4]
        assert sum(isinstance(outcome, OtpLocked) for outcome in outcomes) == THREADS - POLICY.max_attempts


class TestMemoryOtpStore(OtpStoreContract):
    @pytest.fixture
    def clock(self) -> SettableClock:
        return SettableClock(datetime(2026, 1, 1, tzinfo=UTC))

    @pytest.fixture
    def store(self, clock: SettableClock) -> OtpStore:
        return MemoryOtpStore(clock)

    @pytest.fixture
    def pass_time(self, clock: SettableClock) -> PassTime:
        return clock.advance


class TestRedisOtpStore(OtpStoreContract):
    @pytest.fixture
    def redis(self, clean_redis: str) -> Iterator[Redis]:
        with connect(clean_redis) as redis:
            yield redis

    @pytest.fixture
    def store(self, redis: Redis) -> OtpStore:
        return RedisOtpStore(redis, key=b"k" * 32)

    @pytest.fixture
    def pass_time(self, redis: Redis) -> PassTime:
        def shorten_every_life(by: timedelta) -> None:
            for key in list(redis.scan_iter("otp:*")):
                redis.pexpire(key, int(redis.pttl(key)) - int(by.total_seconds() * 1000))

        return shorten_every_life

    def test_neither_codes_nor_numbers_can_be_read(self, store: OtpStore, redis: Redis) -> None:
        for purpose in BOTH:
            store.put(ASHA, purpose, "123456", POLICY)
        keys = list(redis.scan_iter("otp:*"))
        assert len(keys) == 4
        dump = repr(keys) + "".join(repr(redis.hgetall(key)) for key in redis.scan_iter("otp:code:*"))
        for secret in ("123456", "9876543210", "login", "password"):
            assert secret not in dump

    def test_the_same_code_of_two_numbers_looks_different(self, store: OtpStore, redis: Redis) -> None:
        for phone in (ASHA, BORIS):
            for purpose in BOTH:
                store.put(phone, purpose, "123456", POLICY)
        digests = {redis.hget(key, "digest") for key in redis.scan_iter("otp:code:*")}
        assert len(digests) == 4

    def test_who_has_another_key_knows_nothing(self, store: OtpStore, redis: Redis) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        assert refused(RedisOtpStore(redis, key=b"x" * 32), "123456") == 0

    def test_everything_in_it_expires(self, store: OtpStore, redis: Redis) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        refused(store, "000000")
        assert all(0 < int(redis.pttl(key)) <= 300_000 for key in redis.scan_iter("otp:*"))

    def test_it_lives_through_a_flush(self, store: OtpStore, redis: Redis) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        redis.flushdb()
        redis.script_flush()
        assert refused(store, "123456") == 0
        store.put(ASHA, Purpose.LOGIN, "222222", POLICY)
        assert store.redeem(ASHA, BOTH, "222222", POLICY) is Purpose.LOGIN

    def test_a_key_of_another_kind_in_its_place_fails_closed(self, store: OtpStore, redis: Redis) -> None:
        store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        for key in list(redis.scan_iter("otp:code:*")):
            redis.set(key, b"something else")
        with pytest.raises(DependencyDown):
            store.redeem(ASHA, BOTH, "123456", POLICY)


@pytest.mark.parametrize("down", DOWN)
def test_without_redis_codes_fail_closed(down: Callable[[], AbstractContextManager[str]]) -> None:
    with down() as url, connect(url) as redis:
        store = RedisOtpStore(redis, key=b"k" * 32)
        with pytest.raises(DependencyDown) as refusal:
            store.put(ASHA, Purpose.LOGIN, "123456", POLICY)
        assert refusal.value.dependency == "otp_store"
        with pytest.raises(DependencyDown):
            store.redeem(ASHA, BOTH, "123456", POLICY)


def test_the_refusal_names_no_code_and_no_number() -> None:
    with closed_port() as url, connect(url) as redis, pytest.raises(DependencyDown) as refusal:
        RedisOtpStore(redis, key=b"k" * 32).put(ASHA, Purpose.LOGIN, "123456", POLICY)
    told = f"{refusal.value!r} {refusal.value.facts()} {refusal.value.__cause__!r}"
    assert "123456" not in told
    assert "9876543210" not in told
