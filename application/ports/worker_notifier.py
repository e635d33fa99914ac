"""Notifications that wake workers up."""

from typing import Protocol


class WorkerNotifier(Protocol):
    """Carries no work: the queue of replies has what is due."""

    def notify(self) -> None:
        """Wakes a worker. Best effort, never raises: workers also poll, so a lost notification only delays replies."""
