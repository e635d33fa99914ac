"""Probes with a deadline: a part that is silent holds up neither the answer nor the probe of another part."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

import structlog

from application.ports.health import Fault, Faults, Part, Probe

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Call:
    began: float = field(default_factory=time.monotonic)
    ended: Event = field(default_factory=Event)
    faults: Faults = field(default_factory=dict)


class _Flight:
    """One probe, called in a thread of its own and never twice at once."""

    def __init__(self, part: Part, probe: Probe) -> None:
        self._part = part
        self._probe = probe
        self._lock = Lock()
        self._last: _Call | None = None

    def join(self) -> _Call:
        """The call that is running, or else a new one."""
        with self._lock:
            if self._last is None or self._last.ended.is_set():
                self._last = _Call()
                Thread(target=self._run, args=(self._last,), name=f"probe-{self._part}", daemon=True).start()
            return self._last

    def _run(self, call: _Call) -> None:
        call.faults = {self._part: Fault.UNREACHABLE}
        try:
            call.faults = self._probe()
        except Exception:
            log.exception("probe_failed", part=self._part.value)
        finally:
            call.ended.set()


class ConcurrentProbes(Probe):
    """Calls several probes at once and waits for them ``seconds`` at most.

    Each stands for a part, which is unreachable when its probe has not answered in time. Callers that come while a
    probe is running share its outcome, and wait no longer than the first of them.
    """

    def __init__(self, probes: Mapping[Part, Probe], *, seconds: float) -> None:
        self._flights = {part: _Flight(part, probe) for part, probe in probes.items()}
        self._seconds = seconds

    def __call__(self) -> Faults:
        calls = {part: flight.join() for part, flight in self._flights.items()}
        faults: dict[Part, Fault] = {}
        for part, call in calls.items():
            remaining = call.began + self._seconds - time.monotonic()
            in_time = call.ended.wait(max(remaining, 0))
            faults |= call.faults if in_time else {part: Fault.UNREACHABLE}
        return faults
