"""How long to wait before a child that died is started again."""

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Doubling delays from ``first`` to ``longest`` seconds.

    A child that lived for ``healthy`` seconds has earned a fresh start: the next delay is ``first``.
    """

    first: float = 0.2
    longest: float = 10.0
    healthy: float = 10.0
    _next: float = 0.0

    def delay_after(self, lived: float) -> float:
        """The delay after a life of ``lived`` seconds."""
        if lived >= self.healthy or not self._next:
            self._next = self.first
        delay = self._next
        self._next = min(self.longest, 2 * delay)
        return delay
