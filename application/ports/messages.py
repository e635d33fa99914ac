"""The messages, as a unit of work writes them."""

from typing import Protocol

from domain.chat import Message


class Messages(Protocol):
    """What users sent."""

    def add(self, message: Message) -> None:
        """Keep a new message."""
