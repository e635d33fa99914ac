"""Publish and subscribe of replies while they are written, across processes.

A position says how far a subscriber is: the generation of the text, and the number of its characters. It is the id of a
Server-Sent Event, so that a client that reconnects, on any device, gets exactly what it missed.
"""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import NamedTuple, Protocol, Self

from domain.replies import ReplyId

# How long chunks are kept after the last one, for subscribers that come back while the reply is written. Once it is
# finished, the database has the whole text.
STREAM_KEPT_FOR = timedelta(minutes=10)
# So long after its end a reply has no stream, even if a worker that had lost the lease went on for a while.
STREAM_GONE_AFTER = STREAM_KEPT_FOR + timedelta(minutes=5)


class Position(NamedTuple):
    """After ``characters`` of the text of ``generation``. Positions are ordered."""

    generation: int
    characters: int


START = Position(0, 0)


class Chunk(NamedTuple):
    """Some text of a reply. ``end``: the position after it; ``final``: the reply is finished."""

    end: Position
    text: str
    final: bool = False

    @classmethod
    def last(cls, generation: int, characters: int = 0) -> Self:
        """The final chunk of a generation of so many characters."""
        return cls(Position(generation, characters), "", final=True)

    @property
    def begin(self) -> Position:
        """The position before the text."""
        return Position(self.end.generation, self.end.characters - len(self.text))


class ReplyPublisher(Protocol):
    """Best effort, never raises: what the database stores does not depend on it."""

    def publish(self, reply_id: ReplyId, chunk: Chunk) -> None:
        """Sends a chunk to the subscribers within some tens of milliseconds. Chunks may be joined on the way."""

    def forget(self, reply_ids: Collection[ReplyId]) -> None:
        """Deletes the streams of these replies, and discards what a worker may still publish of them."""


class ReplySubscription(Protocol):
    # Whether nothing that is published from now on is missed.
    confirmed: bool

    def next(self, *, within: float) -> Chunk | None:
        """The next chunk; None if none came ``within`` seconds. Chunks may be lost or come twice.

        None, once and at once, also when the subscription has just been confirmed.
        """

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` once, from any thread, as soon as ``next`` would not wait; at once if that is now."""


class ReplySubscriber(Protocol):
    """No method raises: without its server there are no chunks."""

    def listen(self, reply_id: ReplyId) -> AbstractContextManager[ReplySubscription]:
        """Subscribes to what is published. It takes effect soon: when the subscription is ``confirmed``."""

    def published(self, reply_id: ReplyId) -> list[Chunk]:
        """The chunks published so far that are still kept, in order."""
