"""What entry points report of their work, to be counted or traced. Nothing here raises or takes long."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from domain.replies import ClaimedReply, EndedReply, FailureReason, ReplyState


class RoomState(NamedTuple):
    """A room of the web server. ``refused``: requests since the process started that found it full."""

    name: str
    threads: int
    running: int
    waiting: int
    refused: int


class RequestObserver(Protocol):
    def __call__(self, *, method: str, route: str | None, status: int, seconds: float | None) -> None:
        """Called for each response. ``route``: its template. ``seconds`` None: it waited because the client wished."""


class TraceRequest(Protocol):
    def __call__(
        self, environ: dict[str, Any], *, request_id: str
    ) -> AbstractContextManager[Callable[[str | None, int], None]]:
        """What is done within the context belongs to the request's trace, which continues its client's.

        The function that it gives is told the route's template and the status of the response, once there is one. A
        request that is answered in several goes, with the same WSGI ``environ``, has one trace.
        """


class TraceReply(Protocol):
    def __call__(self, reply: ClaimedReply) -> AbstractContextManager[None]:
        """What is done within the context belongs to the trace of the reply, as one attempt to write it."""


class ReportError(Protocol):
    def __call__(self, error: BaseException, *, event: str, facts: Mapping[str, str]) -> None:
        """Reports an unexpected error: its type, where it was raised, the log line's ``event`` and these facts.

        Never its message, nor the values of variables.
        """


class WorkerObserver(Protocol):
    def claimed(self, count: int, *, seconds: float) -> None:
        """A claim took so long and found ``count`` replies."""

    def written(
        self, reply: ClaimedReply, state: ReplyState | None, reason: FailureReason | None, *, seconds: float
    ) -> None:
        """An outcome was stored ``seconds`` after the claim; ``state`` None: the lease was lost."""

    def expired(self, ended: EndedReply) -> None: ...

    def events_applied(self, applied: int, *, failed: int) -> None:
        """Payment events that had been stored as pending were tried again."""

    def compared(self, customers: int, *, corrected: int) -> None:
        """Customers were compared with the payment provider."""
