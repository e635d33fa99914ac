"""Users follow a reply while it is written, or wait until it is finished."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from typing import TypeVar

from application.chat.expiry import SettleOverdue
from application.ports.reader import Entry, MessageEntry, Reader, ReplyEntry
from application.ports.reply_stream import START, Chunk, Position, ReplySubscriber, ReplySubscription
from application.ports.runtime import Clock
from domain.accounts import UserId
from domain.chat import ChatroomId, MessageId
from domain.errors import ChatroomNotFound, DependencyDown, MessageNotFound
from domain.replies import ReplyId

# After so long without a chunk the database is asked whether the reply has ended. It keeps subscribers from hanging
# when the worker or Redis has died.
HEARTBEAT_SECONDS = 5.0
# How often the database is asked where there is no subscription to wait for.
POLL_SECONDS = 1.0
# A subscription that is not confirmed by then gets no chunks; the database is asked instead.
CONFIRMED_WITHIN_SECONDS = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delta:
    """More text; ``position`` is the one after it."""

    position: Position
    text: str


@dataclass(frozen=True, slots=True)
class Reset:
    """The text before this is void: another generation has begun, or nothing was kept of it."""

    position: Position


@dataclass(frozen=True, slots=True)
class Ended:
    """The reply is finished; ``entry`` is what the database has of it."""

    position: Position
    entry: Entry


@dataclass(frozen=True, slots=True)
class Removed:
    """The reply was deleted, with its chatroom or its user, before it was finished."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """There was nothing for a while; the connection is alive."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A step of a use case that waits: it goes on when ``source`` has a chunk, or after ``seconds``.

    The caller sends the chunk, or None, back into the generator. So a use case that waits holds no thread.
    """

    source: ReplySubscription | None
    seconds: float


# What a use case that waits yields, is sent, and returns.
Waiting = Generator[Wait, Chunk | None, T]
Stream = Generator["StreamEvent | Wait", Chunk | None, None]
StreamEvent = Delta | Reset | Ended | Removed | Heartbeat


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """Reads the turn that a message or a reply belongs to."""

    reader: Reader
    settle: SettleOverdue

    def __call__(self, *, user_id: UserId, entry_id: MessageId | ReplyId) -> Entry:
        """Raises MessageNotFound unless it is the user's own."""
        entry = self._read(user_id, entry_id)
        if entry.turn.overdue:
            self.settle(entry.turn.replies)
            entry = self._read(user_id, entry_id)
        return entry

    def _read(self, user_id: UserId, entry_id: MessageId | ReplyId) -> Entry:
        entry = self.reader.entry(user_id, entry_id)
        if entry is None:
            raise MessageNotFound
        return entry


@dataclass(frozen=True, slots=True)
class FollowReply:
    """Streams a reply from any position, while it is being written by any process, and after that."""

    read_entry: ReadEntry
    subscriber: ReplySubscriber

    def __call__(self, *, user_id: UserId, entry_id: MessageId | ReplyId, after: Position = START) -> Stream:
        """Returns the events after position ``after``, up to the end of the reply, with waits between them.

        Raises MessageNotFound at once, not while iterating. The last event is Ended or Removed.
        """
        entry = self.read_entry(user_id=user_id, entry_id=entry_id)
        if entry.turn.reply_state.final:
            return _whole(_ending(after, entry))
        return self._events(user_id, entry.turn.reply_id, after)

    def _events(self, user_id: UserId, reply_id: ReplyId, seen: Position) -> Stream:
        with self.subscriber.listen(reply_id) as subscription:
            if not subscription.confirmed:
                yield Wait(subscription, CONFIRMED_WITHIN_SECONDS)
            # Subscribe first and read what was published afterwards: so no chunk falls between the two.
            chunks: Sequence[Chunk] = self.subscriber.published(reply_id)
            while True:
                ended = any(chunk.final for chunk in chunks)
                for event in _new_events(seen, chunks):
                    seen = event.position
                    yield event
                if ended or not chunks:
                    try:
                        entry = self._finished(user_id, reply_id)
                    except MessageNotFound:
                        yield Removed()  # a client that comes back gets MessageNotFound
                        return
                    if entry is not None:
                        yield from _ending(seen, entry)
                        return
                    yield Heartbeat()
                chunk = yield Wait(subscription, HEARTBEAT_SECONDS)
                chunks = [chunk] if chunk else []
                if chunk and _leaves_a_gap(seen, chunk):
                    chunks = [*self.subscriber.published(reply_id), chunk]

    def _finished(self, user_id: UserId, reply_id: ReplyId) -> Entry | None:
        """The reply if it has ended. While the database is down it counts as unfinished, and is looked up again."""
        try:
            entry = self.read_entry(user_id=user_id, entry_id=reply_id)
        except DependencyDown:
            return None
        return entry if entry.turn.reply_state.final else None


