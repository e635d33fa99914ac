"""A bounded pool of connections that waits with an end: a third of what SQLAlchemy's costs a request (decision 34)."""

import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

# How long a caller waits for a connection that others use.
WAIT_SECONDS = 2.0
# A connection is replaced when it is older, and asked whether it still lives when it rested longer: longer than between
# two looks of an idle worker, each of which would take a question with it.
RECYCLE_SECONDS = 1800.0
PING_AFTER_SECONDS = 2.0


class PoolIsFull(Exception):
    """All connections are in use, and none was given back in time."""


class Pooled(Protocol):
    """What the pool needs of a connection; times are of ``time.monotonic``."""

    made_at: float
    rested_since: float

    @property
    def closed(self) -> int: ...

    def close(self) -> None: ...


C = TypeVar("C", bound=Pooled)


class Pool(Generic[C]):
    """Up to ``size`` connections, made when they are needed.

    The one that was used last is given out first: it has the fewest doubts about it, and its statements planned.
    ``still_lives``: asks a connection, a round trip. It is asked only in doubt: after a rest, and when it rested while
    another turned out to be broken, for the server may have been restarted.
    """

    def __init__(
        self,
        connect: Callable[[], C],
        still_lives: Callable[[C], bool],
        *,
        size: int,
        run: Callable[[Callable[[], None]], None],
    ) -> None:
        """``run``: calls what waits for other users of the pool."""
        self.size = size
        self._run = run
        self._connect = connect
        self._still_lives = still_lives
        # One for each connection that may be given out now. It is a queue because that waits without Python's help.
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(size):
            self._places.put(None)
        self._resting: deque[C] = deque()
        self._broke_at = time.monotonic()

    @property
    def in_use(self) -> int:
        """How many connections are given out."""
        return self.size - self._places.qsize()

    def take(self) -> C:
        """A connection, to be given back or discarded. Raises PoolIsFull, and what ``connect`` raises."""
        try:
            self._places.get_nowait()
        except Empty:
            self._run(self._wait_for_place)
        try:
            return self._rested() or self._connect()
        except BaseException:
            self._places.put(None)
            raise

    def give_back(self, connection: C) -> None:
        """One that was closed meanwhile counts as discarded."""
        if not connection.closed:
            connection.rested_since = time.monotonic()
            self._resting.append(connection)
        self._places.put(None)

    def discard(self, connection: C, *, broken: bool) -> None:
        """Close it, for another to be made. ``broken``: so may be all others."""
        if broken:
            self._broke_at = time.monotonic()
        try:
            connection.close()
        finally:
            self._places.put(None)

    def close(self) -> None:
        """Close what rests."""
        while self._resting:
            self._resting.pop().close()

    def _wait_for_place(self) -> None:
        try:
            self._places.get(timeout=WAIT_SECONDS)
        except Empty:
            raise PoolIsFull from None

    def _rested(self) -> C | None:
        """One that rested and still lives. None if there is none, or if the first that was asked does not live.

        Of a server that is silent each question takes as long as a question may: the others are not asked as well.
        """
        while True:
            try:
                connection = self._resting.pop()
            except IndexError:  # none rests
                return None
            now = time.monotonic()
            if now - connection.made_at > RECYCLE_SECONDS:
                connection.close()
                continue
            if self._is_beyond_doubt(connection, now) or self._still_lives(connection):
                return connection
            self._broke_at = time.monotonic()
            connection.close()
            return None

    def _is_beyond_doubt(self, connection: C, now: float) -> bool:
        return connection.rested_since > self._broke_at and now - connection.rested_since < PING_AFTER_SECONDS
