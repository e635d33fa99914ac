"""Delivery of one-time passwords."""

from typing import Protocol

from domain.accounts import PhoneNumber
from domain.languages import Language
from domain.one_time_password import Purpose


class NotDelivered(Exception):
    """A code was not sent. Not ``surely``: a provider that did not answer in time may still send it."""

    def __init__(self, *, surely: bool) -> None:
        super().__init__()
        self.surely = surely


class OtpDelivery(Protocol):
    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose, language: Language) -> str | None:
        """Sends the code, with a text in this language.

        Returns what the response may show: the code itself in development, otherwise None.

        Raises NotDelivered when it was not sent, or may not have been. Takes a few seconds at most.
        """
