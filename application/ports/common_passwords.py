"""Passwords that everybody tries first."""

from typing import Protocol


class IsCommonPassword(Protocol):
    """Knows the passwords that leaked most often."""

    def __call__(self, password: str) -> bool:
        """Whether it is one of them, in whatever case. Asks nobody."""
