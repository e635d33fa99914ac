"""Responses that wait: streams and long polls, as generators that say what they wait for.

A generator yields ``bytes`` (a stream's next piece) or a ``Wait``, and is sent what came. Under this server it runs in
a thread from one ``Wait`` to the next and waits on the event loop; under any other WSGI server it keeps its thread.

- A stream: the view answers with the headers, and ``stream`` notes the generator of the body.
- A long poll: ``call_again`` notes the generator of what is to be known. When it has returned, the application is
  called again with the same request, and ``RESUMED`` in its environment holds the outcome.
"""

import time
from asyncio import TimerHandle
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol

from entrypoints.server.wsgi import Environ

# Set by a server that can wait without a thread.
SERVER_WAITS = "gemini_chat.server_waits"
# Where a view leaves a response that waits.
WAITING = "gemini_chat.waiting"
# Where a view finds what it has waited for: the outcome, or ``Interrupted`` when the server is about to stop.
RESUMED = "gemini_chat.resumed"


class Source(Protocol):
    """What may come: the subscription to a reply."""

    def next(self, *, within: float) -> Any | None:
        """What has come, or None when nothing came ``within`` seconds."""

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, from any thread, as soon as there is something for ``next``."""


class Waits(Protocol):
    """A step that waits up to ``seconds`` for something from ``source``; without a source, for the time alone."""

    @property
    def source(self) -> Source | None: ...

    @property
    def seconds(self) -> float: ...


Steps = Generator[Any, Any, Any]
# How a thread waits when there is nothing but time to wait for.
pause = time.sleep


class Interrupted(NamedTuple):
    """In place of an outcome: the server stops, and answers with what there is."""


class StepResult(NamedTuple):
    """What became of running a generator up to its next wait."""

    pieces: list[bytes]
    wait: Waits | None = None
    outcome: Any = None
    error: BaseException | None = None


class Host(Protocol):
    """The exchange that a response belongs to, as far as waiting goes."""

    @property
    def gone(self) -> bool:
        """Whether the client has left."""

    def run_step(self, step: Callable[[], StepResult], done: Callable[[StepResult], None]) -> None:
        """Run ``step`` in a thread, then call ``done`` on the loop."""

    def post(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called on the loop. For any thread."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> TimerHandle: ...

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` as soon as the client has read enough of what was written."""

    def send(self, pieces: list[bytes]) -> None:
        """Write pieces of a stream."""

    def end(self, outcome: Any) -> None:
        """Waiting is over: end the stream, or ask the application again for the response to a long poll."""


class Waiting:
    """A response that waits. Methods belong to the loop's thread."""

    def __init__(self, steps: Steps, *, streams: bool, release: Callable[[], None]) -> None:
        self.streams = streams
        self._steps = steps
        self._release = release
        self._host: Host
        self._timer: TimerHandle | None = None
        self._wait: Waits | None = None
        self._stepping = False
        self._woken = False
        self._cut = False
        self._over = False

    def begin(self, host: Host) -> None:
        self._host = host
        self._step(first=True)

    def give_up(self) -> None:
        """No client will wait: the steps are not even begun. Runs in a thread."""
        self._close()

    def client_has_left(self) -> None:
        self._cut_off()

    def interrupt(self) -> None:
        """End now, with what there is."""
        self._cut_off()

    def _cut_off(self) -> None:
        self._cut = True
        if not self._stepping:
            self._stop_timer()
            self._end(Interrupted())

    def _step(self, *, first: bool = False) -> None:
        self._stepping = True
        self._woken = False
        wait = self._wait

        def step() -> StepResult:
            source = wait.source if wait is not None else None
            return run_to_next_wait(self._steps, None if first or source is None else source.next(within=0))

        self._host.run_step(step, self._stepped)

    def _stepped(self, result: StepResult) -> None:
        self._stepping = False
        if result.pieces and not self._host.gone:
            self._host.send(result.pieces)
        if result.wait is None:
            self._end(result.error if result.error is not None else result.outcome)
        elif self._cut:
            self._end(Interrupted())
        else:
            self._wait_for(result.wait)

    def _wait_for(self, wait: Waits) -> None:
        self._wait = wait
        self._timer = self._host.call_later(wait.seconds, lambda: self._wake(wait))
        if wait.source is not None:
            wait.source.when_ready(lambda: self._host.post(lambda: self._wake(wait)))

    def _wake(self, wait: Waits) -> None:
        # Time and source may both call, and a source that was asked for an earlier wait may call late.
        if self._over or self._stepping or self._woken or wait is not self._wait:
            return
        self._woken = True
        self._stop_timer()
        self._host.when_writable(self._step_unless_over)

    def _step_unless_over(self) -> None:
        if not self._over and not self._stepping:
            self._step()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, outcome: Any) -> None:
        if self._over:
            return
        self._over = True
        self._host.run_step(self._close, lambda _: None)
        self._host.end(outcome)

    def _close(self) -> StepResult:
        """Runs in a thread."""
        try:
            self._steps.close()
        finally:
            self._release()
        return StepResult([])


def run_to_next_wait(steps: Steps, value: Any) -> StepResult:
    """Run a generator until it waits, or ends."""
    pieces: list[bytes] = []
    try:
        while True:
            step = steps.send(value)
            value = None
            if not isinstance(step, bytes):
                return StepResult(pieces, wait=step)
            pieces.append(step)
    except StopIteration as end:
        return StepResult(pieces, outcome=end.value)
    except Exception as error:  # noqa: BLE001 - raised again where the application is called again
        return StepResult(pieces, error=error)


def take_waiting(environ: Environ) -> Waiting | None:
    """What a view has left there."""
    waiting: Waiting | None = environ.pop(WAITING, None)
    return waiting


def drive(steps: Steps) -> Steps:
    """Run a generator to its end in this thread: yields its pieces, and returns what it returned."""
    value = None
    while True:
        try:
            step = steps.send(value)
        except StopIteration as end:
            return end.value
        value = None
        if isinstance(step, bytes):
            yield step
        elif step.source is None:
            pause(step.seconds)
        else:
            value = step.source.next(within=step.seconds)
