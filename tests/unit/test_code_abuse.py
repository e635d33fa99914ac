"""Limits on one-time passwords and passwords, for known and unknown numbers alike."""

from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from adapters.memory.doubles import PlainPasswordHasher
from application.auth.logout import Scope
from application.auth.rate_limits import LimitRequests, RequestLimits
from application.ports.audit import AuditEventType
from application.ports.otp_delivery import NotDelivered, OtpDelivery
from application.ports.rate_limiter import Limit
from domain.accounts import Origin, PhoneNumber, Principal
from domain.errors import (
    CredentialsInvalid,
    DependencyDown,
    InvalidValue,
    OtpInvalid,
    OtpLocked,
    OtpResendTooSoon,
    OtpSendsExhausted,
    RateLimited,
)
from domain.languages import Language
from domain.one_time_password import FixedCode, Purpose, SendCaps
from tests.builders import ASHA, NOW, RAVI, House

WRONG = "000000"
HERE = Origin("203.0.113.7", "A phone")
PASSWORD = "the password of Asha"


def request(house: House, phone: str = ASHA, purpose: Purpose = Purpose.LOGIN, origin: Origin = HERE):
    return house.use_cases.auth.request_code(mobile_number=phone, purpose=purpose, origin=origin)


def verify(house: House, code: str, phone: str = ASHA):
    return house.use_cases.auth.verify_code(mobile_number=phone, code=code, origin=HERE)


def happened(house: House) -> list[AuditEventType]:
    return [event.what for event in house.database.tables.audit_events.values()]


def guess(house: House, times: int) -> None:
    for number in range(times):
        if number % 5 == 0:
            house.code(ASHA)
        with pytest.raises(OtpInvalid):
            verify(house, WRONG)


def test_twenty_wrong_codes_a_day_and_no_new_code_helps():
    house = House()
    guess(house, 20)
    house.clock.advance(timedelta(minutes=1))
    with pytest.raises(OtpLocked):
        request(house)
    with pytest.raises(OtpLocked) as locked:
        verify(house, house.outbox.last_code())
    assert locked.value.retry_after > 80_000
    assert AuditEventType.CODE_LOCKED in happened(house)
    house.clock.advance(timedelta(days=1))
    verify(house, house.code(ASHA))


def test_a_known_and_an_unknown_number_are_locked_alike():
    house = House()
    house.log_in(ASHA)
    house.clock.advance(timedelta(minutes=1))

    def refusals(phone: str) -> list[dict[str, object]]:
        house.code(phone)
        told = []
        for _ in range(6):
            with pytest.raises((OtpInvalid, OtpLocked)) as refused:
                verify(house, WRONG, phone)
            told.append(refused.value.facts())
        return told

    assert refusals(ASHA) == refusals(RAVI)


# --- What is sent ---


def test_caps_are_counted_for_number_block_and_address():
    house = House(otp_caps=SendCaps(per_number=2, per_prefix=3, per_address=4, total=5))
    for _ in range(2):
        request(house)
        house.clock.advance(timedelta(minutes=1))
    with pytest.raises(OtpSendsExhausted):
        request(house)
    request(house, RAVI)
    with pytest.raises(OtpSendsExhausted):  # of the block of both
        request(house, "+919876543212")
    request(house, "+4915112345678")
    with pytest.raises(OtpSendsExhausted):  # from here
        request(house, "+4915212345678")
    request(house, "+4915212345678", origin=Origin("203.0.113.8", None))
    with pytest.raises(OtpSendsExhausted):  # in all
        request(house, "+12025550123", origin=Origin("203.0.113.9", None))
    assert len(house.outbox.sent) == 5


def test_a_code_that_a_cap_refused_changes_nothing():
    house = House(otp_caps=SendCaps(per_number=1))
    request(house)
    house.clock.advance(timedelta(minutes=1))
    with pytest.raises(OtpSendsExhausted):
        request(house)
    with pytest.raises(OtpSendsExhausted):  # rather than "too soon"
        request(house)
    verify(house, house.outbox.last_code())
    assert AuditEventType.CODE_NOT_SENT in happened(house)


