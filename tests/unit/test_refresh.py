"""Staying logged in: each refresh token is good once, and one that is shown again ends the session."""

from dataclasses import replace
from datetime import timedelta

import pytest

from application.auth.logout import Scope
from application.ports.audit import AuditEventType
from domain.accounts import REFRESH_GRACE, SESSION_LIFETIME, Origin, SessionId
from domain.errors import DependencyDown, RefreshTokenInvalid, SessionNotFound, TokenExpired, TokenInvalid
from tests.builders import ASHA, LONGEST_SESSION, RAVI, House

PHONE = Origin("203.0.113.7", "A phone")
LATER = REFRESH_GRACE + timedelta(seconds=1)


def refresh(house: House, token: str):
    return house.use_cases.auth.refresh_session(refresh_token=token)


def who(house: House, token: str):
    return house.use_cases.auth.authenticate(token)


def happened(house: House) -> list[AuditEventType]:
    return [event.what for event in house.database.tables.audit_events.values()]


def is_over(house: House, token: str) -> bool:
    try:
        who(house, token)
    except TokenInvalid:
        return True
    return False


def test_a_refresh_token_gives_new_tokens_of_the_same_session():
    house = House()
    login = house.log_in(ASHA)
    refreshed = refresh(house, login.refresh_token)
    assert refreshed.expires_in == timedelta(minutes=15)
    assert refreshed.token != login.token
    assert refreshed.refresh_token != login.refresh_token
    assert who(house, refreshed.token) == who(house, login.token)


def test_it_goes_on_as_long_as_it_is_refreshed():
    house = House()
    refresh_token = house.log_in(ASHA).refresh_token
    for _ in range(11):
        house.clock.advance(SESSION_LIFETIME - timedelta(seconds=1))
        refreshed = refresh(house, refresh_token)
        refresh_token = refreshed.refresh_token
        who(house, refreshed.token)
    house.clock.advance(SESSION_LIFETIME)
    with pytest.raises(RefreshTokenInvalid):
        refresh(house, refresh_token)


@pytest.mark.parametrize("token", ["", "x", "rt_x", "\x00", "\ud800", "x" * 10_000])
def test_what_is_no_refresh_token_is_refused_and_ends_nothing(token: str):
    house = House()
    login = house.log_in(ASHA)
    for refused in (token, login.token):
        with pytest.raises(RefreshTokenInvalid):
            refresh(house, refused)
    who(house, login.token)
    refresh(house, login.refresh_token)


def test_a_refresh_token_is_no_access_token():
    house = House()
    with pytest.raises(TokenInvalid):
        who(house, house.log_in(ASHA).refresh_token)


def test_one_that_is_shown_again_later_ends_the_session_for_both():
    house = House()
    login = house.log_in(ASHA)
    refreshed = refresh(house, login.refresh_token)
    house.clock.advance(LATER)
    with pytest.raises(RefreshTokenInvalid):
        refresh(house, login.refresh_token)
    for token in (login.token, refreshed.token):
        assert is_over(house, token)
    with pytest.raises(RefreshTokenInvalid):
        refresh(house, refreshed.refresh_token)
    assert happened(house)[-1] is AuditEventType.REFRESH_TOKEN_REUSED


def test_a_lost_answer_is_given_again():
    house = House()
    login = house.log_in(ASHA)
    lost = refresh(house, login.refresh_token)
    house.clock.advance(REFRESH_GRACE)
    again = refresh(house, login.refresh_token)
    assert again.refresh_token == lost.refresh_token
    refresh(house, again.refresh_token)


def test_however_often_it_is_lost_and_in_however_many_tabs():
    house = House()
    login = house.log_in(ASHA)
    refreshed = [refresh(house, login.refresh_token) for _ in range(20)]
    assert len({one.refresh_token for one in refreshed}) == 1
    assert not any(is_over(house, one.token) for one in refreshed)
    refresh(house, refreshed[0].refresh_token)
    assert AuditEventType.REFRESH_TOKEN_REUSED not in happened(house)


def test_not_after_its_window():
    house = House()
    login = house.log_in(ASHA)
    refreshed = [refresh(house, login.refresh_token) for _ in range(3)][-1]
    house.clock.advance(LATER)
    with pytest.raises(RefreshTokenInvalid):
        refresh(house, login.refresh_token)
    assert is_over(house, refreshed.token)


