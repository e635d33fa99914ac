"""Passwords: an optional way to log in beside the one-time password."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from application.auth.admission import admit, is_known
from application.auth.audit import Recorder
from application.auth.one_time_passwords import RedeemCode
from application.auth.rate_limits import by_network
from application.auth.sessions import LoggedIn, StartSession
from application.ports.audit import AuditEventType
from application.ports.common_passwords import IsCommonPassword
from application.ports.otp_store import OtpStore
from application.ports.password_hasher import PasswordHasher
from application.ports.phone_numbers import ReadPhoneNumber
from application.ports.rate_limiter import Hit, Limit, RateLimiter
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import (
    UNKNOWN_ORIGIN,
    LoginMethod,
    Origin,
    PhoneNumber,
    Principal,
    User,
    UserId,
    check_password,
    is_guessable,
)
from domain.errors import (
    AccountLocked,
    CredentialsInvalid,
    DependencyDown,
    InvalidValue,
    ReauthenticationNeeded,
    TokenInvalid,
)
from domain.one_time_password import Purpose

# Wrong passwords of one number from one address; wider networks have more (domain.networks).
PASSWORD_TRIES = Limit("password", 10, timedelta(minutes=15))
# Wrong passwords of one number from everywhere. Beyond them only addresses from which its owner has
# logged in are heard; from others the one-time password still works.
PASSWORD_FAILURES = Limit("password_failures", 100, timedelta(days=1))
# A hash that is replaced during the comparison may be of the same password, rehashed by another login.
COMPARISONS = 2


@dataclass(frozen=True, slots=True)
class AcceptPassword:
    is_common: IsCommonPassword

    def __call__(self, password: str, *, field: str, phone: PhoneNumber, names: Collection[str | None] = ()) -> str:
        """Returns ``password``. Raises InvalidValue when it is too short, too long, or what others try first.

        That is the most common ones, and what they know: the number, ``names`` of the user, the service's name.
        """
        if self.is_common(check_password(password, field=field)):
            raise InvalidValue(field, "is one of the most common passwords")
        if is_guessable(password, phone=phone, names=names):
            raise InvalidValue(field, "is too easy to guess from the number, the name or the service")
        return password


@dataclass(frozen=True, slots=True)
class CountPasswordTry:
    """Limits guesses at one account's password, by the networks that they come from and in all.

    Tries are counted before the comparison, so that many at once gain nothing; one that was right is given back.
    """

    rate_limiter: RateLimiter
    unit_of_work: UnitOfWorkFactory
    recorder: Recorder
    clock: Clock

    @contextmanager
    def __call__(self, phone: PhoneNumber, *, origin: Origin) -> Iterator[None]:
        """Counts one try if the block raises CredentialsInvalid. Raises RateLimited when there were too many."""
        hits = self._hits(phone, origin)
        statuses = self.rate_limiter(hits)
        *near, everywhere = statuses
        refusal = next((status for status in near if status.exceeded), None)
        if refusal is None and everywhere.exceeded and not self._is_known(phone, origin):
            refusal = everywhere
        if refusal is not None:
            # What is not compared is no failure: one address alone must not use up what all have.
            self.rate_limiter.give_back([hit for hit, one in zip(hits, statuses, strict=True) if not one.exceeded])
            if refusal.used == refusal.limit.amount + 1:  # recorded once for each window
                self.recorder.record_alone(AuditEventType.LOGIN_LIMITED, phone=phone, origin=origin)
            raise refusal.refusal()
        try:
            yield
        except CredentialsInvalid:
            raise
        except Exception:
            self.rate_limiter.give_back(hits)
            raise
        self.rate_limiter.give_back(hits)

    def _hits(self, phone: PhoneNumber, origin: Origin) -> list[Hit]:
        near = by_network(PASSWORD_TRIES, origin.address or "", of=phone.e164)
        return [*near, Hit(PASSWORD_FAILURES, phone.e164)]

    def _is_known(self, phone: PhoneNumber, origin: Origin) -> bool:
        with self.unit_of_work() as work:
            return is_known(work, work.users.by_phone(phone), origin, at=self.clock())


@dataclass(frozen=True, slots=True)
class LogIn:
    """Logs in with number and password. An unverified number, no account and no password fail in the same way.

    A hash that was made at another cost is replaced here, where the password is known.
    """

    unit_of_work: UnitOfWorkFactory
    read_phone_number: ReadPhoneNumber
    password_hasher: PasswordHasher
    count_try: CountPasswordTry
    start_session: StartSession
    recorder: Recorder
    clock: Clock

    def __call__(self, *, mobile_number: str, password: str, origin: Origin = UNKNOWN_ORIGIN) -> LoggedIn:
        """Returns a new session. Raises CredentialsInvalid, RateLimited, or AccountLocked once the password matched."""
        phone = self.read_phone_number(mobile_number)
        try:
            with self.count_try(phone, origin=origin):
                return self._log_in(phone, password, origin)
        except CredentialsInvalid:
            self.recorder.record_alone(AuditEventType.LOGIN_FAILED, phone=phone, origin=origin)
            raise

    def _log_in(self, phone: PhoneNumber, password: str, origin: Origin) -> LoggedIn:
        for _ in range(COMPARISONS):
            with self.unit_of_work() as work:
                user = work.users.by_phone(phone)
            password_hash = user.password_hash if user and user.verified_at else None
            if not self.password_hasher.matches(password, password_hash) or user is None or password_hash is None:
                raise CredentialsInvalid
            renewed = self._renewed(password, password_hash)
            logged_in = self._start_session(user.id, password_hash, renewed=renewed, origin=origin)
            if logged_in is not None:
                return logged_in
        raise CredentialsInvalid

    def _renewed(self, password: str, password_hash: str) -> str:
        """The hash to keep of a matching password: a new one if the cost of hashes has changed."""
        if not self.password_hasher.needs_rehash(password_hash):
            return password_hash
        try:
            return self.password_hasher.hash(password)
        except DependencyDown:  # too many hashes at once: the next login tries again
            return password_hash

    def _start_session(self, user_id: UserId, password_hash: str, *, renewed: str, origin: Origin) -> LoggedIn | None:
        """A new session; None when the hash was replaced while the password was compared."""
        with self.unit_of_work() as work:
            user = work.users.get(user_id)
            if user is None or user.password_hash != password_hash:
                return None
            if user.locked_at is not None:
                raise AccountLocked
            if renewed != password_hash:
                work.users.set_password(user_id, renewed)
            logged_in = self.start_session(work, user, method=LoginMethod.PASSWORD, at=self.clock(), origin=origin)
            work.commit()
        return logged_in


@dataclass(frozen=True, slots=True)
class ResetPassword:
    """Sets a password by a password-reset code, and ends every session of the account."""

    unit_of_work: UnitOfWorkFactory
    otp_store: OtpStore
    redeem_code: RedeemCode
    read_phone_number: ReadPhoneNumber
    accept_password: AcceptPassword
    password_hasher: PasswordHasher
    recorder: Recorder
    clock: Clock
    new_id: NewId

    def __call__(self, *, mobile_number: str, code: str, new_password: str, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Ends the other codes of the number, too.

        Raises OtpInvalid, OtpLocked, AccountLocked, InvalidValue, or DependencyDown when hasher, database or store has
        no place or is down; then the code is as good as it was.
        """
        phone = self.read_phone_number(mobile_number)
        with self.unit_of_work() as work:
            user = work.users.by_phone(phone)
        names = (user.name, user.email) if user and user.verified_at else ()
        self.accept_password(new_password, field="newPassword", phone=phone, names=names)
        password_hash = self.password_hasher.hash(new_password)
        with self.redeem_code(phone, (Purpose.PASSWORD_RESET,), code, origin=origin), self.unit_of_work() as work:
            digests = self.recorder.digests(phone)
            user = admit(work, phone, new_id=self.new_id, at=self.clock(), phone_digests=digests)
            work.users.set_password(user.id, password_hash)
            work.sessions.end_all(user.id)
            self.recorder.record(work, AuditEventType.PASSWORD_RESET, user_id=user.id, phone=phone, origin=origin)
            work.commit()
        self.otp_store.void(phone)


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """Sets a password for a user who is logged in, and ends the user's other sessions.

    Besides the token it takes the current password, a password-reset code, or a login by one-time password at most
    ten minutes old.
    """

    unit_of_work: UnitOfWorkFactory
    otp_store: OtpStore
    redeem_code: RedeemCode
    accept_password: AcceptPassword
    password_hasher: PasswordHasher
    count_try: CountPasswordTry
    recorder: Recorder
    clock: Clock

    def __call__(
        self,
        *,
        principal: Principal,
        new_password: str,
        current_password: str | None = None,
        code: str | None = None,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> None:
        """Raises CredentialsInvalid, RateLimited, OtpInvalid, OtpLocked, ReauthenticationNeeded or InvalidValue."""
        user = self._user(principal.user_id)
        self.accept_password(new_password, field="newPassword", phone=user.phone, names=(user.name, user.email))
        if current_password is not None:
            # A stolen token must not help to guess the password.
            with self.count_try(user.phone, origin=origin):
                if not self.password_hasher.matches(current_password, user.password_hash):
                    raise CredentialsInvalid
        elif code is None and not principal.proved_the_number_lately(at=self.clock()):
            raise ReauthenticationNeeded
        password_hash = self.password_hasher.hash(new_password)
        if current_password is None and code is not None:
            with self.redeem_code(user.phone, (Purpose.PASSWORD_RESET,), code, origin=origin):
                self._set(user, password_hash, principal, None, origin)
        else:
            self._set(user, password_hash, principal, current_password, origin)
        self.otp_store.void(user.phone)

    def _set(
        self, user: User, password_hash: str, principal: Principal, current_password: str | None, origin: Origin
    ) -> None:
        if self._replace(user.password_hash, password_hash, principal, origin):
            return
        # Another login may have rehashed the same password; the password tells that apart from a reset.
        if current_password is not None:
            kept = self._user(principal.user_id).password_hash
            matches = self.password_hasher.matches(current_password, kept)
            if matches and self._replace(kept, password_hash, principal, origin):
                return
        raise ReauthenticationNeeded

    def _replace(self, kept: str | None, password_hash: str, principal: Principal, origin: Origin) -> bool:
        """Stores the new hash. False when the stored hash is no longer ``kept``.

        So a password reset that happened during the slow hashing is not overwritten by a user of the old password.
        """
        with self.unit_of_work() as work:
            current = work.users.get(principal.user_id)
            if current is None or current.password_hash != kept:
                return False
            work.users.set_password(principal.user_id, password_hash)
            work.sessions.end_all(principal.user_id, but=principal.session_id)
            self.recorder.record(
                work,
                AuditEventType.PASSWORD_CHANGED,
                user_id=principal.user_id,
                session_id=principal.session_id,
                origin=origin,
            )
            work.commit()
        return True

    def _user(self, user_id: UserId) -> User:
        with self.unit_of_work() as work:
            user = work.users.get(user_id)
        if user is None:  # erased since the token was checked
            raise TokenInvalid
        return user
