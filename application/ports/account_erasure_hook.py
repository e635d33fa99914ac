"""What must happen elsewhere before an account can be erased."""

from typing import Protocol

from domain.accounts import UserId


class AccountErasureHook(Protocol):
    """Ends what a user has outside of our tables, such as a subscription at the payment provider."""

    def __call__(self, *, user_id: UserId) -> None:
        """It is ended, or never was. DependencyDown when that cannot be said: then nothing is erased.

        Called with no transaction open, and again when the user tries again: it has to bear being repeated.
        """
