"""Users look at their plan and how much of it is used."""

from dataclasses import dataclass

from application.ports.reader import Reader, Standing
from domain.accounts import UserId
from domain.plans import Allowances


@dataclass(frozen=True, slots=True)
class ShowStanding:
    """Plan, subscription and today's use, read from our own tables at this moment."""

    reader: Reader
    allowances: Allowances

    def __call__(self, *, user_id: UserId) -> Standing:
        """The standing; a user who never subscribed has the Basic plan."""
        return self.reader.standing(user_id, allowances=self.allowances)
