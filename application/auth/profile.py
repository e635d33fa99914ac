"""Reading and changing a user's own profile."""

from dataclasses import dataclass

from application.auth.audit import Recorder
from application.ports.audit import AuditEventType
from application.ports.reader import Profile, Reader
from application.ports.unit_of_work import UnitOfWorkFactory
from application.unset import UNSET, Unset
from domain.accounts import UNKNOWN_ORIGIN, Origin, Principal, UserId
from domain.errors import TokenInvalid
from domain.plans import Allowances


@dataclass(frozen=True, slots=True)
class ShowProfile:
    """Reads a user's own account with plan and today's use."""

    reader: Reader
    allowances: Allowances

    def __call__(self, *, user_id: UserId) -> Profile:
        """Raises TokenInvalid when the account was erased since the token was checked."""
        profile = self.reader.profile(user_id, allowances=self.allowances)
        if profile is None:
            raise TokenInvalid
        return profile


@dataclass(frozen=True, slots=True)
class ChangeProfile:
    """Replaces a user's name or email. The number identifies the account, and cannot be changed."""

    unit_of_work: UnitOfWorkFactory
    show_profile: ShowProfile
    recorder: Recorder

    def __call__(
        self,
        *,
        principal: Principal,
        name: str | Unset | None = UNSET,
        email: str | Unset | None = UNSET,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> Profile:
        """Returns the new profile. Raises TokenInvalid when the account was erased since the token was checked."""
        with self.unit_of_work() as work:
            user = work.users.get(principal.user_id)
            if user is None:
                raise TokenInvalid
            work.users.set_profile(
                user.id,
                name=user.name if isinstance(name, Unset) else name,
                email=user.email if isinstance(email, Unset) else email,
            )
            self.recorder.record(
                work,
                AuditEventType.PROFILE_CHANGED,
                user_id=user.id,
                session_id=principal.session_id,
                origin=origin,
            )
            work.commit()
        return self.show_profile(user_id=principal.user_id)
