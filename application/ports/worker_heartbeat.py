"""The heartbeat of workers, which tells whether any are running."""

from typing import Protocol


class WorkerHeartbeat(Protocol):
    """Workers announce themselves every second or two. Never raises."""

    def announce(self) -> None:
        """Records that a worker is running, for the next ten seconds. Best effort."""

    def __call__(self) -> bool:
        """Whether a worker has announced itself in the last ten seconds."""
