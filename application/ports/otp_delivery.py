"""How a one-time password reaches its owner."""

from typing import Protocol

from domain.accounts import PhoneNumber
from domain.one_time_password import Purpose


class NotDelivered(Exception):
    """A code was not sent, ``surely`` or perhaps: a provider that did not answer in time may send it all the same."""

    def __init__(self, *, surely: bool) -> None:
        """Keep how sure that is."""
        super().__init__()
        self.surely = surely


class OtpDelivery(Protocol):
    """Sends codes."""

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose) -> str | None:
        """Send the code. Returns what may be shown to whoever asked: the code itself in development, else None.

        NotDelivered when it was not sent, or that cannot be said. Takes a few seconds at most.
        """
