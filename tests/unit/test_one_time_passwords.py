"""A person proves a number with a one-time password."""

from datetime import timedelta

import pytest

from domain.errors import InvalidValue, OtpInvalid, OtpLocked, OtpResendTooSoon
from domain.one_time_password import Purpose
from tests.builders import ASHA, RAVI, House

WRONG = "000000"
SECONDS = timedelta(seconds=1)


def request(house: House, phone: str = ASHA, purpose: Purpose = Purpose.LOGIN):
    return house.use_cases.auth.request_code(mobile_number=phone, purpose=purpose)


def verify(house: House, code: str, phone: str = ASHA):
    return house.use_cases.auth.verify_code(mobile_number=phone, code=code)


def test_a_code_logs_in_and_makes_an_account_of_a_new_number():
    house = House()
    logged_in = verify(house, house.code(ASHA))
    assert house.use_cases.auth.authenticate(logged_in.token).user_id == logged_in.user.id
    assert logged_in.user.phone.e164 == ASHA
    assert logged_in.user.verified_at == house.clock()


def test_a_second_login_finds_the_same_account():
    house = House()
    assert house.log_in(ASHA).user.id == house.log_in(ASHA).user.id
    assert len(house.database.tables.users) == 1


def test_known_and_unknown_numbers_are_answered_alike():
    house = House()
    house.log_in(ASHA)
    house.clock.advance(30 * SECONDS)
    assert request(house, ASHA) == request(house, RAVI)


def test_the_code_is_shown_only_where_delivery_is_by_the_response():
    assert request(House()).shown is None
    house = House(shows_codes=True)
    assert request(house).shown == house.outbox.last_code()


def test_the_answer_says_how_long_the_code_lives_and_when_to_ask_again():
    sent = request(House())
    assert (sent.expires_in, sent.resend_in) == (timedelta(minutes=5), timedelta(seconds=30))


def test_a_code_works_once():
    house = House()
    code = house.code(ASHA)
    verify(house, code)
    with pytest.raises(OtpInvalid):
        verify(house, code)


def test_a_code_lives_five_minutes():
    house = House()
    code = house.code(ASHA)
    house.clock.advance(timedelta(minutes=5) - SECONDS)
    verify(house, code)
    house.clock.advance(30 * SECONDS)
    code = house.code(ASHA)
    house.clock.advance(timedelta(minutes=5))
    with pytest.raises(OtpInvalid):
        verify(house, code)


def test_without_a_code_there_is_nothing_to_guess():
    house = House()
    with pytest.raises(OtpInvalid) as refused:
        verify(house, WRONG)
    assert refused.value.attempts_left == 0
    assert not house.database.tables.users


def test_a_code_belongs_to_its_number():
    house = House()
    hers = house.code(ASHA)
    his = house.code(RAVI)
    with pytest.raises(OtpInvalid):
        verify(house, hers, RAVI)
    verify(house, his, RAVI)
    verify(house, hers, ASHA)


def test_five_wrong_codes_void_the_right_one():
    house = House()
    code = house.code(ASHA)
    left = []
    for _ in range(5):
        with pytest.raises(OtpInvalid) as refused:
            verify(house, WRONG)
        left.append(refused.value.attempts_left)
    assert left == [4, 3, 2, 1, 0]
    with pytest.raises(OtpLocked) as locked:
        verify(house, code)
    assert 0 < locked.value.retry_after <= 30
    assert not house.database.tables.users


def test_the_fifth_attempt_may_be_the_right_one():
    house = House()
    code = house.code(ASHA)
    for _ in range(4):
        with pytest.raises(OtpInvalid):
            verify(house, WRONG)
    verify(house, code)


def test_a_new_code_takes_the_place_of_the_last_and_ends_the_lock():
    house = House()
    first = house.code(ASHA)
    for _ in range(5):
        with pytest.raises(OtpInvalid):
            verify(house, WRONG)
    house.clock.advance(30 * SECONDS)
    second = house.code(ASHA)
    with pytest.raises(OtpInvalid):
        verify(house, first)
    verify(house, second)


def test_a_second_code_has_to_wait_thirty_seconds_and_leaves_the_first_alone():
    house = House()
    request(house)
    code = house.outbox.last_code()
    house.clock.advance(29 * SECONDS)
    with pytest.raises(OtpResendTooSoon) as too_soon:
        request(house)
    assert too_soon.value.retry_after == 1
    assert len(house.outbox.sent) == 1
    verify(house, code)
    house.clock.advance(SECONDS)
    request(house)


def test_other_numbers_and_the_other_purpose_do_not_wait():
    house = House()
    request(house, ASHA, Purpose.LOGIN)
    request(house, RAVI, Purpose.LOGIN)
    request(house, ASHA, Purpose.PASSWORD_RESET)
    assert [(phone.e164, purpose) for phone, _, purpose in house.outbox.sent] == [
        (ASHA, Purpose.LOGIN),
        (RAVI, Purpose.LOGIN),
        (ASHA, Purpose.PASSWORD_RESET),
    ]


def test_no_code_is_sent_to_what_is_no_number():
    house = House()
    with pytest.raises(InvalidValue):
        request(house, "not a number")
    assert not house.outbox.sent


# --- What a code was sent for ---


def test_a_reset_code_logs_in_too():
    house = House()
    verify(house, house.code(ASHA, Purpose.PASSWORD_RESET))


def test_a_login_code_resets_no_password():
    house = House()
    house.user_with_password(ASHA, "the old one")
    code = house.code(ASHA, Purpose.LOGIN)
    with pytest.raises(OtpInvalid):
        house.use_cases.auth.reset_password(mobile_number=ASHA, code=code, new_password="the new one")
    house.use_cases.auth.log_in(mobile_number=ASHA, password="the old one")
    verify(house, code)


def test_a_login_code_is_no_proof_for_a_change_of_password():
    house = House()
    asha = house.user_with_password(ASHA, "the old one")
    with pytest.raises(OtpInvalid):
        house.use_cases.auth.change_password(principal=asha, new_password="the new one", code=house.code(ASHA))
    house.use_cases.auth.log_in(mobile_number=ASHA, password="the old one")


def test_a_reset_code_that_logged_in_resets_nothing_any_more():
    house = House()
    code = house.code(ASHA, Purpose.PASSWORD_RESET)
    verify(house, code)
    with pytest.raises(OtpInvalid):
        house.use_cases.auth.reset_password(mobile_number=ASHA, code=code, new_password="the new one")


def test_with_codes_of_both_purposes_underway_either_logs_in():
    house = House()
    login = house.code(ASHA, Purpose.LOGIN)
    reset = house.code(ASHA, Purpose.PASSWORD_RESET)
    verify(house, login)
    verify(house, reset)