def test_a_session_has_an_end_however_often_it_is_refreshed():
    house = House()
    refresh_token = house.log_in(ASHA).refresh_token
    began = house.clock()
    while house.clock() + timedelta(days=20) < began + LONGEST_SESSION:
        house.clock.advance(timedelta(days=20))
        refreshed = refresh(house, refresh_token)
        refresh_token = refreshed.refresh_token
    house.clock.now = began + LONGEST_SESSION - timedelta(seconds=1)
    refreshed = refresh(house, refresh_token)
    who(house, refreshed.token)
    house.clock.now = began + LONGEST_SESSION
    assert is_over(house, refreshed.token)
    with pytest.raises(RefreshTokenInvalid):
        refresh(house, refreshed.refresh_token)


def test_a_session_that_is_longer_than_what_is_set_now_ends_at_its_next_refresh():
    house = House()
    login = house.log_in(ASHA)
    house.clock.advance(timedelta(days=2))
    shorter = replace(house.use_cases.auth.refresh_session, longest_session=timedelta(days=1))
    with pytest.raises(RefreshTokenInvalid):
        shorter(refresh_token=login.refresh_token)
    with pytest.raises(RefreshTokenInvalid):
        refresh(house, login.refresh_token)


def test_not_once_the_answer_is_known_to_have_come():
    house = House()
    login = house.log_in(ASHA)
    refreshed = refresh(house, login.refresh_token)
    refresh(house, refreshed.refresh_token)
    with pytest.raises(RefreshTokenInvalid):
        refresh(house, login.refresh_token)
    assert is_over(house, login.token)


def test_a_thief_within_the_grace_is_found_out_by_the_second_use():
    house = House()
    stolen = house.log_in(ASHA).refresh_token
    hers = refresh(house, stolen)
    his = refresh(house, stolen)
    refresh(house, his.refresh_token)
    house.clock.advance(LATER)
    with pytest.raises(RefreshTokenInvalid):
        refresh(house, hers.refresh_token)
    assert is_over(house, his.token)


def test_other_sessions_of_the_user_go_on():
    house = House()
    stolen, other = house.log_in(ASHA), house.log_in(ASHA)
    refresh(house, stolen.refresh_token)
    house.clock.advance(LATER)
    with pytest.raises(RefreshTokenInvalid):
        refresh(house, stolen.refresh_token)
    who(house, other.token)
    refresh(house, other.refresh_token)


def test_while_the_database_is_down_no_session_ends():
    house = House()
    login = house.log_in(ASHA)
    house.database_probe.on = False
    with pytest.raises(DependencyDown):
        refresh(house, login.refresh_token)
    house.database_probe.on = True
    refresh(house, login.refresh_token)


def test_a_login_by_one_time_password_does_not_stay_fresh_by_refreshing():
    house = House()
    login = house.log_in(ASHA)
    house.clock.advance(timedelta(minutes=9))
    refreshed = refresh(house, login.refresh_token)
    house.clock.advance(timedelta(minutes=2))
    assert not who(house, refreshed.token).proved_the_number_lately(at=house.clock())


# --- Logging out ---


def sessions(house: House, phone: str = ASHA, count: int = 3):
    logins = [house.log_in(phone) for _ in range(count)]
    return logins, [who(house, login.token) for login in logins]


@pytest.mark.parametrize(
    ("scope", "over"),
    [(Scope.THIS, [False, True, False]), (Scope.OTHERS, [True, False, True]), (Scope.ALL, [True, True, True])],
)
def test_logging_out_ends_what_was_meant_at_once(scope: Scope, over: list[bool]):
    house = House()
    logins, principals = sessions(house)
    [ravi], _ = sessions(house, RAVI, 1)
    house.use_cases.auth.log_out(principal=principals[1], scope=scope)
    assert [is_over(house, login.token) for login in logins] == over
    for login, ended in zip(logins, over, strict=True):
        if ended:
            with pytest.raises(RefreshTokenInvalid):
                refresh(house, login.refresh_token)
        else:
            refresh(house, login.refresh_token)
    who(house, ravi.token)


