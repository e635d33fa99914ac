"""A person asks for a one-time password and logs in with it."""

from dataclasses import dataclass
from datetime import timedelta

from application.auth.admission import admit
from application.auth.sessions import LoggedIn, StartSession
from application.ports.otp_delivery import OtpDelivery
from application.ports.otp_store import OtpStore
from application.ports.phone_numbers import ReadPhoneNumber
from application.ports.runtime import Clock, NewCode, NewId
from application.ports.unit_of_work import Begin
from domain.accounts import LoginMethod
from domain.one_time_password import OtpPolicy, Purpose


@dataclass(frozen=True, slots=True)
class SentCode:
    """A code is on its way. ``shown``: the code itself, only where delivery is by the response."""

    expires_in: timedelta
    resend_in: timedelta
    shown: str | None


@dataclass(frozen=True, slots=True)
class RequestCode:
    """Sends a one-time password. Known and unknown numbers are treated alike, so that nobody can tell them apart."""

    otp_store: OtpStore
    otp_delivery: OtpDelivery
    read_phone_number: ReadPhoneNumber
    new_code: NewCode
    policy: OtpPolicy

    def __call__(self, *, mobile_number: str, purpose: Purpose) -> SentCode:
        """The code was handed to delivery. OtpResendTooSoon; InvalidValue; DependencyDown without the store."""
        phone = self.read_phone_number(mobile_number)
        code = self.new_code(self.policy.digits)
        self.otp_store.put(phone, purpose, code, self.policy)
        shown = self.otp_delivery.deliver(phone, code, purpose)
        return SentCode(self.policy.lifetime, self.policy.resend_after, shown)


@dataclass(frozen=True, slots=True)
class VerifyCode:
    """Logs in with a one-time password; a number verified for the first time becomes an account."""

    begin: Begin
    otp_store: OtpStore
    read_phone_number: ReadPhoneNumber
    start_session: StartSession
    clock: Clock
    new_id: NewId
    policy: OtpPolicy

    def __call__(self, *, mobile_number: str, code: str) -> LoggedIn:
        """A new session. OtpInvalid, OtpLocked; DependencyDown without the store.

        A password-reset code logs in too, for the flow forgot -> verify -> change.
        """
        phone = self.read_phone_number(mobile_number)
        self.otp_store.redeem(phone, (Purpose.LOGIN, Purpose.PASSWORD_RESET), code, self.policy)
        now = self.clock()
        with self.begin() as work:
            user = admit(work, phone, new_id=self.new_id, at=now)
            logged_in = self.start_session(work, user, method=LoginMethod.OTP, at=now)
            work.commit()
        return logged_in