@dataclass(frozen=True, slots=True)
class WaitForReply:
    """Waits until a reply is finished, for a limited time."""

    read_entry: ReadEntry
    subscriber: ReplySubscriber
    clock: Clock

    def __call__(self, *, user_id: UserId, reply_id: ReplyId, within: timedelta) -> Waiting[Entry]:
        """Returns the entry in the end, finished or not. Raises MessageNotFound."""
        until = self.clock() + within
        with self.subscriber.listen(reply_id) as subscription:
            if not subscription.confirmed:
                yield Wait(subscription, min(within.total_seconds(), CONFIRMED_WITHIN_SECONDS))
            while True:
                entry = self.read_entry(user_id=user_id, entry_id=reply_id)
                left = (until - self.clock()).total_seconds()
                if entry.turn.reply_state.final or left <= 0:
                    return entry
                chunk = yield Wait(subscription, min(left, POLL_SECONDS))
                while chunk and not chunk.final and self.clock() < until:
                    chunk = yield Wait(subscription, POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class PollMessages:
    """Reads the entries of a chatroom that were added after a known one; with ``within`` it is a long poll."""

    reader: Reader
    settle: SettleOverdue
    wait_for_reply: WaitForReply
    clock: Clock

    def __call__(
        self,
        *,
        user_id: UserId,
        chatroom_id: ChatroomId,
        after: MessageId | ReplyId,
        limit: int,
        within: timedelta = timedelta(),
    ) -> Waiting[Sequence[MessageEntry | ReplyEntry]]:
        """Returns at most ``limit`` entries after ``after``, in their order, as soon as a reply of them is finished.

        A reply behind one that is not finished does not count: the client, which goes on from the last entry before
        that one, may have it already. A full page without unfinished ones is not waited for. Raises ChatroomNotFound.
        """
        until = self.clock() + within
        while True:
            found = self._read(user_id, chatroom_id, after, limit)
            overdue = [one.reply_id for one in found if isinstance(one, ReplyEntry) and one.overdue]
            if overdue:
                self.settle(overdue)
                found = self._read(user_id, chatroom_id, after, limit)
            finished = list(takewhile(_is_finished, found))
            left = until - self.clock()
            if left <= timedelta() or len(finished) == limit or any(isinstance(one, ReplyEntry) for one in finished):
                return found
            unfinished = found[len(finished) :]
            if unfinished:
                yield from self._wait_for(user_id, unfinished[0], within=left)
            else:
                yield Wait(None, min(left.total_seconds(), POLL_SECONDS))

    def _read(
        self, user_id: UserId, chatroom_id: ChatroomId, after: MessageId | ReplyId, limit: int
    ) -> Sequence[MessageEntry | ReplyEntry]:
        found = self.reader.entries_after(user_id, chatroom_id, entry_id=after, limit=limit)
        if found is None:
            raise ChatroomNotFound
        return found

    def _wait_for(self, user_id: UserId, entry: MessageEntry | ReplyEntry, *, within: timedelta) -> Waiting[None]:
        if isinstance(entry, ReplyEntry):
            with suppress(MessageNotFound):  # the chatroom was removed: it is not found either
                yield from self.wait_for_reply(user_id=user_id, reply_id=entry.reply_id, within=within)


def _is_finished(entry: MessageEntry | ReplyEntry) -> bool:
    return isinstance(entry, MessageEntry) or entry.reply_state.final


def _whole(events: Iterator[StreamEvent]) -> Stream:
    """A stream that has nothing to wait for."""
    yield from events


def _new_events(seen: Position, chunks: Sequence[Chunk]) -> Iterator[Delta | Reset]:
    """The events in ``chunks`` after position ``seen``. Chunks behind a gap are left out: the end brings their text."""
    for chunk in chunks:
        if chunk.end.generation < seen.generation:
            continue
        if chunk.end.generation > seen.generation:
            begun = Position(chunk.end.generation, 0)
            if seen != START:
                yield Reset(begun)
            seen = begun
        if chunk.begin.characters > seen.characters or chunk.end <= seen:
            continue
        yield Delta(chunk.end, chunk.text[seen.characters - chunk.begin.characters :])
        seen = chunk.end


def _leaves_a_gap(seen: Position, chunk: Chunk) -> bool:
    same_generation = chunk.end.generation == seen.generation
    return chunk.begin.characters > (seen.characters if same_generation else 0)


def _ending(seen: Position, entry: Entry) -> Iterator[StreamEvent]:
    """The rest of a finished reply after ``seen``; all of it when the text that was sent was not kept."""
    turn = entry.turn
    text = turn.reply_content or ""
    end = Position(turn.generation, len(text))
    begin = seen if seen.generation == turn.generation and seen <= end else Position(turn.generation, 0)
    if begin is not seen and seen != START:
        yield Reset(begin)
    if text[begin.characters :]:
        yield Delta(end, text[begin.characters :])
    yield Ended(end, entry)
