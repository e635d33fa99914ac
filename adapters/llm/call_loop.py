"""Calls to providers run elsewhere, on an event loop or in a thread, while the thread that wants the answer waits.

A blocking read cannot be interrupted, a wait on a queue can. So ``write`` of the port is such a wait: chunks, the end,
a ``Stop`` and the deadline reach the waiting thread, which alone decides when the call is over and alone calls
``on_chunk``. So the port's promises hold even when the loop is late or a read hangs.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from adapters.llm.connections import Connections
from application.ports.language_model import AnswerStopped, Stop
from domain.replies import Answer, AnswerFailed, AnswerOverdue, FailureReason

CLOSE_WITHIN = 2.0
IDLE = timedelta(seconds=60)


class Delivery:
    """Carries an answer from the call that produces it to the thread that waits for it.

    ``over``: the waiting thread has left, so the call may end. ``idle``: after so long without a sign of life it ends.
    """

    __slots__ = ("_alive_at", "_begun", "_events", "_gathered", "_idle", "over")

    def __init__(self, *, idle: timedelta = IDLE) -> None:
        self._events: SimpleQueue[Sequence[str] | Answer | Exception] = SimpleQueue()
        self._gathered: list[str] = []
        self._idle = idle.total_seconds()
        self._alive_at = time.monotonic()
        self._begun = False
        self.over = False

    def is_alive(self) -> None:
        """Say that the provider has sent something, be it a thought or a comment. Wakes up no thread."""
        self._alive_at = time.monotonic()
        self._begun = True

    def chunk(self, text: str) -> None:
        """Have the next part of the answer delivered, by ``flush`` or with the end."""
        if text:
            self.is_alive()
            self._gathered.append(text)

    def flush(self) -> None:
        """Deliver what was given since the last time, together: each delivery wakes up a thread."""
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._events.put(gathered)

    def end(self, outcome: Answer | Exception) -> None:
        """Deliver the complete answer, or the error instead of it."""
        self.flush()
        self._events.put(outcome)

    @contextmanager
    def ends_with_failure(self) -> Iterator[None]:
        """Delivers any exception, so that no fault of a library leaves the waiting thread without an end."""
        try:
            yield
        except Exception as failure:  # noqa: BLE001 - it is raised again in the waiting thread
            self.end(failure)

    def wait(self, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        """Keeps the promises of LanguageModel.write."""
        ends = time.monotonic() + within.total_seconds()
        stop.when_requested(self._wake_up)
        try:
            while True:
                event = self._next(ends)
                if stop.requested:  # before anything else that was delivered
                    raise AnswerStopped
                if isinstance(event, Answer):
                    return event
                if isinstance(event, Exception):
                    raise event
                for text in event:
                    on_chunk(text)
                    if stop.requested:
                        raise AnswerStopped
        finally:
            self.over = True

    def _next(self, ends: float) -> Sequence[str] | Answer | Exception:
        while (remaining := min(ends, self._alive_at + self._idle) - time.monotonic()) > 0:
            with suppress(Empty):  # meanwhile there may have been a sign of life
                return self._events.get(timeout=remaining)
        raise AnswerOverdue if self._begun else AnswerFailed(FailureReason.MODEL_UNREACHABLE)

    def _wake_up(self) -> None:
        self._events.put(())


Call = Callable[[Delivery], Coroutine[Any, Any, Answer]]


class CallLoop:
    """An event loop in a thread of its own that runs an adapter's calls: hundreds at once, cancellable at any time.

    Between calls the thread sleeps in the kernel. ``connections`` are for calls on this loop. ``idle``: how long a
    provider may be silent.
    """

    def __init__(self, name: str, *, idle: timedelta = IDLE) -> None:
        self._idle = idle
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()
        self.connections: Connections = asyncio.run_coroutine_threadsafe(_new_connections(), self._loop).result()

    def write(self, call: Call, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
        """What ``call`` returns or raises; it is cancelled when the time is up or ``stop`` is requested before.

        Keeps the promises of LanguageModel.write.
        """
        if stop.requested:
            raise AnswerStopped
        delivery = Delivery(idle=self._idle)
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

    def close(self) -> None:
        """Cancel the running calls, which then fail, close the connections, and end the thread."""
        if self._loop.is_closed():
            return
        closed = asyncio.run_coroutine_threadsafe(self._clear_away(), self._loop)
        try:
            closed.result(CLOSE_WITHIN)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_WITHIN)
            if not self._loop.is_running():
                self._loop.close()

    async def _clear_away(self) -> None:
        for task in (running := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.connections.close()
        await self._loop.shutdown_asyncgens()


async def _new_connections() -> Connections:
    return Connections()  # on the loop, as aiohttp wants it


@dataclass(slots=True)
class _Task:
    """One call on the loop. Its methods run on the loop too, so that ``cancel`` cannot overtake ``start``."""

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
            # The waiting thread knows when it has cancelled the call itself, but not when close() has.
            delivery.end(AnswerFailed(FailureReason.MODEL_UNREACHABLE))
            raise


def write_in_thread(
    call: Callable[[Delivery], Answer],
    *,
    name: str,
    within: timedelta,
    idle: timedelta,
    stop: Stop,
    on_chunk: Callable[[str], None],
) -> Answer:
    """As CallLoop.write, for a client that can only block. The call has a thread of its own, which may outlive it."""
    if stop.requested:
        raise AnswerStopped
    delivery = Delivery(idle=idle)

    def run() -> None:
        with delivery.ends_with_failure():
            delivery.end(call(delivery))

    Thread(target=run, name=name, daemon=True).start()
    return delivery.wait(within=within, stop=stop, on_chunk=on_chunk)
