"""A person signs up; the number is proven later."""

from datetime import timedelta

import pytest

from domain.errors import CredentialsInvalid, InvalidValue, PhoneTaken
from domain.retention import UNPROVEN_SIGN_UPS_KEPT_FOR
from tests.builders import ASHA, House

MINUTES = timedelta(minutes=1)


def sign_up(house: House, phone: str = ASHA, **given):
    return house.use_cases.auth.sign_up(mobile_number=phone, **given)


def can_log_in(house: House, password: str) -> bool:
    try:
        house.use_cases.auth.log_in(mobile_number=ASHA, password=password)
    except CredentialsInvalid:
        return False
    return True


def test_a_new_user_gets_an_account_that_is_not_proven_yet():
    house = House()
    user = sign_up(house, name="Asha", email="asha@example.org")
    assert house.database.tables.users[user.id] == user
    assert (user.phone.e164, user.name, user.email, user.verified_at) == (ASHA, "Asha", "asha@example.org", None)


def test_the_first_login_proves_the_number_and_keeps_the_account():
    house = House()
    user = sign_up(house, name="Asha")
    logged_in = house.log_in(ASHA)
    assert logged_in.user.id == user.id
    profile = house.use_cases.auth.show_profile(user_id=user.id)
    assert profile.name == "Asha"
    assert house.database.tables.users[user.id].verified_at == house.clock()


def test_a_number_is_one_account_however_it_is_written():
    house = House()
    sign_up(house, "+91 98765 43210")
    for spelling in ("919876543210", "98765 43210", "+91-98765-43210", "  +919876543210 "):
        with pytest.raises(PhoneTaken):
            sign_up(house, spelling)
    assert len(house.database.tables.users) == 1


def test_the_number_of_the_sources_examples_works_in_development():
    assert sign_up(House(), "1234567890").phone.e164 == "+911234567890"


@pytest.mark.parametrize("nonsense", ["", "+", "12", "call me", "9" * 40, "+91 98765 43210 ext. 5", "٠"])
def test_what_cannot_be_a_number_is_refused_by_field(nonsense: str):
    house = House()
    with pytest.raises(InvalidValue) as refused:
        sign_up(house, nonsense)
    assert refused.value.field == "mobileNumber"
    assert not house.database.tables.users


@pytest.mark.parametrize("password", ["", "seven77", "x" * 129])
def test_a_password_of_the_wrong_length_is_refused_by_field(password: str):
    house = House()
    with pytest.raises(InvalidValue) as refused:
        sign_up(house, password=password)
    assert refused.value.field == "password"
    assert not house.database.tables.users


def test_a_verified_number_is_taken_and_keeps_its_password():
    house = House()
    house.user_with_password(ASHA, "hers alone")
    with pytest.raises(PhoneTaken):
        sign_up(house, password="another password")
    assert can_log_in(house, "hers alone")
    assert not can_log_in(house, "another password")


# --- A password may not wait on a number for its owner to prove it ---


def test_the_password_of_an_unproven_number_opens_nothing():
    house = House()
    sign_up(house, password="correct horse")
    assert not can_log_in(house, "correct horse")


def test_a_password_from_sign_up_counts_once_the_number_is_proven_soon():
    house = House()
    sign_up(house, password="correct horse")
    house.clock.advance(15 * MINUTES)
    house.log_in(ASHA)
    assert can_log_in(house, "correct horse")


def test_a_password_that_waited_longer_than_fifteen_minutes_is_gone():
    house = House()
    sign_up(house, password="planted by a thief")
    house.clock.advance(15 * MINUTES + timedelta(microseconds=1))
    house.log_in(ASHA)
    assert not can_log_in(house, "planted by a thief")


def test_once_proven_a_password_does_not_grow_old():
    house = House()
    sign_up(house, password="correct horse")
    house.log_in(ASHA)
    house.clock.advance(60 * MINUTES)
    house.log_in(ASHA)
    assert can_log_in(house, "correct horse")


def test_a_contested_sign_up_leaves_no_password_of_either():
    house = House()
    sign_up(house, password="planted by a thief")
    with pytest.raises(PhoneTaken):
        sign_up(house, password="hers, she thinks")
    house.log_in(ASHA)
    assert not can_log_in(house, "planted by a thief")
    assert not can_log_in(house, "hers, she thinks")


def test_sent_twice_it_keeps_what_the_first_said():
    house = House()
    first = sign_up(house, name="Asha", password="correct horse")
    assert sign_up(house, name="Asha", password="correct horse").id == first.id
    house.log_in(ASHA)
    assert can_log_in(house, "correct horse")
    with pytest.raises(PhoneTaken):
        sign_up(house, name="Asha", password="correct horse")


@pytest.mark.parametrize("later", [{"password": "hers, she thinks"}, {"name": "Asha"}])
def test_of_a_contested_sign_up_nothing_is_the_owners(later: dict[str, str]):
    house = House()
    user = sign_up(house, name="A thief", email="thief@example.org", password="planted by a thief")
    with pytest.raises(PhoneTaken):
        sign_up(house, **later)
    login = house.log_in(ASHA)
    profile = house.use_cases.auth.show_profile(user_id=user.id)
    assert (login.user.name, profile.name, profile.email) == (None, None, None)
    assert not can_log_in(house, "planted by a thief")


def test_what_was_said_long_before_the_number_is_proven_is_forgotten():
    house = House()
    sign_up(house, name="A thief", email="thief@example.org")
    house.clock.advance(16 * MINUTES)
    login = house.log_in(ASHA)
    assert (login.user.name, login.user.email) == (None, None)


def test_sign_ups_that_nobody_proves_are_forgotten_and_others_are_not():
    house = House()
    house.user("+919876543211")
    sign_up(house, name="Asha")
    house.clock.advance(UNPROVEN_SIGN_UPS_KEPT_FOR)
    house.replying.purge_expired()
    assert len(house.database.tables.users) == 2
    house.clock.advance(MINUTES)
    house.replying.purge_expired()
    assert [user.phone.e164 for user in house.database.tables.users.values()] == ["+919876543211"]
