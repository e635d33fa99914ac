"""Mobile numbers as people write them."""

from typing import Protocol

from domain.accounts import PhoneNumber


class ReadPhoneNumber(Protocol):
    """Reads a number."""

    def __call__(self, text: str) -> PhoneNumber:
        """The number in one canonical form, however it was written. InvalidValue when it cannot be one."""
