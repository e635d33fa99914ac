"""Whether anybody is there to answer."""

from typing import Protocol


class WorkerHeartbeat(Protocol):
    """Workers announce themselves every second or two; whoever wants to know asks."""

    def announce(self) -> None:
        """A worker is there for the next ten seconds. Best effort and never raises."""

    def __call__(self) -> bool:
        """Whether a worker has announced itself in the last ten seconds. Never raises."""