class Broken:
    """An OtpDelivery whose provider is down; ``surely``: it is certain that nothing was sent."""

    def __init__(self, *, surely: bool) -> None:
        self._surely = surely

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose, language: Language) -> str | None:
        raise NotDelivered(surely=self._surely)


def with_delivery(house: House, delivery: OtpDelivery):
    request_code = house.use_cases.auth.request_code
    send_code = type(request_code.send_code)(
        otp_store=request_code.otp_store,
        otp_budget=request_code.send_code.otp_budget,
        otp_delivery=delivery,
        policy=request_code.policy,
        caps=SendCaps(per_number=3),
    )
    fields = {name: getattr(request_code, name) for name in type(request_code).__dataclass_fields__}
    return type(request_code)(**{**fields, "send_code": send_code})


def test_a_send_that_fails_burns_neither_code_nor_cool_down_nor_cap():
    house = House()
    request(house)
    code = house.outbox.last_code()
    house.clock.advance(timedelta(minutes=1))
    broken = with_delivery(house, Broken(surely=True))
    for _ in range(10):
        with pytest.raises(DependencyDown) as failure:
            broken(mobile_number=ASHA, purpose=Purpose.LOGIN, origin=HERE)
        assert (failure.value.dependency, failure.value.retry_after) == ("otp_delivery", 5)
    mended = with_delivery(house, house.outbox)
    verify(house, code)
    mended(mobile_number=ASHA, purpose=Purpose.LOGIN, origin=HERE)
    with pytest.raises(OtpResendTooSoon):
        mended(mobile_number=ASHA, purpose=Purpose.LOGIN, origin=HERE)


def test_what_may_have_been_sent_counts_though_nothing_else_is_burnt():
    house = House()
    request(house)
    code = house.outbox.last_code()
    house.clock.advance(timedelta(minutes=1))
    silent = with_delivery(house, Broken(surely=False))
    for _ in range(2):  # and one that was sent
        with pytest.raises(DependencyDown):
            silent(mobile_number=ASHA, purpose=Purpose.LOGIN, origin=HERE)
        with pytest.raises(OtpResendTooSoon):
            silent(mobile_number=ASHA, purpose=Purpose.LOGIN, origin=HERE)
        house.clock.advance(timedelta(seconds=30))
    with pytest.raises(OtpSendsExhausted):
        silent(mobile_number=ASHA, purpose=Purpose.LOGIN, origin=HERE)
    verify(house, code)


def test_codes_go_to_the_countries_that_are_served():
    house = House(otp_countries=("IN",))
    request(house)
    with pytest.raises(InvalidValue) as refused:
        request(house, "+4915112345678")
    assert refused.value.field == "mobileNumber"
    assert len(house.outbox.sent) == 1


def test_the_number_of_a_tester_has_one_code_until_its_day_is_over():
    house = House(
        fixed_codes=(FixedCode(PhoneNumber(ASHA), "424242", NOW.date()),), otp_caps=SendCaps(per_number=0, total=0)
    )
    assert request(house).shown is None
    assert not house.outbox.sent
    with pytest.raises(OtpInvalid):
        verify(house, WRONG)
    verify(house, "424242")
    house.clock.advance(timedelta(seconds=30))
    with pytest.raises(OtpInvalid):  # it is a code like any other: asked for, and good once
        verify(house, "424242")
    with pytest.raises(OtpSendsExhausted):
        request(house, RAVI)


def test_after_its_day_it_is_a_number_like_any_other():
    house = House(fixed_codes=(FixedCode(PhoneNumber(ASHA), "424242", date(2026, 3, 1)),))
    request(house)
    assert house.outbox.last_code() != "424242"
    with pytest.raises(OtpInvalid):
        verify(house, "424242")


def test_what_is_sent_is_noted_without_number_or_code():
    house = House()
    request(house)
    [event] = house.database.tables.audit_events.values()
    assert (event.what, event.origin) == (AuditEventType.CODE_SENT, HERE)
    assert event.phone_digest
    assert not any(secret in repr(event) for secret in ("9876543210", house.outbox.last_code()))


# --- Passwords ---


def log_in(house: House, password: str):
    return house.use_cases.auth.log_in(mobile_number=ASHA, password=password, origin=HERE)


