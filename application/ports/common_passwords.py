"""The most common passwords."""

from typing import Protocol


class IsCommonPassword(Protocol):
    def __call__(self, password: str) -> bool:
        """Whether ``password``, ignoring case, is among those that leaked most often. Without the network."""
