"""What must happen outside of our tables before an account is erased."""

from typing import Protocol

from domain.accounts import UserId


class AccountErasureHook(Protocol):
    """Ends what a user has elsewhere, such as a subscription at the payment provider."""

    def __call__(self, *, user_id: UserId) -> None:
        """Raises DependencyDown when it could not be ended or confirmed; the account is not erased then.

        Called outside of any transaction. It must be idempotent: a user whose erasure failed tries again.
        """
