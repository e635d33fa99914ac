"""What the adapters of language models share: calls that run elsewhere while the thread that wants the answer waits.

A blocking read cannot be interrupted, a wait on a queue can. So ``write`` of the port is such a wait: chunks, the end,
a ``Stop`` and the deadline come to the waiting thread, which alone decides when it is over and alone calls
``on_chunk``. Whatever became of the call by then, a loop that is late or a read that hangs, the port's promises hold.
"""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.request import getproxies

import aiohttp

from application.ports.language_model import AnswerStopped, Stop
from domain.replies import Answer, AnswerFailed, FailureReason

# Nine digits: no provider means more than thirty years, and a timedelta has an end.
SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
STATUSES = {
    404: FailureReason.MODEL_NOT_FOUND,
    408: FailureReason.MODEL_UNREACHABLE,
    429: FailureReason.MODEL_BUSY,
    503: FailureReason.MODEL_BUSY,
}
FIRST_SERVER_ERROR = 500
CLOSE_WITHIN = 2.0
MOST_TOKENS = 2**53


class Delivery:
    """The way of an answer from whoever writes it to the thread that waits for it."""

    __slots__ = ("_events", "over")

    def __init__(self) -> None:
        self._events: SimpleQueue[str | Answer | Exception] = SimpleQueue()
        self.over = False

    def chunk(self, text: str) -> None:
        """The answer goes on."""
        if text:
            self._events.put(text)

    def end(self, outcome: Answer | Exception) -> None:
        """The answer is complete, or there will be none."""
        self._events.put(outcome)

    @contextmanager
    def ends_with_failure(self) -> Iterator[None]:
        """Whoever waits learns of every failure, so that no fault of a library can let them wait in vain."""
        try:
            yield
        except Exception as failure:  # noqa: BLE001 - it is raised again in the thread that waits
            self.end(failure)

    def wait(self, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        """The promises of LanguageModel.write."""
        ends = time.monotonic() + within.total_seconds()
        stop.when_requested(self._wake_up)
        try:
            while True:
                event = self._next(ends)
                if stop.requested:  # first, whatever else has come
                    raise AnswerStopped
                if isinstance(event, Answer):
                    return event
                if isinstance(event, Exception):
                    raise event
                if event:
                    on_chunk(event)
        finally:
            self.over = True

    def _next(self, ends: float) -> str | Answer | Exception:
        remaining = ends - time.monotonic()
        try:
            if remaining > 0:
                return self._events.get(timeout=remaining)
        except Empty:
            pass
        raise AnswerFailed(FailureReason.MODEL_UNREACHABLE)

    def _wake_up(self) -> None:
        self._events.put("")


Call = Callable[[Delivery], Coroutine[Any, Any, Answer]]


class CallLoop:
    """An event loop in a thread of its own, where an adapter's calls run: hundreds at once, each ended at any moment.

    Between calls the thread sleeps in the kernel. ``http`` is the session for calls on this loop.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()
        self.http: aiohttp.ClientSession = asyncio.run_coroutine_threadsafe(_new_session(), self._loop).result()

    def write(self, call: Call, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        """What ``call`` returns or raises; cancelled if time or ``stop`` comes first. As LanguageModel.write."""
        if stop.requested:
            raise AnswerStopped
        delivery = Delivery()
        task = _Task(self._loop, self._tasks)
        self._on_loop(task.start, call, delivery)
        try:
            answer = delivery.wait(within=within, stop=stop, on_chunk=on_chunk)
        except BaseException:
            self._on_loop(task.cancel)
            raise
        return answer

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop is closed
            raise AnswerFailed(FailureReason.MODEL_UNREACHABLE) from None

    def close(self, last: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """End the running calls, which fail, then do what is ``last``, then end the thread."""
        if self._loop.is_closed():
            return
        closed = asyncio.run_coroutine_threadsafe(self._clear_away(last), self._loop)
        try:
            closed.result(CLOSE_WITHIN)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_WITHIN)
            if not self._loop.is_running():
                self._loop.close()

    async def _clear_away(self, last: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        for task in (running := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if last is not None:
            await last()
        await self.http.close()
        await self._loop.shutdown_asyncgens()


async def _new_session() -> aiohttp.ClientSession:
    # The deadline is kept by the waiting thread, the number of calls at once by the worker.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        # To look for a proxy costs a third of a millisecond and two threads a call. They are named for all or none.
        trust_env=bool(getproxies()),
    )


@dataclass(slots=True)
class _Task:
    """One call on the loop. Its methods run on the loop, so that neither overtakes the other."""

    loop: asyncio.AbstractEventLoop
    running: set[asyncio.Task[None]]
    task: asyncio.Task[None] | None = field(default=None)

    def start(self, call: Call, delivery: Delivery) -> None:
        # The loop itself keeps only weak references to its tasks.
        self.task = self.loop.create_task(_deliver(call, delivery))
        self.running.add(self.task)
        self.task.add_done_callback(self.running.discard)

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


async def _deliver(call: Call, delivery: Delivery) -> None:
    with delivery.ends_with_failure():
        try:
            delivery.end(await call(delivery))
        except asyncio.CancelledError:
            # Cancelled by whom it was waiting for, it knows; by close(), it has to be told.
            delivery.end(AnswerFailed(FailureReason.MODEL_UNREACHABLE))
            raise


def write_in_thread(
    call: Callable[[Delivery], Answer],
    *,
    name: str,
    within: timedelta,
    stop: Stop,
    on_chunk: Callable[[str], None],
) -> Answer:
    """As CallLoop.write, for a client that can only block: it gets a thread, which is left behind when it is over."""
    if stop.requested:
        raise AnswerStopped
    delivery = Delivery()

    def run() -> None:
        with delivery.ends_with_failure():
            delivery.end(call(delivery))

    Thread(target=run, name=name, daemon=True).start()
    return delivery.wait(within=within, stop=stop, on_chunk=on_chunk)


def reason_of(status: int) -> FailureReason:
    """What an HTTP status of a provider means to us.

    Sources: ai.google.dev/gemini-api/docs/troubleshooting, developers.openai.com/api/docs/guides/error-codes.
    """
    if status in STATUSES:
        return STATUSES[status]
    if status >= FIRST_SERVER_ERROR:
        return FailureReason.MODEL_UNREACHABLE
    return FailureReason.MODEL_REJECTED_REQUEST


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """The Retry-After header: seconds or a date (RFC 9110, 10.2.3)."""
    value = headers.get("Retry-After", "").strip()
    if SECONDS.fullmatch(value):
        return timedelta(seconds=float(value))
    try:
        moment = parsedate_to_datetime(value)
        return max(moment.astimezone(UTC) - datetime.now(UTC), timedelta())
    except (ValueError, OverflowError):
        return None


def retry_info(body: Any) -> timedelta | None:
    """The delay of a google.rpc.RetryInfo among the details of Google's errors (google.aip.dev/193)."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and str(detail.get("@type")).endswith("RetryInfo"):
            delay = str(detail.get("retryDelay")).removesuffix("s")
            if SECONDS.fullmatch(delay):
                return timedelta(seconds=float(delay))
    return None


def storable(text: str) -> str:
    """The text without what PostgreSQL does not take: NUL, and halves of surrogate pairs."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    # Says "is plain ASCII" without a look at the characters, which is what most chunks are.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def name_of(value: Any, default: str) -> str:
    """The name of a model as a provider gives it; ``default`` where it gives none, or something else."""
    return storable(value) if isinstance(value, str) and value else default


def count_of(value: Any) -> int | None:
    """A number of tokens as a provider gives it; None for anything else."""
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


class Chunks:
    """The text of an answer as it grows."""

    __slots__ = ("_delivery", "_texts")

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._texts: list[str] = []

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._texts)

    def add(self, text: str) -> None:
        """One more chunk, delivered at once."""
        text = storable(text)
        if text:
            self._texts.append(text)
            self._delivery.chunk(text)

    def whole(self) -> str:
        """The answer's text; AnswerFailed if there is nothing to read."""
        text = "".join(self._texts)
        if not text.strip():
            raise AnswerFailed(FailureReason.EMPTY_ANSWER)
        return text
