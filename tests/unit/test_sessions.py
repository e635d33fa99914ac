"""A token says who is asking, for as long as its session lasts."""

from datetime import timedelta
from uuid import UUID

import jwt
import pytest

from adapters.crypto.jwt_access_tokens import JwtAccessTokens
from domain.accounts import SESSION_LIFETIME, LoginMethod, UserId
from domain.errors import DependencyDown, TokenExpired, TokenInvalid, Unauthenticated
from tests.builders import ASHA, RAVI, SIGNING_KEY, House


def authenticate(house: House, token: str):
    return house.use_cases.auth.authenticate(token)


def test_a_token_says_who_and_how_and_since_when():
    house = House()
    logged_in = house.log_in(ASHA)
    principal = authenticate(house, logged_in.token)
    assert principal.user_id == logged_in.user.id
    assert principal.method is LoginMethod.OTP
    assert principal.started_at == house.clock()


def test_each_login_is_a_session_of_its_own():
    house = House()
    assert house.user(ASHA).session_id != house.user(ASHA).session_id


def test_a_token_ends_after_a_quarter_of_an_hour():
    house = House()
    logged_in = house.log_in(ASHA)
    assert logged_in.expires_in == timedelta(minutes=15)
    house.clock.advance(timedelta(minutes=15) - timedelta(seconds=1))
    authenticate(house, logged_in.token)
    house.clock.advance(timedelta(minutes=1))
    with pytest.raises(TokenExpired):
        authenticate(house, logged_in.token)


def test_a_session_without_refresh_ends_after_its_time():
    house = House()
    asha = house.user(ASHA)
    session = house.database.tables.sessions[asha.session_id]
    token = JwtAccessTokens(SIGNING_KEY).issue(session, at=house.clock())
    house.clock.advance(SESSION_LIFETIME - timedelta(seconds=1))
    authenticate(house, token)
    house.clock.advance(timedelta(seconds=1))
    with pytest.raises(Unauthenticated):
        authenticate(house, token)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é" * 20, "\ud800", "x" * 100_000])
def test_what_is_no_token_is_refused(token: str):
    with pytest.raises(TokenInvalid):
        authenticate(House(), token)


def test_a_token_of_another_key_is_refused():
    house = House()
    asha = house.user(ASHA)
    session = house.database.tables.sessions[asha.session_id]
    forged = JwtAccessTokens(b"another key, just as long as the right one").issue(session, at=house.clock())
    with pytest.raises(TokenInvalid):
        authenticate(house, forged)


@pytest.mark.parametrize("claim", ["exp", "iat", "sub", "jti", "aud", "iss", "sid"])
def test_a_token_that_lacks_a_claim_is_refused(claim: str):
    house = House()
    token = house.token(ASHA)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert authenticate(house, jwt.encode(claims, SIGNING_KEY, "HS256"))
    del claims[claim]
    with pytest.raises(TokenInvalid):
        authenticate(house, jwt.encode(claims, SIGNING_KEY, "HS256"))


def test_an_unsigned_token_is_refused():
    house = House()
    claims = jwt.decode(house.token(ASHA), options={"verify_signature": False})
    with pytest.raises(TokenInvalid):
        authenticate(house, jwt.encode(claims, "", "none"))


def test_the_session_of_one_user_in_the_token_of_another_is_refused():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    session = house.database.tables.sessions[asha.session_id]
    claims = jwt.decode(
        JwtAccessTokens(SIGNING_KEY).issue(session, at=house.clock()), options={"verify_signature": False}
    )
    claims["sub"] = str(ravi.user_id)
    with pytest.raises(TokenInvalid):
        authenticate(house, jwt.encode(claims, SIGNING_KEY, "HS256"))


def test_while_the_database_is_down_no_token_is_called_bad():
    house = House()
    token = house.token(ASHA)
    house.database_probe.on = False
    with pytest.raises(DependencyDown):
        authenticate(house, token)
    house.database_probe.on = True
    authenticate(house, token)


def test_the_profile_shows_plan_and_use():
    house = House()
    asha = house.user(ASHA)
    house.say(asha, house.room(asha), "hi")
    profile = house.use_cases.auth.show_profile(user_id=asha.user_id)
    assert (profile.phone, profile.plan, profile.quota.used, profile.quota.limit) == (ASHA, "basic", 1, 5)


def test_an_account_that_is_gone_has_no_profile():
    with pytest.raises(TokenInvalid):
        House().use_cases.auth.show_profile(user_id=UserId(UUID(int=7)))
