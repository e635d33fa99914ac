"""Limits on one-time passwords and passwords, for known and unknown numbers alike."""

from datetime import date, timedelta

import pytest

from application.auth.rate_limits import LimitRequests, RequestLimits
from application.ports.audit import AuditEventType
from application.ports.otp_delivery import NotDelivered, OtpDelivery
from application.ports.rate_limiter import Limit
from domain.accounts import Origin, PhoneNumber
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

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose) -> str | None:
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


def test_without_limits_nothing_is_counted():
    house = House()
    assert limited(house)(user_id=house.user(ASHA).user_id, address="a", is_login=True) is None
    assert limited(house, per_address=Limit("address", 0, MINUTE))(user_id=None, address=None) is None
