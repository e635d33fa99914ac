"""What must happen outside of our tables when an account is erased."""

from typing import Protocol

from application.ports.unit_of_work import UnitOfWork
from domain.accounts import UserId


class AccountErasureHook(Protocol):
    """Ends what a user has elsewhere, such as a subscription at the payment provider."""

    def __call__(self, *, user_id: UserId) -> None:
        """Raises DependencyDown when it could not be ended or confirmed; the account is not erased then.

        Called outside of any transaction. It must be idempotent: a user whose erasure failed tries again.
        """

    def note_erased(self, work: UnitOfWork, *, user_id: UserId) -> None:
        """Stores, in the transaction that erases the user, what workers need to look once more afterwards."""
