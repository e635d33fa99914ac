"""What one process knows of a server that is down: it logs each change once, and leaves a silent server alone.

A server that refuses connections costs its callers nothing. One that is silent (stopped, or behind a network that
drops packets) costs each caller a time-out: after some of these in a row callers fail at once, except for one a second.
"""

import time
from threading import Lock

import structlog

LEFT_ALONE_SECONDS = 1.0
# How often a server that answers, but refuses to work (read-only, out of memory), is logged: at most once in a minute.
LOG_REFUSALS_EVERY_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Outage:
    """The state of one server, for all threads of a process. ``enough``: time-outs in a row that prove silence."""

    def __init__(self, dependency: str, *, enough: int) -> None:
        self._dependency = dependency
        self._enough = enough
        self._lock = Lock()
        self._down_since: float | None = None
        self._timeouts = 0
        self._try_again_at: float | None = None
        self._refusals: dict[str, float] = {}
        # How often the server did not answer or refused to work, since the process started.
        self.errors = 0

    @property
    def known(self) -> bool:
        """Whether the last that was heard of the server is that it does not answer."""
        return self._down_since is not None

    def may_try(self) -> bool:
        """Whether the caller may talk to the server. While it is silent, one caller a second may."""
        try_again_at = self._try_again_at
        if try_again_at is None:
            return True
        with self._lock:
            now = time.monotonic()
            # Another thread that was asked meanwhile has moved the moment on, and tries in our place.
            if now < try_again_at or self._try_again_at not in {None, try_again_at}:
                return False
            self._try_again_at = now + LEFT_ALONE_SECONDS if self._try_again_at else None
            return True

    def unreachable(self, error: BaseException, *, code: str | int | None = None, silent: bool = False) -> None:
        """Take note that the server did not answer. ``code``: SQLSTATE or errno. The error's text is not logged."""
        with self._lock:
            self.errors += 1
            first = self._down_since is None
            if first:
                self._down_since = time.monotonic()
            self._timeouts = self._timeouts + 1 if silent else 0
            if self._timeouts >= self._enough:
                self._try_again_at = time.monotonic() + LEFT_ALONE_SECONDS
        if first:
            log.error("dependency_down", dependency=self._dependency, error=type(error).__name__, code=code)

    def answered(self) -> None:
        """Take note that the server answered. Costs nothing while it is known to be well."""
        if self._down_since is None and not self._timeouts:
            return
        with self._lock:
            down_since, self._down_since = self._down_since, None
            self._timeouts, self._try_again_at = 0, None
        if down_since is not None:
            seconds = round(time.monotonic() - down_since, 1)
            log.warning("dependency_up_again", dependency=self._dependency, seconds=seconds)

    def refused(self, error: BaseException, *, code: str | None = None) -> None:
        """Log, once a minute for each kind of error, that the server answers but refuses to work."""
        kind = f"{type(error).__name__} {code}"
        with self._lock:
            self.errors += 1
            now = time.monotonic()
            if now - self._refusals.get(kind, float("-inf")) < LOG_REFUSALS_EVERY_SECONDS:
                return
            self._refusals[kind] = now
        log.error("dependency_refuses", dependency=self._dependency, error=type(error).__name__, code=code)
