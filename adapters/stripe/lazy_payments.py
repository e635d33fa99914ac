"""Payments that are built when there is something to pay."""

from collections.abc import Callable
from typing import Any

from application.ports.payments import Payments


class PaymentsOnDemand:
    """The Payments port by an adapter that the first call builds.

    For workers: most of them never call the payment provider, whose library takes 6 MB.
    """

    def __init__(self, payments: Callable[[], Payments]) -> None:
        """``payments`` gives the same adapter each time."""
        self._payments = payments

    def __getattr__(self, name: str) -> Any:
        """The adapter's."""
        return getattr(self._payments(), name)
