"""Readiness of this process, and the dependencies that are down."""

from dataclasses import dataclass

from application.ports.health import Probe


@dataclass(frozen=True, slots=True)
class Readiness:
    """``ready``: requests may be sent here. ``degraded``: the dependencies that are down."""

    ready: bool
    degraded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckReadiness:
    """Only the database is required; what else is down degrades the features that need it."""

    database: Probe
    redis: Probe
    workers: Probe

    def __call__(self) -> Readiness:
        if not self.database():
            return Readiness(ready=False, degraded=("database",))
        if not self.redis():
            return Readiness(ready=True, degraded=("redis",))  # without Redis, nothing is known of the workers
        if not self.workers():
            return Readiness(ready=True, degraded=("workers",))
        return Readiness(ready=True, degraded=())
