"""Users look at themselves."""

from dataclasses import dataclass

from application.ports.reader import Profile, Reader
from domain.accounts import UserId
from domain.errors import TokenInvalid
from domain.plans import Allowances


@dataclass(frozen=True, slots=True)
class ShowProfile:
    """A user's own account with plan and today's use."""

    reader: Reader
    allowances: Allowances

    def __call__(self, *, user_id: UserId) -> Profile:
        """The profile. TokenInvalid when the account was erased since the token was checked."""
        profile = self.reader.profile(user_id, allowances=self.allowances)
        if profile is None:
            raise TokenInvalid
        return profile