def test_ten_passwords_are_tried_and_then_not_even_the_right_one():
    house = House()
    house.user_with_password(ASHA, PASSWORD)
    for _ in range(10):
        with pytest.raises(CredentialsInvalid):
            log_in(house, "a wrong one")
    for _ in range(2):
        with pytest.raises(RateLimited):
            log_in(house, PASSWORD)
    with pytest.raises(RateLimited) as refused:
        log_in(house, PASSWORD)
    assert 1 <= refused.value.retry_after <= 900
    assert happened(house).count(AuditEventType.LOGIN_FAILED) == 10
    assert happened(house).count(AuditEventType.LOGIN_LIMITED) == 1
    verify(house, house.code(ASHA))
    house.clock.advance(timedelta(minutes=15))
    log_in(house, PASSWORD)


def log_in_from(house: House, address: str, password: str = PASSWORD):
    return house.use_cases.auth.log_in(mobile_number=ASHA, password=password, origin=Origin(address, None))


def guess_from(house: House, address: str, times: int) -> int:
    """How many wrong passwords were compared."""
    compared = 0
    for _ in range(times):
        try:
            log_in_from(house, address, "a wrong one")
        except CredentialsInvalid:
            compared += 1
        except RateLimited:
            pass
    return compared


def test_right_passwords_are_not_counted():
    house = House()
    house.user_with_password(ASHA, PASSWORD)
    for _ in range(30):
        log_in(house, PASSWORD)


def test_what_a_stranger_tries_elsewhere_does_not_lock_the_owner_out():
    house = House()
    house.user_with_password(ASHA, PASSWORD)
    assert guess_from(house, "198.51.100.1", 30) == 10
    log_in_from(house, "203.0.113.7")


@pytest.mark.parametrize(("step", "compared"), [(1, 20), (0x100, 40), (0x10000, 100)])
def test_who_has_a_network_of_ipv6_has_few_more_tries(step: int, compared: int):
    house = House()
    house.user_with_password(ASHA, PASSWORD)
    networks = [f"{ip_address((0x20010DB800050000 + number * step) << 64)}/64" for number in range(20)]
    assert sum(guess_from(house, network, 12) for network in networks) == compared


def test_after_many_wrong_ones_from_everywhere_the_owner_gets_in_from_where_they_were_and_by_code():
    house = House()
    house.user_with_password(ASHA, PASSWORD)
    log_in_from(house, "203.0.113.7")
    assert sum(guess_from(house, f"198.51.{number}.1", 10) for number in range(20)) == 100
    with pytest.raises(RateLimited):
        log_in_from(house, "192.0.2.1")
    log_in_from(house, "203.0.113.7")
    request(house, origin=Origin("192.0.2.1", None))
    house.use_cases.auth.verify_code(
        mobile_number=ASHA, code=house.outbox.last_code(), origin=Origin("192.0.2.1", None)
    )
    log_in_from(house, "192.0.2.1")


@pytest.mark.parametrize(
    "password",
    [
        *("919876543210", "+919876543210", "9876543210", "09876543210", "98765 43210", "00919876543210"),
        *("gemini-chat", "Gemini Chat", "geminigemini", "aaaaaaaaaaaa", "        ", "........", "\u0669" * 8),
        *("ashaasha", "Asha Rao Asha", "asha.rao@example.org", "asharaoasha"),
    ],
)
def test_what_others_know_of_the_user_is_no_password(password: str):
    house = House()
    asha = house.user(ASHA)
    auth = house.use_cases.auth
    auth.change_profile(principal=asha, name="Asha Rao", email="asha.rao@example.org")
    code = house.code(ASHA, Purpose.PASSWORD_RESET)
    with pytest.raises(InvalidValue):
        auth.change_password(principal=asha, new_password=password)
    with pytest.raises(InvalidValue):
        auth.reset_password(mobile_number=ASHA, code=code, new_password=password)


@pytest.mark.parametrize("password", ["Asha likes mangoes", "gemini rising 7", "90876543120", "abababab-abc"])
def test_what_has_more_to_it_is_one(password: str):
    house = House()
    house.use_cases.auth.change_password(principal=house.user(ASHA), new_password=password)


