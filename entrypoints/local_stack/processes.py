"""Supervises children: starts them in order, starts again what died, stops them in reverse order.

One thread, and it has to be the main one: signals arrive there, and to the kernel the end of the thread that created a
child is the end of the child's parent.
"""

import signal
import time
from collections.abc import Callable

from entrypoints.local_stack.children import Child, ChildSpec, last_lines
from entrypoints.local_stack.errors import ChildFailed, StopRequested, SupervisorError
from entrypoints.local_stack.inbox import Inbox

PROBE_INTERVAL = 0.03
AFTER_KILL = 5.0

Say = Callable[[str], None]


class Supervisor:
    """Owns children. Its creator calls ``stop`` in the end, also after an exception."""

    def __init__(self, inbox: Inbox, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self.say = say
        self._inbox = inbox
        self._clock = clock
        self._children: list[Child] = []

    def start(self, *specs: ChildSpec) -> None:
        """Start children in this order, then wait until each of them is ready.

        Raises ChildFailed, after stopping these children, if one of them ends or is not ready in time; StopRequested
        after a request to stop.
        """
        fresh = [Child(spec, self._clock) for spec in specs]
        self._children += fresh
        try:
            for child in fresh:
                child.spawn()
            for child in fresh:
                self._await_ready(child)
        except ChildFailed:
            self._stop_all(fresh)
            raise

    def run(self, spec: ChildSpec) -> int:
        """Run a child to its end and return its status (negative: killed by that signal).

        Raises StopRequested after a request to stop.
        """
        child = Child(spec, self._clock)
        self._children.append(child)
        child.spawn()
        while not child.has_ended():
            self.pause()
        self._children.remove(child)
        return child.status or 0

    def keep_running(self) -> None:
        """Look after the children until a request to stop (raises StopRequested)."""
        while True:
            self.pause()

    def pause(self, at_most: float | None = None) -> None:
        """Wait for up to so many seconds, or until a signal comes, and look after the children.

        Raises StopRequested after a request to stop.
        """
        self._inbox.wait(self._until_next_restart(at_most))
        if self._inbox.stop_requests:
            raise StopRequested
        for child in self._children:
            self._look_after(child)

    def stop(self) -> None:
        """Stop all children, the last one first. Returns when they are gone."""
        if self._children:
            self.say("stopping (Ctrl-C again: at once) …")
        self._stop_all(list(self._children))

    def _await_ready(self, child: Child) -> None:
        deadline = self._clock() + child.spec.ready_within
        while not child.is_ready():
            if child.has_ended():
                break
            if self._clock() > deadline:
                silence = f"was not ready after {child.spec.ready_within:.0f} s"
                raise ChildFailed(_failure(child, silence))
            self.pause(PROBE_INTERVAL)
        # Even if the probe succeeded: another server on the same port may have answered.
        if child.spec.ready is not None and child.has_ended():
            raise ChildFailed(_failure(child, child.how_it_ended()))
        child.established = True

    def _until_next_restart(self, at_most: float | None) -> float | None:
        now = self._clock()
        due = [child.restart_at - now for child in self._children if child.restart_at is not None]
        waits = [max(0.0, wait) for wait in due]
        return min([*waits, at_most] if at_most is not None else waits, default=None)

    def _look_after(self, child: Child) -> None:
        if not child.established:
            return
        if child.restart_at is None and child.has_ended():
            self._plan_restart(child, child.how_it_ended())
        elif child.restart_at is not None and child.restart_at <= self._clock():
            self._restart(child)

    def _plan_restart(self, child: Child, what: str) -> None:
        delay = child.plan_restart()
        self.say(f"{child.spec.role} {what}; it is started again in {delay:.1f} s")

    def _restart(self, child: Child) -> None:
        try:
            child.spawn()
        except SupervisorError as fault:
            self._plan_restart(child, f"could not be started ({fault})")
        else:
            self.say(f"{child.spec.role} is started again (process {child.pid})")

    def _stop_all(self, children: list[Child]) -> None:
        patience = self._inbox.stop_requests
        for child in reversed(children):
            self._stop_one(child, patience)
            self._children.remove(child)

    def _stop_one(self, child: Child, patience: int) -> None:
        if child.has_ended():
            return
        child.send_signal(child.spec.stop_signal)
        deadline = self._clock() + child.spec.grace
        while not child.has_ended() and self._clock() < deadline:
            if self._inbox.stop_requests > patience:
                break
            self._inbox.wait(max(0.0, deadline - self._clock()))
        if not child.has_ended():
            self._force(child)

    def _force(self, child: Child) -> None:
        self.say(f"{child.spec.role} is still running and is made to end")
        for number in dict.fromkeys((child.spec.hurry_signal, signal.SIGKILL)):
            child.send_group_signal(number)
            deadline = self._clock() + AFTER_KILL
            while not child.has_ended() and self._clock() < deadline:
                self._inbox.wait(max(0.0, deadline - self._clock()))


def _failure(child: Child, what: str) -> str:
    log = child.spec.log
    lines = "".join(f"\n    {line}" for line in last_lines(log))
    return f"{child.spec.role} {what}" + (f"; the end of {log}:{lines}" if lines else "")
