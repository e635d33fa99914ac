"""Requesting one-time passwords, and logging in with them."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from application.auth.admission import admit, is_known
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
from domain.accounts import UNKNOWN_ORIGIN, LoginMethod, Origin, PhoneNumber, SessionId
from domain.errors import DependencyDown, InvalidValue, OtpInvalid, OtpLocked, OtpSendsExhausted
from domain.languages import DEFAULT_LANGUAGE, Language
from domain.one_time_password import FixedCode, OtpPolicy, Purpose, SendCaps, read_code


@dataclass(frozen=True, slots=True)
class SentCode:
    """A code was sent. ``shown``: the code itself, only where it is delivered in the response."""

    expires_in: timedelta
    resend_in: timedelta
    shown: str | None


@dataclass(frozen=True, slots=True)
class SendCode:
    """Sends a code within the daily caps. What was surely not sent leaves neither a code nor a cool-down."""

    otp_store: OtpStore
    otp_budget: OtpBudget
    otp_delivery: OtpDelivery
    policy: OtpPolicy
    caps: SendCaps

    def __call__(
        self,
        phone: PhoneNumber,
        purpose: Purpose,
        code: str,
        *,
        language: Language,
        origin: Origin,
        known: bool = False,
    ) -> str | None:
        """Returns what the response may show. A code that may have been sent is valid, as one that was.

        Raises OtpResendTooSoon, OtpLocked, OtpSendsExhausted or DependencyDown.
        """
        self.otp_store.put(phone, purpose, code, self.policy, origin)
        try:
            self.otp_budget.take(phone, origin.address, self.caps, known=known)
        except (OtpSendsExhausted, DependencyDown):
            self.otp_store.withdraw(phone, purpose, origin)
            raise
        try:
            return self.otp_delivery.deliver(phone, code, purpose, language)
        except NotDelivered as failure:
            # A code that may have been sent may be billed and used, so it counts: a slow provider must not lift caps.
            if failure.surely:
                self.otp_store.withdraw(phone, purpose, origin)
                self.otp_budget.give_back(phone, origin.address, self.caps, known=known)
            raise DependencyDown("otp_delivery", retry_after=5) from None


@dataclass(frozen=True, slots=True)
class RequestCode:
    """Sends a one-time password. The response does not tell whether the number has an account."""

    send_code: SendCode
    otp_store: OtpStore
    read_phone_number: ReadPhoneNumber
    is_served: IsServed
    unit_of_work: UnitOfWorkFactory
    recorder: Recorder
    clock: Clock
    new_code: NewCode
    policy: OtpPolicy
    fixed_codes: Collection[FixedCode] = ()

    def __call__(
        self,
        *,
        mobile_number: str,
        purpose: Purpose,
        language: Language = DEFAULT_LANGUAGE,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> SentCode:
        """Returns when the code was handed to delivery. ``language``: of the text that carries it.

        Raises OtpResendTooSoon, OtpLocked, OtpSendsExhausted or InvalidValue; DependencyDown when the database, the
        store or the delivery is down. Without the database nothing is sent: no login could follow.
        """
        phone = self.read_phone_number(mobile_number)
        if not self.is_served(phone):
            raise InvalidValue("mobileNumber", "of a country that this service does not send codes to")
        with self.unit_of_work() as work:
            known = is_known(work, work.users.by_phone(phone), origin, at=self.clock())
        fixed = self._fixed_code(phone)
        if fixed is not None:
            self.otp_store.put(phone, purpose, fixed, self.policy, origin)
            return SentCode(self.policy.lifetime, self.policy.resend_after, None)
        shown = self._send(phone, purpose, language, origin, known=known)
        return SentCode(self.policy.lifetime, self.policy.resend_after, shown)

    def _send(
        self, phone: PhoneNumber, purpose: Purpose, language: Language, origin: Origin, *, known: bool
    ) -> str | None:
        code = self.new_code(self.policy.digits)
        try:
            shown = self.send_code(phone, purpose, code, language=language, origin=origin, known=known)
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
    """Uses up a code. A number that gets locked is recorded in the audit trail.

    Codes are read in the digits of every script. A text that cannot be a code is refused and not counted.
    """

    otp_store: OtpStore
    recorder: Recorder
    policy: OtpPolicy

    @contextmanager
    def __call__(
        self, phone: PhoneNumber, purposes: Collection[Purpose], code: str, *, origin: Origin
    ) -> Iterator[None]:
        """The code is used up if the block succeeds: what failed for another reason leaves it valid.

        Raises OtpInvalid, OtpLocked, InvalidValue, or DependencyDown when the store is down.
        """
        digits = read_code(code)
        with self._recorded(phone, origin):
            purpose = self.otp_store.redeem(phone, purposes, digits, self.policy, origin)
        with self._given_back(phone, purpose, digits):
            yield

    @contextmanager
    def once(
        self,
        phone: PhoneNumber,
        purposes: Collection[Purpose],
        code: str,
        *,
        session_id: SessionId,
        origin: Origin,
    ) -> Iterator[SessionId]:
        """As the call, and gives the session to begin: that of the first use, if the same client sent it twice."""
        digits = read_code(code)
        with self._recorded(phone, origin):
            redeemed = self.otp_store.redeem_once(
                phone, purposes, digits, self.policy, receipt=str(session_id), origin=origin
            )
        with self._given_back(phone, redeemed.purpose, digits):
            yield SessionId(UUID(redeemed.receipt))

    @contextmanager
    def _recorded(self, phone: PhoneNumber, origin: Origin) -> Iterator[None]:
        try:
            yield
        except OtpLocked:
            self.recorder.record_alone(AuditEventType.CODE_LOCKED, phone=phone, origin=origin)
            raise

    @contextmanager
    def _given_back(self, phone: PhoneNumber, purpose: Purpose, code: str) -> Iterator[None]:
        try:
            yield
        except OtpInvalid:
            raise
        except Exception:
            self.otp_store.give_back(phone, purpose, code)
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
        """Returns a new session; that of the first time, if the same client sends the same code twice.

        Raises OtpInvalid, OtpLocked, AccountLocked, InvalidValue, or DependencyDown when the database or the store is
        down. A password-reset code logs in, too, for the flow forgot -> verify -> change.
        """
        phone = self.read_phone_number(mobile_number)
        purposes = (Purpose.LOGIN, Purpose.PASSWORD_RESET)
        begun = SessionId(self.new_id())
        with self.redeem_code.once(phone, purposes, code, session_id=begun, origin=origin) as session_id:
            now = self.clock()
            with self.unit_of_work() as work:
                digests = self.redeem_code.recorder.digests(phone)
                user = admit(work, phone, new_id=self.new_id, at=now, phone_digests=digests)
                logged_in = self.start_session.resume(work, user, session_id, at=now) if session_id != begun else None
                if logged_in is None:
                    logged_in = self.start_session(
                        work, user, method=LoginMethod.OTP, at=now, origin=origin, session_id=session_id
                    )
                work.commit()
        return logged_in
