"""The doorbell of the workers."""

from typing import Protocol


class WorkerNotifier(Protocol):
    """Wakes workers. It carries no work: what is due stands in the replies."""

    def notify(self) -> None:
        """Wake a worker, soon. Best effort and never raises: a ring that is lost delays, the workers also look."""
