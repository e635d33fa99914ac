"""What a health check of this host can see of a worker, though Redis be down."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from application.ports.worker_heartbeat import WorkerHeartbeat


@dataclass(frozen=True, slots=True)
class SignOfLife(WorkerHeartbeat):
    """Touches a file at each beat, and passes it on."""

    heartbeat: WorkerHeartbeat
    path: Path

    def announce(self) -> None:
        with suppress(OSError):  # a health check finds it out, and replies are written meanwhile
            self.path.touch()
        self.heartbeat.announce()

    def end(self) -> None:
        """The worker stops: what runs in its place begins without its sign."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
