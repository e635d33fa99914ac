"""Replies while they are being written: from the worker that writes them to whoever listens, in any process.

A position says how far a subscriber is: which generation of the reply's text, and how many characters of it. It is the
id of a Server-Sent Event, so that a client that comes back, on any device, is given exactly what it missed.
"""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import NamedTuple, Protocol, Self

from domain.replies import ReplyId

# How long at most what was published of a reply is kept after its last chunk: for listeners who come back to it while
# it is running. From the end on the database has it all.
STREAM_KEPT_FOR = timedelta(minutes=10)
# So long after its end a reply has no stream any more, also when a worker that had lost it went on for a while.
STREAM_GONE_AFTER = STREAM_KEPT_FOR + timedelta(minutes=5)


class Position(NamedTuple):
    """``characters`` of generation number ``generation``. Ordered."""

    generation: int
    characters: int


START = Position(0, 0)


class Chunk(NamedTuple):
    """Some text of a reply, and the position after it. ``final``: the reply is finished, whatever the text."""

    end: Position
    text: str
    final: bool = False

    @classmethod
    def last(cls, generation: int, characters: int = 0) -> Self:
        """The end of a generation, after so many characters."""
        return cls(Position(generation, characters), "", final=True)

    @property
    def begin(self) -> Position:
        """The position before the text."""
        return Position(self.end.generation, self.end.characters - len(self.text))


class ReplyPublisher(Protocol):
    """The end of those who write. Best effort and never raises: what is stored does not depend on it."""

    def publish(self, reply_id: ReplyId, chunk: Chunk) -> None:
        """Let listeners have the chunk, within some tens of milliseconds; chunks may be joined on the way."""

    def forget(self, reply_ids: Collection[ReplyId]) -> None:
        """Keep nothing of these: not what was published, nor what a worker that knows nothing of it still publishes."""


class ReplySubscription(Protocol):
    """One subscriber to one reply."""

    # Whether nothing that is published from now on is missed.
    confirmed: bool

    def next(self, *, within: float) -> Chunk | None:
        """The next chunk, or None when none came ``within`` seconds. Chunks may be missing or come twice.

        None as well, once and at once, when the subscription has just been confirmed.
        """

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, from any thread, as soon as ``next`` would not wait: at once if so now."""


class ReplySubscriber(Protocol):
    """The listeners' end. No method raises: without its server nothing comes."""

    def listen(self, reply_id: ReplyId) -> AbstractContextManager[ReplySubscription]:
        """Subscribe to what is published; it takes effect when the subscription is ``confirmed``, soon."""

    def published(self, reply_id: ReplyId) -> list[Chunk]:
        """What was published up to now, as far as it is still kept, in order."""
