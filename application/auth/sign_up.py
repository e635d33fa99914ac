"""Signing up with a mobile number."""

from dataclasses import dataclass

from application.auth.admission import forget_sign_up
from application.auth.audit import Recorder
from application.auth.passwords import AcceptPassword
from application.ports.audit import AuditEventType
from application.ports.password_hasher import PasswordHasher
from application.ports.phone_numbers import ReadPhoneNumber
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import UNKNOWN_ORIGIN, Origin, User, UserId
from domain.errors import PhoneTaken


@dataclass(frozen=True, slots=True)
class SignUp:
    """Creates an account for a number that has none. The number is verified later, by a one-time password."""

    unit_of_work: UnitOfWorkFactory
    read_phone_number: ReadPhoneNumber
    accept_password: AcceptPassword
    password_hasher: PasswordHasher
    recorder: Recorder
    clock: Clock
    new_id: NewId

    def __call__(
        self,
        *,
        mobile_number: str,
        name: str | None = None,
        email: str | None = None,
        password: str | None = None,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> User:
        """Returns the account. The same sign-up once more, with the same password, returns what the first one made.

        Raises PhoneTaken when the number has an account, and InvalidValue. Of two that differ for a number that neither
        has verified, neither counts: name, email and password of the first one are forgotten.
        """
        phone = self.read_phone_number(mobile_number)
        password_hash = None
        if password is not None:
            self.accept_password(password, field="password", phone=phone, names=(name, email))
            password_hash = self.password_hasher.hash(password)
        user = User(
            id=UserId(self.new_id()),
            phone=phone,
            name=name,
            email=email,
            password_hash=password_hash,
            created_at=self.clock(),
            verified_at=None,
        )
        with self.unit_of_work() as work:
            holder = work.users.by_phone(phone)
            if holder is None:
                work.users.add(user)
                self.recorder.record(work, AuditEventType.SIGNED_UP, user_id=user.id, phone=phone, origin=origin)
                work.commit()
                return user
        if holder.verified_at is None:
            return self._again(holder, user, password)
        raise PhoneTaken

    def _again(self, holder: User, user: User, password: str | None) -> User:
        if password is not None and self.password_hasher.matches(password, holder.password_hash):
            return holder
        with self.unit_of_work() as work:
            kept = work.users.get(holder.id)
            if kept is None or kept.verified_at is not None:  # verified or forgotten meanwhile
                raise PhoneTaken
            if password is not None or (kept.name, kept.email) != (user.name, user.email):
                forget_sign_up(work, kept)
                work.commit()
        raise PhoneTaken
