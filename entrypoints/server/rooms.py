"""Bulkheads (M. Nygard, "Release It!"): each kind of work has places of its own, so that none makes another wait.

A room runs up to ``threads`` jobs at once, ``per_client`` of them for one client: in threads, or taking turns on the
event loop. What comes beyond that waits, up to ``waiting`` jobs and ``per_client_waiting`` of one client; what comes
beyond that is refused at once.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread

Job = Callable[[], None]


@dataclass(slots=True)
class _Client:
    """The jobs of one client in one room."""

    running: int = 0
    waiting: deque[Job] = field(default_factory=deque)


class Room:
    """Places for one kind of work. All methods belong to the thread of the event loop, so that none needs a lock."""

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        per_client: int,
        waiting: int = 0,
        per_client_waiting: int | None = None,
        start: Callable[[Job], None] | None = None,
    ) -> None:
        """``start``: runs a job on the event loop, where it has to let others go on while it waits."""
        self.name = name
        self._start_on_loop = start
        self._threads = threads
        self.refused = 0
        self._per_client = per_client
        self._limit = waiting
        self._per_client_limit = waiting if per_client_waiting is None else per_client_waiting
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._started = 0
        self.running = 0
        self.waiting = 0
        self._clients: dict[Hashable, _Client] = {}
        # Clients that have a job waiting and may run another one, in the order in which they get their turns.
        self._turns: deque[Hashable] = deque()

    @property
    def threads(self) -> int:
        return self._threads

    @property
    def on_loop(self) -> bool:
        return self._start_on_loop is not None

    def enter(self, client: Hashable, job: Job) -> bool:
        """Run ``job`` in a thread, now or in its turn. False: the room is full, and ``job`` will not run.

        When the job has ended, ``leave`` has to be called.
        """
        known = self._clients.get(client)
        if known is None:
            known = self._clients[client] = _Client()
        if self.running < self._threads and known.running < self._per_client and not known.waiting:
            self._start(known, job)
            return True
        if self.waiting >= self._limit or len(known.waiting) >= self._per_client_limit:
            self.refused += 1
            self._forget_if_idle(client, known)
            return False
        known.waiting.append(job)
        self.waiting += 1
        if len(known.waiting) == 1 and known.running < self._per_client:
            self._turns.append(client)
        return True

    def leave(self, client: Hashable) -> None:
        """A job of ``client`` has ended: start what waits, one job of each client in turn."""
        self.running -= 1
        known = self._clients[client]
        known.running -= 1
        if known.waiting and known.running == self._per_client - 1:
            self._turns.append(client)
        self._forget_if_idle(client, known)
        while self._turns and self.running < self._threads:
            turn = self._turns.popleft()
            next_one = self._clients[turn]
            job = next_one.waiting.popleft()
            self.waiting -= 1
            self._start(next_one, job)
            if next_one.waiting and next_one.running < self._per_client:
                self._turns.append(turn)

    def close(self) -> None:
        """Let idle threads end."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _start(self, client: _Client, job: Job) -> None:
        self.running += 1
        client.running += 1
        if self._start_on_loop is not None:
            self._start_on_loop(job)
            return
        # Started as they are needed: most rooms of most processes stay empty.
        if self.running > self._started:
            self._started += 1
            Thread(target=self._work, name=f"{self.name}-{self._started}", daemon=True).start()
        self._jobs.put(job)

    def _forget_if_idle(self, client: Hashable, known: _Client) -> None:
        if not known.running and not known.waiting:
            del self._clients[client]

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
