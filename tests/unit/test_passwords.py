"""Passwords beside the one-time password."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.memory.doubles import PlainPasswordHasher
from application.auth.sessions import LoggedIn
from application.ports.audit import AuditEventType
from domain.accounts import Principal
from domain.errors import (
    CredentialsInvalid,
    DependencyDown,
    InvalidValue,
    NotAllowed,
    OtpInvalid,
    ReauthenticationNeeded,
    TokenInvalid,
    Unauthenticated,
)
from domain.one_time_password import Purpose
from tests.builders import ASHA, RAVI, House

OLD = "the old password"
NEW = "the new password"


def log_in(house: House, password: str, phone: str = ASHA):
    return house.use_cases.auth.log_in(mobile_number=phone, password=password)


def reset(house: House, code: str, new_password: str = NEW) -> None:
    house.use_cases.auth.reset_password(mobile_number=ASHA, code=code, new_password=new_password)


def change(house: House, principal, **proof) -> None:
    house.use_cases.auth.change_password(principal=principal, new_password=NEW, **proof)


def is_logged_in(house: House, token: str) -> bool:
    try:
        house.use_cases.auth.authenticate(token)
    except TokenInvalid:
        return False
    return True


class SlowHasher(PlainPasswordHasher):
    """So slow that the next of these things happens each time that it works."""

    def __init__(self, *, cost: int = 1, meanwhile: Sequence[Callable[[], object]]) -> None:
        super().__init__(cost=cost)
        self._meanwhile = iter(meanwhile)

    def hash(self, password: str) -> str:
        next(self._meanwhile, bool)()
        return super().hash(password)

    def matches(self, password: str, password_hash: str | None) -> bool:
        next(self._meanwhile, bool)()
        return super().matches(password, password_hash)


def log_in_with(house: House, hasher: PlainPasswordHasher, password: str = OLD) -> LoggedIn:
    """Log in where passwords are hashed in another way."""
    slow_login = replace(house.use_cases.auth.log_in, password_hasher=hasher)
    return slow_login(mobile_number=ASHA, password=password)


def kept_hash(house: House, who: Principal) -> str:
    kept = house.database.tables.users[who.user_id].password_hash
    assert kept is not None
    return kept


def trail(house: House) -> list[AuditEventType]:
    return [event.what for event in house.database.tables.audit_events.values()]


# --- Logging in ---


def test_number_and_password_log_in():
    house = House()
    asha = house.user_with_password(ASHA, OLD)
    principal = house.use_cases.auth.authenticate(log_in(house, OLD).token)
    assert principal.user_id == asha.user_id
    assert principal.session_id != asha.session_id


def test_no_account_no_password_and_a_wrong_one_look_alike():
    house = House()
    house.user_with_password(ASHA, OLD)
    house.user(RAVI)
    refusals = []
    for phone, password in ((ASHA, "not hers"), (RAVI, OLD), ("+919876500000", OLD)):
        with pytest.raises(CredentialsInvalid) as refused:
            log_in(house, password, phone)
        refusals.append((type(refused.value), refused.value.facts()))
    assert refusals == [(CredentialsInvalid, {})] * 3


def test_a_password_that_changes_while_it_is_compared_no_longer_logs_in():
    house = House()
    house.user_with_password(ASHA, OLD)
    code = house.code(ASHA, Purpose.PASSWORD_RESET)

    slow = SlowHasher(meanwhile=[lambda: reset(house, code)])
    with pytest.raises(CredentialsInvalid):
        log_in_with(house, slow)
    log_in(house, NEW)


def test_a_login_makes_a_hash_of_another_cost_anew_and_nothing_else_changes():
    house = House()
    asha = house.user_with_password(ASHA, OLD)
    token = log_in(house, OLD).token
    old, events = kept_hash(house, asha), trail(house)
    dearer = PlainPasswordHasher(cost=2)
    log_in_with(house, dearer)
    new = kept_hash(house, asha)
    assert new != old
    assert not dearer.needs_rehash(new)
    assert trail(house) == [*events, AuditEventType.LOGGED_IN]
    log_in_with(house, dearer)
    assert kept_hash(house, asha) == new
    with pytest.raises(CredentialsInvalid):
        log_in_with(house, dearer, NEW)
    assert is_logged_in(house, token)
    log_in(house, OLD)


def test_a_wrong_password_makes_no_hash_anew():
    house = House()
    asha = house.user_with_password(ASHA, OLD)
    old = kept_hash(house, asha)
    with pytest.raises(CredentialsInvalid):
        log_in_with(house, PlainPasswordHasher(cost=2), NEW)
    assert kept_hash(house, asha) == old


def test_a_password_that_is_set_while_the_hash_is_made_anew_stays():
    house = House()
    house.user_with_password(ASHA, OLD)
    code = house.code(ASHA, Purpose.PASSWORD_RESET)
    slow = SlowHasher(cost=2, meanwhile=[bool, lambda: reset(house, code)])
    with pytest.raises(CredentialsInvalid):
        log_in_with(house, slow)
    log_in(house, NEW)
    with pytest.raises(CredentialsInvalid):
        log_in(house, OLD)


@pytest.mark.parametrize("moment", ["compared", "made anew"])
def test_of_two_logins_at_once_both_succeed_while_the_hash_is_made_anew(moment: str):
    house = House()
    asha = house.user_with_password(ASHA, OLD)
    other = PlainPasswordHasher(cost=2)
    nothing_first: list[Callable[[], object]] = [bool] if moment == "made anew" else []
    slow = SlowHasher(cost=2, meanwhile=[*nothing_first, lambda: log_in_with(house, other)])
    assert is_logged_in(house, log_in_with(house, slow).token)
    assert not other.needs_rehash(kept_hash(house, asha))


def test_when_there_is_no_place_to_make_it_anew_the_login_succeeds_all_the_same():
    house = House()
    asha = house.user_with_password(ASHA, OLD)
    old = kept_hash(house, asha)

    def refuse() -> None:
        raise DependencyDown("password_hasher", retry_after=1)

    log_in_with(house, SlowHasher(cost=2, meanwhile=[bool, refuse]))
    assert kept_hash(house, asha) == old


# --- Forgotten ---


def test_a_reset_replaces_the_password():
    house = House()
    house.user_with_password(ASHA, OLD)
    reset(house, house.code(ASHA, Purpose.PASSWORD_RESET))
    log_in(house, NEW)
    with pytest.raises(CredentialsInvalid):
        log_in(house, OLD)


def test_a_reset_ends_every_session_of_the_user_at_once_and_no_other():
    house = House()
    here, there, his = house.token(ASHA), house.token(ASHA), house.token(RAVI)
    reset(house, house.code(ASHA, Purpose.PASSWORD_RESET))
    assert not is_logged_in(house, here)
    assert not is_logged_in(house, there)
    assert is_logged_in(house, his)


def test_a_wrong_code_resets_nothing_and_ends_nothing():
    house = House()
    house.user_with_password(ASHA, OLD)
    house.code(ASHA, Purpose.PASSWORD_RESET)
    token = house.token(ASHA)
    with pytest.raises(OtpInvalid):
        reset(house, "000000")
    assert is_logged_in(house, token)
    log_in(house, OLD)


def test_a_password_that_is_too_short_does_not_use_up_the_code():
    house = House()
    house.user(ASHA)
    code = house.code(ASHA, Purpose.PASSWORD_RESET)
    with pytest.raises(InvalidValue) as refused:
        reset(house, code, "short")
    assert refused.value.field == "newPassword"
    reset(house, code)


def test_a_reset_proves_a_number_that_was_new():
    house = House()
    house.use_cases.auth.sign_up(mobile_number=ASHA, password="planted by a thief")
    reset(house, house.code(ASHA, Purpose.PASSWORD_RESET))
    log_in(house, NEW)
    with pytest.raises(CredentialsInvalid):
        log_in(house, "planted by a thief")


# --- Changed ---


def test_forgot_then_verify_then_change_is_the_sources_flow():
    house = House()
    token = house.use_cases.auth.verify_code(mobile_number=ASHA, code=house.code(ASHA, Purpose.PASSWORD_RESET)).token
    change(house, house.use_cases.auth.authenticate(token))
    log_in(house, NEW)


def test_a_login_by_code_is_proof_for_ten_minutes():
    house = House()
    asha = house.user_with_password(ASHA, OLD)
    house.clock.advance(timedelta(minutes=10))
    change(house, asha)
    house.clock.advance(timedelta(microseconds=1))
    with pytest.raises(ReauthenticationNeeded):
        change(house, asha)


def test_a_login_by_password_is_no_proof_however_fresh():
    house = House()
    house.user_with_password(ASHA, OLD)
    principal = house.use_cases.auth.authenticate(log_in(house, OLD).token)
    with pytest.raises(ReauthenticationNeeded):
        change(house, principal)
    log_in(house, OLD)


def an_old_session(house: House):
    asha = house.user_with_password(ASHA, OLD)
    house.clock.advance(timedelta(hours=1))
    return asha


def test_the_current_password_is_proof():
    house = House()
    change(house, an_old_session(house), current_password=OLD)
    log_in(house, NEW)


def test_a_reset_code_is_proof():
    house = House()
    asha = an_old_session(house)
    change(house, asha, code=house.code(ASHA, Purpose.PASSWORD_RESET))
    log_in(house, NEW)


def test_a_wrong_proof_is_none_even_right_after_a_login_by_code():
    house = House()
    asha = house.user_with_password(ASHA, OLD)
    with pytest.raises(CredentialsInvalid):
        change(house, asha, current_password="not hers")
    with pytest.raises(OtpInvalid):
        change(house, asha, code="000000")
    log_in(house, OLD)


def test_the_reset_code_of_another_user_is_no_proof():
    house = House()
    asha = an_old_session(house)
    with pytest.raises(OtpInvalid):
        change(house, asha, code=house.code(RAVI, Purpose.PASSWORD_RESET))
    log_in(house, OLD)


def test_a_change_ends_the_other_sessions_and_keeps_this_one():
    house = House()
    other = house.token(ASHA)
    this = house.token(ASHA)
    change(house, house.use_cases.auth.authenticate(this))
    assert is_logged_in(house, this)
    assert not is_logged_in(house, other)


def test_a_reset_during_a_change_wins():
    """The owner resets to lock a thief out who knows the old password and is changing it at this very moment."""
    house = House()
    house.user_with_password(ASHA, OLD)
    thief = house.use_cases.auth.authenticate(log_in(house, OLD).token)
    code = house.code(ASHA, Purpose.PASSWORD_RESET)

    slow = SlowHasher(meanwhile=[bool, lambda: reset(house, code, "the owner's choice")])
    slow_change = replace(house.use_cases.auth.change_password, password_hasher=slow)
    with pytest.raises((Unauthenticated, NotAllowed)):
        slow_change(principal=thief, new_password="the thief's choice", current_password=OLD)
    log_in(house, "the owner's choice")
    with pytest.raises(CredentialsInvalid):
        log_in(house, "the thief's choice")


def change_with(house: House, hasher: PlainPasswordHasher, who: Principal, current_password: str | None = None) -> None:
    """Change the password where passwords are hashed in another way."""
    slow_change = replace(house.use_cases.auth.change_password, password_hasher=hasher)
    slow_change(principal=who, new_password=NEW, current_password=current_password)


@pytest.mark.parametrize("moment", ["compared", "hashed"])
def test_a_login_that_makes_the_hash_anew_is_in_no_other_logins_way(moment: str):
    house = House()
    asha = an_old_session(house)
    other = PlainPasswordHasher(cost=2)
    nothing_first: list[Callable[[], object]] = [bool] if moment == "hashed" else []
    slow = SlowHasher(cost=2, meanwhile=[*nothing_first, lambda: log_in_with(house, other)])
    change_with(house, slow, asha, current_password=OLD)
    log_in(house, NEW)
    with pytest.raises(CredentialsInvalid):
        log_in(house, OLD)


def test_a_reset_after_such_a_login_wins_all_the_same():
    house = House()
    asha = an_old_session(house)
    code = house.code(ASHA, Purpose.PASSWORD_RESET)
    other = PlainPasswordHasher(cost=2)
    slow = SlowHasher(
        cost=2, meanwhile=[lambda: log_in_with(house, other), bool, lambda: reset(house, code, "the owner's choice")]
    )
    with pytest.raises(ReauthenticationNeeded):
        change_with(house, slow, asha, current_password=OLD)
    log_in(house, "the owner's choice")


def test_without_the_password_a_hash_made_anew_cannot_be_told_from_a_reset():
    house = House()
    asha = house.user_with_password(ASHA, OLD)
    slow = SlowHasher(cost=2, meanwhile=[lambda: log_in_with(house, PlainPasswordHasher(cost=2))])
    with pytest.raises(ReauthenticationNeeded):
        change_with(house, slow, asha)
    change_with(house, slow, asha)
    log_in(house, NEW)


def test_who_is_erased_during_a_change_is_gone():
    house = House()
    asha = an_old_session(house)
    slow = SlowHasher(meanwhile=[lambda: house.use_cases.auth.erase_account(principal=asha)])
    with pytest.raises((Unauthenticated, NotAllowed)):
        change_with(house, slow, asha, current_password=OLD)
