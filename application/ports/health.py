"""Health of dependencies."""

from typing import Protocol


class Probe(Protocol):
    def __call__(self) -> bool:
        """Whether the dependency answers. Quick, and never raises."""
