"""How many one-time passwords were sent today."""

from typing import Protocol

from domain.accounts import PhoneNumber
from domain.one_time_password import SendCaps


class OtpBudget(Protocol):
    """Counts what is sent, in a store that outlives every process. Fails closed: DependencyDown without the store."""

    def take(self, phone: PhoneNumber, address: str | None, caps: SendCaps) -> None:
        """Count one more code. OtpSendsExhausted when one of the caps is reached; then nothing is counted."""

    def give_back(self, phone: PhoneNumber, address: str | None, caps: SendCaps) -> None:
        """Take back the last ``take`` with these values: nothing was sent. Best effort and never raises."""
