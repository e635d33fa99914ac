"""The countries to which codes are sent."""

from typing import Protocol

from domain.accounts import PhoneNumber


class IsServed(Protocol):
    def __call__(self, phone: PhoneNumber) -> bool:
        """Whether codes are sent to numbers of this country."""
