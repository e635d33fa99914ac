"""Passwords: an optional second way in beside the one-time password."""

from dataclasses import dataclass

from application.auth.admission import admit
from application.auth.sessions import LoggedIn, StartSession
from application.ports.otp_store import OtpStore
from application.ports.password_hasher import PasswordHasher
from application.ports.phone_numbers import ReadPhoneNumber
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import Begin
from domain.accounts import LoginMethod, Principal, User, UserId, check_password
from domain.errors import CredentialsInvalid, ReauthenticationNeeded, TokenInvalid
from domain.one_time_password import OtpPolicy, Purpose


@dataclass(frozen=True, slots=True)
class LogIn:
    """Logs in with number and password. An unproven number, no account and no password all look the same."""

    begin: Begin
    read_phone_number: ReadPhoneNumber
    password_hasher: PasswordHasher
    start_session: StartSession
    clock: Clock

    def __call__(self, *, mobile_number: str, password: str) -> LoggedIn:
        """A new session, or CredentialsInvalid."""
        phone = self.read_phone_number(mobile_number)
        with self.begin() as work:
            user = work.users.by_phone(phone)
        password_hash = user.password_hash if user and user.verified_at else None
        if not self.password_hasher.matches(password, password_hash) or user is None:
            raise CredentialsInvalid
        with self.begin() as work:
            current = work.users.get(user.id)
            # It may have been changed while the slow comparison ran.
            if current is None or current.password_hash != password_hash:
                raise CredentialsInvalid
            logged_in = self.start_session(work, current, method=LoginMethod.PASSWORD, at=self.clock())
            work.commit()
        return logged_in


@dataclass(frozen=True, slots=True)
class ResetPassword:
    """Sets a password with a password-reset code and ends every session of the account."""

    begin: Begin
    otp_store: OtpStore
    read_phone_number: ReadPhoneNumber
    password_hasher: PasswordHasher
    clock: Clock
    new_id: NewId
    policy: OtpPolicy

    def __call__(self, *, mobile_number: str, code: str, new_password: str) -> None:
        """Done, or OtpInvalid, OtpLocked, InvalidValue; DependencyDown without the store."""
        phone = self.read_phone_number(mobile_number)
        check_password(new_password, field="newPassword")
        self.otp_store.redeem(phone, (Purpose.PASSWORD_RESET,), code, self.policy)
        password_hash = self.password_hasher.hash(new_password)
        with self.begin() as work:
            user = admit(work, phone, new_id=self.new_id, at=self.clock())
            work.users.set_password(user.id, password_hash)
            work.sessions.end_all(user.id)
            work.commit()


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """Sets a password for a user who is logged in, and ends the user's other sessions.

    A bare token is not enough: it takes the current password, a password-reset code, or a login by one-time password
    at most ten minutes old.
    """

    begin: Begin
    otp_store: OtpStore
    password_hasher: PasswordHasher
    clock: Clock
    policy: OtpPolicy

    def __call__(
        self,
        *,
        principal: Principal,
        new_password: str,
        current_password: str | None = None,
        code: str | None = None,
    ) -> None:
        """Done, or CredentialsInvalid, OtpInvalid, OtpLocked, ReauthenticationNeeded, InvalidValue."""
        check_password(new_password, field="newPassword")
        user = self._user(principal.user_id)
        if current_password is not None:
            if not self.password_hasher.matches(current_password, user.password_hash):
                raise CredentialsInvalid
        elif code is not None:
            self.otp_store.redeem(user.phone, (Purpose.PASSWORD_RESET,), code, self.policy)
        elif not principal.proved_the_number_lately(at=self.clock()):
            raise ReauthenticationNeeded
        password_hash = self.password_hasher.hash(new_password)
        with self.begin() as work:
            current = work.users.get(user.id)
            # Who has reset the password while the slow hashes ran has the last word, not who knew the old one.
            if current is None or current.password_hash != user.password_hash:
                raise ReauthenticationNeeded
            work.users.set_password(user.id, password_hash)
            work.sessions.end_all(user.id, but=principal.session_id)
            work.commit()

    def _user(self, user_id: UserId) -> User:
        with self.begin() as work:
            user = work.users.get(user_id)
        if user is None:  # erased since the token was checked
            raise TokenInvalid
        return user