def change_password(house: House, asha: Principal) -> None:
    house.use_cases.auth.change_password(principal=asha, new_password=PASSWORD)


def reset_password(house: House, asha: Principal) -> None:
    code = house.code(ASHA, Purpose.PASSWORD_RESET)
    house.use_cases.auth.reset_password(mobile_number=ASHA, code=code, new_password=PASSWORD)


def log_out_everywhere(house: House, asha: Principal) -> None:
    house.use_cases.auth.log_out(principal=asha, scope=Scope.ALL)


def log_out_elsewhere(house: House, asha: Principal) -> None:
    house.use_cases.auth.log_out(principal=asha, scope=Scope.OTHERS)


def log_out_everywhere_by_refresh_token(house: House, asha: Principal) -> None:
    logged_in = house.log_in(ASHA)
    house.use_cases.auth.log_out.by_tokens(refresh_token=logged_in.refresh_token, scope=Scope.ALL)


def erase(house: House, asha: Principal) -> None:
    house.use_cases.auth.erase_account(principal=asha)


ENDINGS = [
    *(change_password, reset_password, log_out_everywhere, log_out_elsewhere),
    *(log_out_everywhere_by_refresh_token, erase),
]


@pytest.mark.parametrize("end", ENDINGS)
def test_what_ends_sessions_ends_the_codes_that_were_sent(house_of_asha: tuple[House, Principal], end: Any):
    house, asha = house_of_asha
    codes = [house.code(ASHA, purpose) for purpose in Purpose]
    house.clock.advance(timedelta(seconds=31))
    used = house.code(ASHA)
    verify(house, used)  # by the same client, it would be good again for half a minute
    end(house, asha)
    for code in (*codes, used):
        with pytest.raises(OtpInvalid):
            verify(house, code)
    house.clock.advance(timedelta(minutes=1))
    verify(house, house.code(ASHA))


@pytest.fixture
def house_of_asha() -> tuple[House, Principal]:
    house = House()
    return house, house.user(ASHA)


def test_logging_out_here_leaves_codes_as_they_are():
    house = House()
    asha = house.user(ASHA)
    code = house.code(ASHA)
    house.use_cases.auth.log_out(principal=asha)
    verify(house, code)


def test_without_the_database_no_code_is_sent_and_none_is_used_up():
    house = House()
    code = house.code(ASHA)
    house.database_probe.on = False
    sent = len(house.outbox.sent)
    with pytest.raises(DependencyDown):
        request(house, RAVI)
    with pytest.raises(DependencyDown):
        verify(house, code)
    assert len(house.outbox.sent) == sent
    house.database_probe.on = True
    request(house, RAVI)
    verify(house, code)


def test_a_code_whose_login_fails_at_the_last_moment_is_as_good_as_it_was(monkeypatch: pytest.MonkeyPatch):
    house = House()
    code = house.code(ASHA)

    def down(*_: object, **__: object) -> None:
        raise DependencyDown("database")

    with monkeypatch.context() as patch:
        patch.setattr("application.auth.one_time_passwords.admit", down)
        for _ in range(9):
            with pytest.raises(DependencyDown):
                verify(house, code)
    house.clock.advance(timedelta(minutes=1))
    verify(house, code)


def test_a_code_is_not_used_up_where_the_hasher_has_no_place():
    house = House()
    house.user(ASHA)
    code = house.code(ASHA, Purpose.PASSWORD_RESET)

    class Full(PlainPasswordHasher):
        def hash(self, password: str) -> str:
            raise DependencyDown("password_hasher", retry_after=1)

    full = replace(house.use_cases.auth.reset_password, password_hasher=Full())
    for _ in range(9):
        with pytest.raises(DependencyDown):
            full(mobile_number=ASHA, code=code, new_password=PASSWORD)
    house.use_cases.auth.reset_password(mobile_number=ASHA, code=code, new_password=PASSWORD)


def test_unknown_numbers_are_limited_alike():
    house = House()
    for _ in range(10):
        with pytest.raises(CredentialsInvalid):
            log_in(house, PASSWORD)
    with pytest.raises(RateLimited):
        log_in(house, PASSWORD)


