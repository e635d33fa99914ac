"""Whether what the service stands on is there."""

from typing import Protocol


class Probe(Protocol):
    """Looks whether one dependency answers."""

    def __call__(self) -> bool:
        """True if it does. Quick, and never raises."""
