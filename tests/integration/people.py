"""People who use the service."""

from itertools import count

from application.auth.sessions import LoggedIn
from application.use_cases import UseCases
from domain.accounts import UNKNOWN_ORIGIN, Origin, UserId
from domain.one_time_password import Purpose

_numbers = count(9_100_000_000)


def a_mobile_number() -> str:
    """An unused number."""
    return f"+91{next(_numbers)}"


def log_in(use_cases: UseCases, mobile_number: str, origin: Origin = UNKNOWN_ORIGIN) -> LoggedIn:
    sent = use_cases.auth.request_code(mobile_number=mobile_number, purpose=Purpose.LOGIN, origin=origin)
    assert sent.shown is not None
    return use_cases.auth.verify_code(mobile_number=mobile_number, code=sent.shown, origin=origin)


def new_user(use_cases: UseCases) -> UserId:
    """A user who has logged in."""
    return log_in(use_cases, a_mobile_number()).user.id