def test_a_stolen_token_does_not_find_the_password():
    house = House()
    asha = house.user_with_password(ASHA, PASSWORD)
    for _ in range(10):
        with pytest.raises(CredentialsInvalid):
            house.use_cases.auth.change_password(principal=asha, new_password="a new one", current_password="wrong")
    with pytest.raises(RateLimited):
        house.use_cases.auth.change_password(principal=asha, new_password="a new one", current_password=PASSWORD)


@pytest.mark.parametrize("password", ["password", "12345678", "Iloveyou", "QWERTYUIOP"])
def test_what_everybody_tries_first_is_refused_wherever_a_password_is_set(password: str):
    house = House()
    auth = house.use_cases.auth
    asha = house.user(ASHA)
    code = house.code(ASHA, Purpose.PASSWORD_RESET)
    with pytest.raises(InvalidValue):
        auth.sign_up(mobile_number=RAVI, password=password)
    with pytest.raises(InvalidValue):
        auth.change_password(principal=asha, new_password=password)
    with pytest.raises(InvalidValue):
        auth.reset_password(mobile_number=ASHA, code=code, new_password=password)
    auth.reset_password(mobile_number=ASHA, code=code, new_password=PASSWORD)  # the code is still good


# --- Requests ---

MINUTE = timedelta(minutes=1)


def limited(house: House, **limits: Limit | None) -> LimitRequests:
    return LimitRequests(house.use_cases.auth.limit_requests.rate_limiter, RequestLimits(**limits))


def test_requests_are_counted_by_user_and_by_address():
    house = House()
    asha, ravi = house.user(ASHA).user_id, house.user(RAVI).user_id
    limit = limited(house, per_user=Limit("user", 2, MINUTE), per_address=Limit("address", 5, MINUTE))
    for left in (1, 0):
        charged = limit(user_id=asha, address="a")
        assert charged is not None
        assert (charged.limit.name, charged.remaining) == ("user", left)
    with pytest.raises(RateLimited) as refused:
        limit(user_id=asha, address="b")
    assert (refused.value.policy, refused.value.limit, refused.value.window) == ("user", 2, 60)
    for _ in range(2):
        limit(user_id=ravi, address="a")
    limit(user_id=None, address="a")
    with pytest.raises(RateLimited) as refused:
        limit(user_id=None, address="a")
    assert refused.value.policy == "address"
    house.clock.advance(MINUTE)
    limit(user_id=asha, address="a")


def test_logins_are_counted_more_narrowly():
    limit = limited(House(), per_address=Limit("address", 9, MINUTE), logins=Limit("login", 1, MINUTE))
    limit(user_id=None, address="a", is_login=True)
    with pytest.raises(RateLimited):
        limit(user_id=None, address="a", is_login=True)
    limit(user_id=None, address="a")


@pytest.mark.parametrize(("step", "logins"), [(0, 3), (1, 6), (0x100, 12), (0x10000, 40)])
def test_logins_of_a_network_of_ipv6_are_few_more_than_those_of_an_address(step: int, logins: int):
    limit, passed = limited(House(), logins=Limit("login", 3, MINUTE)), 0
    for number in range(40):
        with suppress(RateLimited):
            network = ip_address((0x20010DB800050000 + number * step) << 64)
            limit(user_id=None, address=f"{network}/64", is_login=True)
            passed += 1
    assert passed == logins


@pytest.mark.parametrize("step", [1, 0x100])
def test_one_network_cannot_spend_what_is_sent_in_a_day(step: int):
    house = House(otp_caps=SendCaps(per_number=20, per_address=2, total=20))
    for number in range(30):
        network = ip_address((0x20010DB800050000 + number * step) << 64)
        with suppress(OtpSendsExhausted):
            request(house, f"+49151{number:02}345678", origin=Origin(f"{network}/64", None))
    assert len(house.outbox.sent) == {1: 4, 0x100: 8}[step]
    request(house)  # from elsewhere there is as much as before


def test_without_limits_nothing_is_counted():
    house = House()
    assert limited(house)(user_id=house.user(ASHA).user_id, address="a", is_login=True) is None
    assert limited(house, per_address=Limit("address", 0, MINUTE))(user_id=None, address=None) is None
