"""Caps on the one-time passwords that are sent."""

from typing import Protocol

from domain.accounts import PhoneNumber
from domain.one_time_password import SendCaps


class OtpBudget(Protocol):
    """Counts the codes sent in the last day, for all processes. Fails closed: DependencyDown without its store."""

    def take(self, phone: PhoneNumber, address: str | None, caps: SendCaps, *, known: bool = False) -> None:
        """Counts one more code. Raises OtpSendsExhausted when one of the caps is reached; then nothing is counted.

        ``known``: the number has logged in from this address; what strangers took does not count against it then.
        """

    def give_back(self, phone: PhoneNumber, address: str | None, caps: SendCaps, *, known: bool = False) -> None:
        """Undoes the last ``take`` with these values, when nothing was sent. Best effort, never raises."""
