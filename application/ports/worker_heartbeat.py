"""The heartbeat of workers, by which probes know that there are any."""

from typing import Protocol


class WorkerHeartbeat(Protocol):
    """Workers announce themselves every second or two."""

    def announce(self) -> None:
        """Records that a worker is running, for at least the next five seconds. Best effort: never raises."""
