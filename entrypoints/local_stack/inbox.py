"""Where a supervisor waits: for a signal or for a while, whichever comes first."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# One act of a person may arrive as several signals: make, for one, passes its SIGTERM on.
ONE_REQUEST = 0.5


class Inbox(Protocol):
    """A supervisor's only way to wait."""

    @property
    def stop_requests(self) -> int:
        """The requests to stop so far."""

    def wait(self, timeout: float | None) -> None:
        """Return after ``timeout`` seconds (None: never), or earlier if something happened."""


class QuietInbox:
    """Waits without touching the process's signals, for use in tests and tools."""

    stop_requests = 0

    def wait(self, timeout: float | None) -> None:
        """Sleep for at most a moment, since the end of a child does not wake this process."""
        time.sleep(0.02 if timeout is None else min(0.02, timeout))


class SignalInbox:
    """Counts SIGINT, SIGTERM and SIGHUP, and wakes up for these and for the end of children."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.stop_requests = 0
        self._clock = clock
        self._last_request = -ONE_REQUEST
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._readable, False)
        os.set_blocking(self._writable, False)

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> "Iterator[SignalInbox]":
        """Receive signals for the length of a block, and restore the handlers afterwards.

        After a request to stop, further ones are ignored for good: one more Ctrl-C shall not turn a clean exit into a
        traceback.
        """
        inbox = cls()
        before = signal.set_wakeup_fd(inbox._writable, warn_on_full_buffer=False)
        handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        handlers[signal.SIGCHLD] = signal.getsignal(signal.SIGCHLD)
        try:
            inbox._install(ignored=[n for n, h in handlers.items() if h is signal.SIG_IGN])
            yield inbox
        finally:
            for number, handler in handlers.items():
                done = inbox.stop_requests and number in STOP_SIGNALS
                signal.signal(number, signal.SIG_IGN if done else handler or signal.SIG_DFL)
            signal.set_wakeup_fd(before)
            os.close(inbox._readable)
            os.close(inbox._writable)

    def wait(self, timeout: float | None) -> None:
        """Sleep until a signal comes, or one came since the last time, or the time is over."""
        select.select([self._readable], [], [], timeout)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._readable, 4096):
                pass

    def _install(self, ignored: list[signal.Signals]) -> None:
        # A handler of any kind is what makes Python write to the wake-up descriptor.
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in STOP_SIGNALS:
            # nohup asks for that. An ignored SIGINT, though, is only what a shell script's ``&``
            # does to every program, and ``kill -INT`` is still meant.
            if number == signal.SIGHUP and number in ignored:
                continue
            signal.signal(number, self._on_stop_request)

    def _on_stop_request(self, _number: int, _frame: FrameType | None) -> None:
        now = self._clock()
        if now - self._last_request >= ONE_REQUEST:
            self.stop_requests += 1
            self._last_request = now
