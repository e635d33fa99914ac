"""Requesting one-time passwords, and logging in with them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from application.auth.admission import admit
from application.auth.audit import Recorder
from application.auth.sessions import LoggedIn, StartSession
from application.ports.audit import AuditEventType
from application.ports.otp_budget import OtpBudget
from application.ports.otp_delivery import NotDelivered, OtpDelivery
from application.ports.otp_store import OtpStore
from application.ports.phone_numbers import ReadPhoneNumber
from application.ports.runtime import Clock, NewCode, NewId
from application.ports.served_countries import IsServed
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import UNKNOWN_ORIGIN, LoginMethod, Origin, PhoneNumber
from domain.errors import DependencyDown, InvalidValue, OtpLocked, OtpSendsExhausted
from domain.one_time_password import FixedCode, OtpPolicy, Purpose, SendCaps


@dataclass(frozen=True, slots=True)
class SentCode:
    """A code was sent. ``shown``: the code itself, only where it is delivered in the response."""

    expires_in: timedelta
    resend_in: timedelta
    shown: str | None


@dataclass(frozen=True, slots=True)
class SendCode:
    """Sends a code within the daily caps. After a failure the previous code is valid again, without a cool-down."""

    otp_store: OtpStore
    otp_budget: OtpBudget
    otp_delivery: OtpDelivery
    policy: OtpPolicy
    caps: SendCaps

    def __call__(self, phone: PhoneNumber, purpose: Purpose, code: str, *, address: str | None) -> str | None:
        """Returns what the response may show.

        Raises OtpResendTooSoon, OtpLocked, OtpSendsExhausted or DependencyDown.
        """
        self.otp_store.put(phone, purpose, code, self.policy)
        try:
            self.otp_budget.take(phone, address, self.caps)
        except (OtpSendsExhausted, DependencyDown):
            self.otp_store.withdraw(phone, purpose)
            raise
        try:
            return self.otp_delivery.deliver(phone, code, purpose)
        except NotDelivered as failure:
            self.otp_store.withdraw(phone, purpose)
            # A code that may have been sent may be billed, so it counts: a slow provider must not lift the caps.
            if failure.surely:
                self.otp_budget.give_back(phone, address, self.caps)
            raise DependencyDown("otp_delivery", retry_after=5) from None


@dataclass(frozen=True, slots=True)
class RequestCode:
    """Sends a one-time password. The response does not tell whether the number has an account."""

    send_code: SendCode
    otp_store: OtpStore
    read_phone_number: ReadPhoneNumber
    is_served: IsServed
    recorder: Recorder
    clock: Clock
    new_code: NewCode
    policy: OtpPolicy
    fixed_codes: Collection[FixedCode] = ()

    def __call__(self, *, mobile_number: str, purpose: Purpose, origin: Origin = UNKNOWN_ORIGIN) -> SentCode:
        """Returns when the code was handed to delivery.

        Raises OtpResendTooSoon, OtpLocked, OtpSendsExhausted or InvalidValue; DependencyDown when the store or the
        delivery is down, and then nothing has changed.
        """
        phone = self.read_phone_number(mobile_number)
        if not self.is_served(phone):
            raise InvalidValue("mobileNumber", "of a country that this service does not send codes to")
        fixed = self._fixed_code(phone)
        if fixed is not None:
            self.otp_store.put(phone, purpose, fixed, self.policy)
            return SentCode(self.policy.lifetime, self.policy.resend_after, None)
        shown = self._send(phone, purpose, origin)
        return SentCode(self.policy.lifetime, self.policy.resend_after, shown)

    def _send(self, phone: PhoneNumber, purpose: Purpose, origin: Origin) -> str | None:
        code = self.new_code(self.policy.digits)
        try:
            shown = self.send_code(phone, purpose, code, address=origin.address)
        except (OtpSendsExhausted, DependencyDown):
            self.recorder.record_alone(AuditEventType.CODE_NOT_SENT, phone=phone, origin=origin)
            raise
        self.recorder.record_alone(AuditEventType.CODE_SENT, phone=phone, origin=origin)
        return shown

    def _fixed_code(self, phone: PhoneNumber) -> str | None:
        today = self.clock().date()
        return next((fixed.code for fixed in self.fixed_codes if fixed.phone == phone and today <= fixed.until), None)


@dataclass(frozen=True, slots=True)
class RedeemCode:
    """Uses up a code. A number that gets locked is recorded in the audit trail."""

    otp_store: OtpStore
    recorder: Recorder
    policy: OtpPolicy

    def __call__(self, phone: PhoneNumber, purposes: Collection[Purpose], code: str, *, origin: Origin) -> None:
        """Raises OtpInvalid, OtpLocked, or DependencyDown when the store is down."""
        try:
            self.otp_store.redeem(phone, purposes, code, self.policy)
        except OtpLocked:
            self.recorder.record_alone(AuditEventType.CODE_LOCKED, phone=phone, origin=origin)
            raise


@dataclass(frozen=True, slots=True)
class VerifyCode:
    """Logs in with a one-time password. A number without an account gets one."""

    unit_of_work: UnitOfWorkFactory
    redeem_code: RedeemCode
    read_phone_number: ReadPhoneNumber
    start_session: StartSession
    clock: Clock
    new_id: NewId

    def __call__(self, *, mobile_number: str, code: str, origin: Origin = UNKNOWN_ORIGIN) -> LoggedIn:
        """Returns a new session. Raises OtpInvalid, OtpLocked, or DependencyDown when the store is down.

        A password-reset code logs in, too, for the flow forgot -> verify -> change.
        """
        phone = self.read_phone_number(mobile_number)
        self.redeem_code(phone, (Purpose.LOGIN, Purpose.PASSWORD_RESET), code, origin=origin)
        now = self.clock()
        with self.unit_of_work() as work:
            user = admit(work, phone, new_id=self.new_id, at=now)
            logged_in = self.start_session(work, user, method=LoginMethod.OTP, at=now, origin=origin)
            work.commit()
        return logged_in
