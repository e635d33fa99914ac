"""Replies while they are being written, through Redis: a capped stream a reply to catch up from, a channel to follow.

One thread a process gathers what is published for some milliseconds and sends it in one pipeline; one thread a process
holds the one connection that feeds all its listeners.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Condition, Event, Thread
from typing import Any, cast

import orjson
import structlog
from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError

from application.ports.reply_stream import (
    STREAM_KEPT_FOR,
    Chunk,
    Position,
    ReplyPublisher,
    ReplySubscriber,
    ReplySubscription,
)
from domain.replies import ReplyId

GATHER_SECONDS = 0.02
# How many are forgotten in one pipeline.
FORGET_AT_ONCE = 1_000
KEEP_PIECES = 5_000
# How soon a new subscriber is heard of by the thread that waits for messages.
LOOK_SECONDS = 0.02
RECONNECT_SECONDS = 1.0
# A subscriber who could not be subscribed by then is told nothing, and asks the database.
SUBSCRIBED_WITHIN_SECONDS = 0.5

log = structlog.get_logger(__name__)


class RedisReplyPublisher(ReplyPublisher):
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: dict[ReplyId, list[Chunk]] = {}
        self._some_wait = Condition()
        self._sender: Thread | None = None

    def publish(self, reply_id: ReplyId, chunk: Chunk) -> None:
        with self._some_wait:
            chunks = self._waiting.setdefault(reply_id, [])
            if chunks and chunks[-1].end == chunk.begin and not chunks[-1].final:
                chunks[-1] = Chunk(chunk.end, chunks[-1].text + chunk.text, chunk.final)
            else:
                chunks.append(chunk)
            if self._sender is None:
                self._sender = Thread(target=self._send_for_ever, name="reply-publisher", daemon=True)
                self._sender.start()
            self._some_wait.notify()

    def forget(self, reply_ids: Collection[ReplyId]) -> None:
        keys = [_stream(reply_id) for reply_id in reply_ids]
        try:
            for begin in range(0, len(keys), FORGET_AT_ONCE):
                with self._redis.pipeline(transaction=False) as pipeline:
                    for key in keys[begin : begin + FORGET_AT_ONCE]:
                        # An empty key rather than none: a worker's next chunk would begin a new stream.
                        pipeline.set(key, b"", ex=STREAM_KEPT_FOR)
                    pipeline.execute()
        except RedisError as error:
            # What could not be reached is kept until its time is up.
            log.warning("streams_not_forgotten", replies=len(keys), error=type(error).__name__)

    def _send_for_ever(self) -> None:
        while True:
            with self._some_wait:
                self._some_wait.wait_for(lambda: self._waiting)
            # What comes meanwhile goes along: a third of the work for the same text.
            time.sleep(GATHER_SECONDS)
            with self._some_wait:
                waiting, self._waiting = self._waiting, {}
            try:
                self._send(waiting)
            except RedisError as error:
                log.warning("pieces_not_published", replies=len(waiting), error=type(error).__name__)

    def _send(self, waiting: dict[ReplyId, list[Chunk]]) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            for reply_id, chunks in waiting.items():
                for encoded in map(_encode, chunks):
                    pipeline.xadd(_stream(reply_id), {"chunk": encoded}, maxlen=KEEP_PIECES)
                    pipeline.publish(_channel(reply_id), encoded)
                pipeline.expire(_stream(reply_id), STREAM_KEPT_FOR)
            for answer in pipeline.execute(raise_on_error=False):
                if isinstance(answer, RedisError) and not _says_forgotten(answer):
                    raise answer


class _Listener(ReplySubscription):
    """The ReplySubscription port: a queue that the process's one connection fills."""

    def __init__(self) -> None:
        self.subscribed = Event()
        self.chunks: SimpleQueue[Chunk] = SimpleQueue()

    def next(self, *, within: float) -> Chunk | None:
        with suppress(Empty):
            return self.chunks.get(timeout=within)
        return None


class RedisReplySubscriber(ReplySubscriber):
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._listeners: dict[bytes, list[_Listener]] = {}
        # What Redis has confirmed: who comes second to a reply has nothing to wait for.
        self._subscribed: set[bytes] = set()
        self._changed = Condition()
        self._feeder: Thread | None = None

    @contextmanager
    def listen(self, reply_id: ReplyId) -> Iterator[_Listener]:
        channel = _channel(reply_id)
        subscriber = _Listener()
        with self._changed:
            self._listeners.setdefault(channel, []).append(subscriber)
            if channel in self._subscribed:
                subscriber.subscribed.set()
            if self._feeder is None:
                self._feeder = Thread(target=self._feed_for_ever, name="reply-subscriber", daemon=True)
                self._feeder.start()
            self._changed.notify()
        try:
            subscriber.subscribed.wait(SUBSCRIBED_WITHIN_SECONDS)
            yield subscriber
        finally:
            with self._changed:
                self._listeners[channel].remove(subscriber)
                if not self._listeners[channel]:
                    del self._listeners[channel]

    def published(self, reply_id: ReplyId) -> list[Chunk]:
        try:
            entries = self._redis.xrange(_stream(reply_id))
        except RedisError:
            return []
        # Typed for every way to call it; as called here it gives pairs of an id and its fields.
        fields = [fields for _, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", entries)]
        return [chunk for chunk in map(_decode, (one.get(b"chunk", b"") for one in fields)) if chunk is not None]

    def _feed_for_ever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._listeners)
            try:
                with self._redis.pubsub() as pubsub:  # type: ignore[no-untyped-call]
                    self._feed(pubsub)
            except RedisError as error:
                log.warning("listeners_cut_off", error=type(error).__name__)
                with self._changed:
                    self._subscribed.clear()
                time.sleep(RECONNECT_SECONDS)

    def _feed(self, pubsub: PubSub) -> None:
        """Pass messages on until there are no listeners left."""
        asked_for: set[bytes] = set()
        while True:
            with self._changed:
                wanted = set(self._listeners)
                self._subscribed &= wanted
            if new := wanted - asked_for:
                pubsub.subscribe(*new)
            if gone := asked_for - wanted:
                pubsub.unsubscribe(*gone)  # type: ignore[no-untyped-call]
            asked_for = wanted
            if not wanted:
                return
            message: dict[str, Any] | None = pubsub.get_message(timeout=LOOK_SECONDS)
            if message is not None:
                self._pass_on(message)

    def _pass_on(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        with self._changed:
            listeners = list(self._listeners.get(channel, ()))
            if listeners and message["type"] == "subscribe":
                self._subscribed.add(channel)
        if message["type"] == "subscribe":
            for subscriber in listeners:
                subscriber.subscribed.set()
        elif message["type"] == "message" and (chunk := _decode(message["data"])) is not None:
            for subscriber in listeners:
                subscriber.chunks.put(chunk)


def _stream(reply_id: ReplyId) -> str:
    return f"reply:stream:{reply_id}"


def _says_forgotten(error: RedisError) -> bool:
    """Whether Redis would not add to a stream because there is a key of another kind in its place."""
    return str(error).startswith("WRONGTYPE")


def _channel(reply_id: ReplyId) -> bytes:
    return f"reply:channel:{reply_id}".encode()


def _encode(chunk: Chunk) -> bytes:
    return orjson.dumps([chunk.end.generation, chunk.end.characters, chunk.text, chunk.final])


def _decode(data: bytes) -> Chunk | None:
    """None for what is no chunk of ours: it must not end the thread that feeds everybody."""
    try:
        generation, characters, text, final = orjson.loads(data)
    except (ValueError, TypeError):
        return None
    return Chunk(Position(generation, characters), text, final)
