"""Parsing of mobile numbers."""

from typing import Protocol

from domain.accounts import PhoneNumber


class ReadPhoneNumber(Protocol):
    def __call__(self, text: str) -> PhoneNumber:
        """Normalizes a number, however it is written. Raises InvalidValue when it cannot be a mobile number."""
