"""Readiness of this process, and what is wrong with the parts it needs."""

from dataclasses import dataclass

from application.ports.health import Fault, Faults, Part, Probe

# The other parts are needed by some requests only.
REQUIRED = frozenset({Part.SERVER, Part.DATABASE})


@dataclass(frozen=True, slots=True)
class Readiness:
    faults: Faults

    @property
    def ready(self) -> bool:
        """Whether requests may be sent here."""
        return REQUIRED.isdisjoint(self.faults)


@dataclass(frozen=True, slots=True)
class CheckReadiness:
    probe: Probe

    def __call__(self, *, stopping: bool = False) -> Readiness:
        """``stopping``: this process is about to end; then nothing is asked."""
        return Readiness({Part.SERVER: Fault.STOPPING} if stopping else self.probe())
