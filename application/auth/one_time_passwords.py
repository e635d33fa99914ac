"""A person asks for a one-time password and logs in with it."""

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
    """A code is on its way. ``shown``: the code itself, only where delivery is by the response."""

    expires_in: timedelta
    resend_in: timedelta
    shown: str | None


@dataclass(frozen=True, slots=True)
class SendCode:
    """Puts a code on its way, within the day's caps. A send that fails leaves the code before it, and no cool-down."""

    otp_store: OtpStore
    otp_budget: OtpBudget
    otp_delivery: OtpDelivery
    policy: OtpPolicy
    caps: SendCaps

    def __call__(self, phone: PhoneNumber, purpose: Purpose, code: str, *, address: str | None) -> str | None:
        """What may be shown to whoever asked. OtpResendTooSoon, OtpLocked, OtpSendsExhausted, DependencyDown."""
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
            # What may have been sent may have to be paid for: a provider that is slow must not undo the ceiling.
            if failure.surely:
                self.otp_budget.give_back(phone, address, self.caps)
            raise DependencyDown("otp_delivery", retry_after=5) from None


@dataclass(frozen=True, slots=True)
class RequestCode:
    """Sends a one-time password. Known and unknown numbers are treated alike, so that nobody can tell them apart."""

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
        """The code was handed to delivery.

        OtpResendTooSoon, OtpLocked, OtpSendsExhausted; InvalidValue; DependencyDown without the store or the delivery:
        then it is as if nobody had asked.
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
            self.recorder.note_alone(AuditEventType.CODE_NOT_SENT, phone=phone, origin=origin)
            raise
        self.recorder.note_alone(AuditEventType.CODE_SENT, phone=phone, origin=origin)
        return shown

    def _fixed_code(self, phone: PhoneNumber) -> str | None:
        today = self.clock().date()
        return next((fixed.code for fixed in self.fixed_codes if fixed.phone == phone and today <= fixed.until), None)


@dataclass(frozen=True, slots=True)
class RedeemCode:
    """Uses up a code; that a number was locked is noted for the operator."""

    otp_store: OtpStore
    recorder: Recorder
    policy: OtpPolicy

    def __call__(self, phone: PhoneNumber, purposes: Collection[Purpose], code: str, *, origin: Origin) -> None:
        """Used up. OtpInvalid, OtpLocked; DependencyDown without the store."""
        try:
            self.otp_store.redeem(phone, purposes, code, self.policy)
        except OtpLocked:
            self.recorder.note_alone(AuditEventType.CODE_LOCKED, phone=phone, origin=origin)
            raise


@dataclass(frozen=True, slots=True)
class VerifyCode:
    """Logs in with a one-time password; a number verified for the first time becomes an account."""

    unit_of_work: UnitOfWorkFactory
    redeem_code: RedeemCode
    read_phone_number: ReadPhoneNumber
    start_session: StartSession
    clock: Clock
    new_id: NewId

    def __call__(self, *, mobile_number: str, code: str, origin: Origin = UNKNOWN_ORIGIN) -> LoggedIn:
        """A new session. OtpInvalid, OtpLocked; DependencyDown without the store.

        A password-reset code logs in too, for the flow forgot -> verify -> change.
        """
        phone = self.read_phone_number(mobile_number)
        self.redeem_code(phone, (Purpose.LOGIN, Purpose.PASSWORD_RESET), code, origin=origin)
        now = self.clock()
        with self.unit_of_work() as work:
            user = admit(work, phone, new_id=self.new_id, at=now)
            logged_in = self.start_session(work, user, method=LoginMethod.OTP, at=now, origin=origin)
            work.commit()
        return logged_in
