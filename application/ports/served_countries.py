"""The countries that codes are sent to."""

from typing import Protocol

from domain.accounts import PhoneNumber


class IsServed(Protocol):
    """Knows where codes are sent."""

    def __call__(self, phone: PhoneNumber) -> bool:
        """Whether numbers of this one's country get codes."""
