"""Users watch a reply being written, or wait until it is there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.ports.reader import Entry, Reader, Turn
from application.ports.reply_stream import START, Chunk, Position, ReplySubscriber
from application.ports.runtime import Clock, Pause
from domain.accounts import UserId
from domain.chat import ChatroomId, MessageId
from domain.errors import ChatroomNotFound, DependencyDown, MessageNotFound
from domain.replies import ReplyId

# How long nothing may come before the database is asked whether the reply has ended without a word. It is what keeps a
# subscriber from hanging when its worker died, or Redis did.
HEARTBEAT_SECONDS = 5.0
# While waiting without subscription: how often the database is asked.
POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Delta:
    """More text, and the position after it."""

    position: Position
    text: str


@dataclass(frozen=True, slots=True)
class Reset:
    """What came before is void: another run of the reply has begun, or nothing of it was kept."""

    position: Position


@dataclass(frozen=True, slots=True)
class Ended:
    """The reply is finished, as it stands in the database."""

    position: Position
    entry: Entry


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing for a while: a sign of life for the client."""


StreamEvent = Delta | Reset | Ended | Heartbeat


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """One message or one reply."""

    reader: Reader

    def __call__(self, *, user_id: UserId, entry_id: MessageId | ReplyId) -> Entry:
        """The turn it belongs to; MessageNotFound unless it is the user's own."""
        entry = self.reader.entry(user_id, entry_id)
        if entry is None:
            raise MessageNotFound
        return entry


@dataclass(frozen=True, slots=True)
class FollowReply:
    """Tells a reply as it is being written, from any position, in any process, while it runs and after."""

    read_entry: ReadEntry
    subscriber: ReplySubscriber

    def __call__(
        self, *, user_id: UserId, entry_id: MessageId | ReplyId, after: Position = START
    ) -> Iterator[StreamEvent]:
        """Everything after ``after``, to the end. MessageNotFound is raised here, not while iterating.

        Of a reply that is taken away meanwhile nothing more comes.
        """
        entry = self.read_entry(user_id=user_id, entry_id=entry_id)
        if entry.turn.reply_state.final:
            return _ending(after, entry)
        return self._events(user_id, entry.turn.reply_id, after)

    def _events(self, user_id: UserId, reply_id: ReplyId, seen: Position) -> Iterator[StreamEvent]:
        with self.subscriber.listen(reply_id) as subscription:
            # ReplySubscription first, then looking at what was there before: nothing falls between the two.
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
                        return  # it was taken away meanwhile: who comes back is told so
                    if entry is not None:
                        yield from _ending(seen, entry)
                        return
                    yield Heartbeat()
                chunk = subscription.next(within=HEARTBEAT_SECONDS)
                chunks = [chunk] if chunk else []
                if chunk and _leaves_a_gap(seen, chunk):
                    chunks = [*self.subscriber.published(reply_id), chunk]

    def _finished(self, user_id: UserId, reply_id: ReplyId) -> Entry | None:
        """The reply if it has ended. A database that is down for a moment cuts nobody off: it is asked again."""
        try:
            entry = self.read_entry(user_id=user_id, entry_id=reply_id)
        except DependencyDown:
            return None
        return entry if entry.turn.reply_state.final else None


@dataclass(frozen=True, slots=True)
class WaitForReply:
    """Waits until a reply is finished, but not for ever."""

    read_entry: ReadEntry
    subscriber: ReplySubscriber
    clock: Clock

    def __call__(self, *, user_id: UserId, reply_id: ReplyId, within: timedelta) -> Entry:
        """The entry, finished or not. MessageNotFound."""
        until = self.clock() + within
        with self.subscriber.listen(reply_id) as subscription:
            while True:
                entry = self.read_entry(user_id=user_id, entry_id=reply_id)
                left = (until - self.clock()).total_seconds()
                if entry.turn.reply_state.final or left <= 0:
                    return entry
                chunk = subscription.next(within=min(left, POLL_SECONDS))
                while chunk and not chunk.final and self.clock() < until:
                    chunk = subscription.next(within=POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class PollMessages:
    """The entries of a chatroom after one the client has; waits for the next finished one where asked to.

    After: later in the conversation, not later in time. Another reply to an older message stands with that message.
    """

    reader: Reader
    wait_for_reply: WaitForReply
    clock: Clock
    pause: Pause

    def __call__(
        self,
        *,
        user_id: UserId,
        chatroom_id: ChatroomId,
        after: MessageId | ReplyId,
        turns: int,
        within: timedelta = timedelta(),
    ) -> Sequence[Turn]:
        """The turn of ``after`` and the later ones, oldest first. ChatroomNotFound."""
        until = self.clock() + within
        while True:
            found = self.reader.turns_from(user_id, chatroom_id, entry_id=after, turns=turns)
            if found is None:
                raise ChatroomNotFound
            # The first is the turn of ``after``: there may be another reply in it. The others are later.
            fresh = [turn for nth, turn in enumerate(found) if nth > 0 or turn.reply_id > after]
            left = until - self.clock()
            if left <= timedelta() or any(turn.reply_state.final for turn in fresh):
                return found
            if fresh:
                self.wait_for_reply(user_id=user_id, reply_id=fresh[0].reply_id, within=left)
            else:
                self.pause(min(left.total_seconds(), POLL_SECONDS))


def _new_events(seen: Position, chunks: Sequence[Chunk]) -> Iterator[Delta | Reset]:
    """What the chunks say that a subscriber at ``seen`` has not heard; chunks after a gap are left for the end."""
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
    """What is left of a finished reply after ``seen``: all of it, if what was sent is not what is kept."""
    turn = entry.turn
    text = turn.reply_content or ""
    end = Position(turn.generation, len(text))
    begin = seen if seen.generation == turn.generation and seen <= end else Position(turn.generation, 0)
    if begin is not seen and seen != START:
        yield Reset(begin)
    if text[begin.characters :]:
        yield Delta(end, text[begin.characters :])
    yield Ended(end, entry)