def test_logging_out_twice_at_once_is_no_fault():
    house = House()
    asha = house.user(ASHA)
    for _ in range(2):
        house.use_cases.auth.log_out(principal=asha)


def test_a_session_elsewhere_is_ended_by_its_id():
    house = House()
    logins, principals = sessions(house)
    house.use_cases.auth.end_session(principal=principals[0], session_id=principals[2].session_id)
    assert [is_over(house, login.token) for login in logins] == [False, False, True]
    with pytest.raises(SessionNotFound):
        house.use_cases.auth.end_session(principal=principals[0], session_id=principals[2].session_id)


def test_users_cannot_end_the_session_of_another():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    for session_id in (asha.session_id, SessionId(asha.user_id)):
        with pytest.raises(SessionNotFound):
            house.use_cases.auth.end_session(principal=ravi, session_id=session_id)
    assert [line.id for line in house.use_cases.auth.list_sessions(user_id=asha.user_id)] == [asha.session_id]


def test_the_list_says_where_and_when():
    house = House()
    began = house.clock()
    login = house.use_cases.auth.verify_code(mobile_number=ASHA, code=house.code(ASHA), origin=PHONE)
    house.clock.advance(timedelta(minutes=5))
    refresh(house, login.refresh_token)
    [line] = house.use_cases.auth.list_sessions(user_id=login.user.id)
    assert (line.device, line.started_at, line.last_used_at) == ("A phone", began, house.clock())
    assert line.expires_at == house.clock() + SESSION_LIFETIME


def test_a_device_with_a_long_name_is_cut_short():
    house = House()
    login = house.use_cases.auth.verify_code(
        mobile_number=ASHA, code=house.code(ASHA), origin=Origin(None, "x" * 10_000)
    )
    [line] = house.use_cases.auth.list_sessions(user_id=login.user.id)
    assert line.device == "x" * 200


def test_a_change_of_password_ends_the_others_and_their_refresh_tokens():
    house = House()
    logins, principals = sessions(house)
    house.use_cases.auth.change_password(principal=principals[0], new_password="the new one of Asha")
    assert [is_over(house, login.token) for login in logins] == [False, True, True]
    with pytest.raises(RefreshTokenInvalid):
        refresh(house, logins[1].refresh_token)
    refresh(house, logins[0].refresh_token)


def by_tokens(house: House, **tokens):
    house.use_cases.auth.log_out.by_tokens(**tokens)


@pytest.mark.parametrize("times_refreshed", [0, 1])
def test_a_refresh_token_ends_its_session_used_or_not_and_any_number_of_times(times_refreshed: int):
    house = House()
    login, other = house.log_in(ASHA), house.log_in(ASHA)
    for _ in range(times_refreshed):
        refresh(house, login.refresh_token)
    for _ in range(3):
        by_tokens(house, refresh_token=login.refresh_token)
    by_tokens(house, refresh_token="one that never was")
    assert is_over(house, login.token)
    assert not is_over(house, other.token)
    assert happened(house).count(AuditEventType.LOGGED_OUT) == 1


def test_an_access_token_that_has_expired_ends_its_session():
    house = House()
    login = house.log_in(ASHA)
    house.clock.advance(timedelta(days=1))
    for _ in range(2):
        by_tokens(house, access_token=login.token)
    with pytest.raises(RefreshTokenInvalid):
        refresh(house, login.refresh_token)


def test_more_than_the_session_itself_takes_a_token_that_is_good():
    house = House()
    login, other = house.log_in(ASHA), house.log_in(ASHA)
    house.clock.advance(timedelta(days=1))
    refreshed = refresh(house, login.refresh_token)
    for tokens in ({"access_token": login.token}, {"refresh_token": login.refresh_token}, {}):
        with pytest.raises((TokenInvalid, TokenExpired)):
            by_tokens(house, scope=Scope.ALL, **tokens)
    refresh(house, other.refresh_token)
    by_tokens(house, scope=Scope.ALL, refresh_token=refreshed.refresh_token)
    assert is_over(house, refreshed.token)


@pytest.mark.parametrize("token", [None, "", "x", "a.b.c"])
def test_what_was_not_issued_here_ends_nothing(token: str | None):
    house = House()
    login = house.log_in(ASHA)
    with pytest.raises(TokenInvalid):
        by_tokens(house, access_token=token)
    who(house, login.token)
