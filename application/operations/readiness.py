"""Whether this process can do its work, and what is missing if it can do only some of it."""

from dataclasses import dataclass

from application.ports.health import Probe


@dataclass(frozen=True, slots=True)
class Readiness:
    """``ready``: worth sending requests to. ``degraded``: what is down all the same."""

    ready: bool
    degraded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckReadiness:
    """Only the database is indispensable; everything else degrades what needs it and no more."""

    database: Probe
    redis: Probe
    workers: Probe

    def __call__(self) -> Readiness:
        """How things stand at this moment."""
        if not self.database():
            return Readiness(ready=False, degraded=("database",))
        if not self.redis():
            return Readiness(ready=True, degraded=("redis",))  # who would tell of the workers
        if not self.workers():
            return Readiness(ready=True, degraded=("workers",))
        return Readiness(ready=True, degraded=())
