"""Replies while they are being written, through Redis: a capped stream each to catch up from, a channel each to follow.

In each process one thread gathers what is published for some milliseconds and sends it in one pipeline, and one thread
reads the single connection that feeds all subscribers of the process.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Condition, Lock, Thread
from typing import Any, cast

import orjson
import structlog
from redis import Redis
from redis.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.redis.connection import prefix_of
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
# Chunks that could not be sent wait so long for the next attempt, as long as there are no more of them than that.
RETRY_SECONDS = 0.25
MOST_UNSENT_CHARACTERS = 1_000_000
# The number of streams that are emptied in one pipeline.
FORGET_AT_ONCE = 1_000
KEEP_CHUNKS = 5_000
# The expiry of a stream is set anew no more often than this, and is so much later: not a third of all commands.
EXPIRY_SET_EVERY = timedelta(minutes=1)
# The number of streams of which a process remembers when it set their expiry.
EXPIRIES_REMEMBERED = 10_000
# The thread that waits for messages looks for new subscribers this often.
LOOK_SECONDS = 0.02
RECONNECT_SECONDS = 1.0

log = structlog.get_logger(__name__)


class RedisReplyPublisher(ReplyPublisher):
    """The first chunk starts the thread that sends: a server may build the application and then fork, which threads do
    not survive.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: dict[ReplyId, list[Chunk]] = {}
        self._some_wait = Condition()
        self._sender: Thread | None = None
        # When (``time.monotonic``) the expiry of a stream has to be set again. Only the sender's thread uses it.
        self._expire_again_at: OrderedDict[ReplyId, float] = OrderedDict()

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
                        # A plain key in place of the stream: a worker's next chunk would start a new stream otherwise.
                        pipeline.set(key, b"", ex=STREAM_KEPT_FOR)
                    pipeline.execute()
        except RedisError as error:
            # The streams that are left expire by themselves.
            log.warning("streams_not_forgotten", replies=len(keys), error=type(error).__name__)

    def _send_for_ever(self) -> None:
        while True:
            with self._some_wait:
                self._some_wait.wait_for(lambda: self._waiting)
            # Chunks that arrive meanwhile are sent along: a third of the work for the same text.
            time.sleep(GATHER_SECONDS)
            with self._some_wait:
                waiting, self._waiting = self._waiting, {}
            try:
                self._send(waiting)
            except (RedisConnectionError, RedisTimeoutError) as error:
                self._send_again(waiting, error)
                time.sleep(RETRY_SECONDS)
            except RedisError as error:
                _note_loss(waiting, error)

    def _send_again(self, unsent: dict[ReplyId, list[Chunk]], error: RedisError) -> None:
        """Have them wait before what came meanwhile. Those that were sent come twice."""
        with self._some_wait:
            for reply_id, chunks in unsent.items():
                self._waiting[reply_id] = chunks + self._waiting.get(reply_id, [])
            if _characters(self._waiting) <= MOST_UNSENT_CHARACTERS:
                return
            lost, self._waiting = self._waiting, {}
        _note_loss(lost, error)

    def _send(self, waiting: dict[ReplyId, list[Chunk]]) -> None:
        now = time.monotonic()
        # With the last chunk, too: Redis may have lost the stream, and its expiry, since.
        expiring = [
            reply_id
            for reply_id, chunks in waiting.items()
            if chunks[-1].final or now >= self._expire_again_at.get(reply_id, now)
        ]
        with self._redis.pipeline(transaction=False) as pipeline:
            for reply_id, chunks in waiting.items():
                for encoded in map(_encode, chunks):
                    pipeline.xadd(_stream(reply_id), {"chunk": encoded}, maxlen=KEEP_CHUNKS)
                    pipeline.publish(_channel(self._redis, reply_id), encoded)
            for reply_id in expiring:
                pipeline.expire(_stream(reply_id), STREAM_KEPT_FOR + EXPIRY_SET_EVERY)
            for answer in pipeline.execute(raise_on_error=False):
                if isinstance(answer, RedisError) and not _says_forgotten(answer):
                    raise answer
        self._remember_expiries(waiting, expiring, now + EXPIRY_SET_EVERY.total_seconds())

    def _remember_expiries(
        self, sent: dict[ReplyId, list[Chunk]], expiring: Collection[ReplyId], again_at: float
    ) -> None:
        self._expire_again_at.update(dict.fromkeys(expiring, again_at))
        for reply_id, chunks in sent.items():
            if chunks[-1].final:
                self._expire_again_at.pop(reply_id, None)
        while len(self._expire_again_at) > EXPIRIES_REMEMBERED:
            self._expire_again_at.popitem(last=False)


def _characters(waiting: Mapping[ReplyId, Sequence[Chunk]]) -> int:
    return sum(len(chunk.text) for chunks in waiting.values() for chunk in chunks)


def _note_loss(lost: Collection[ReplyId], error: RedisError) -> None:
    # Listeners get the text with the end of the reply, from the database.
    log.warning("chunks_not_published", replies=len(lost), error=type(error).__name__)


class _Subscription(ReplySubscription):
    """A queue that the process's one connection fills."""

    def __init__(self, *, confirmed: bool) -> None:
        self.confirmed = confirmed
        self._lock = Lock()
        # None: the subscription was confirmed.
        self._chunks: SimpleQueue[Chunk | None] = SimpleQueue()
        self._callback: Callable[[], None] | None = None

    def next(self, *, within: float) -> Chunk | None:
        with suppress(Empty):
            return self._chunks.get(timeout=within) if within else self._chunks.get_nowait()
        return None

    def when_ready(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if self._chunks.empty():
                self._callback = callback
                return
        callback()

    def confirm(self) -> None:
        if not self.confirmed:
            self.confirmed = True
            self.put(None)

    def put(self, chunk: Chunk | None) -> None:
        with self._lock:
            self._chunks.put(chunk)
            callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class RedisReplySubscriber(ReplySubscriber):
    """Uses one connection for all subscriptions of the process; the first one starts the thread that reads it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._subscriptions: dict[bytes, list[_Subscription]] = {}
        # The channels that Redis has confirmed: a second subscription to one of them need not wait.
        self._subscribed: set[bytes] = set()
        self._changed = Condition()
        self._feeder: Thread | None = None

    @contextmanager
    def listen(self, reply_id: ReplyId) -> Iterator[_Subscription]:
        channel = _channel(self._redis, reply_id)
        with self._changed:
            subscription = _Subscription(confirmed=channel in self._subscribed)
            self._subscriptions.setdefault(channel, []).append(subscription)
            if self._feeder is None:
                self._feeder = Thread(target=self._feed_for_ever, name="reply-subscriber", daemon=True)
                self._feeder.start()
            self._changed.notify()
        try:
            yield subscription
        finally:
            with self._changed:
                self._subscriptions[channel].remove(subscription)
                if not self._subscriptions[channel]:
                    del self._subscriptions[channel]

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
                self._changed.wait_for(lambda: self._subscriptions)
            try:
                with self._redis.pubsub() as pubsub:  # type: ignore[no-untyped-call]
                    self._feed(pubsub)
            except RedisError as error:
                log.warning("reply_subscriptions_lost", error=type(error).__name__)
                with self._changed:
                    self._subscribed.clear()
                time.sleep(RECONNECT_SECONDS)

    def _feed(self, pubsub: PubSub) -> None:
        """Pass messages on until there are no subscriptions left."""
        asked_for: set[bytes] = set()
        while True:
            with self._changed:
                wanted = set(self._subscriptions)
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
            subscriptions = list(self._subscriptions.get(channel, ()))
            if subscriptions and message["type"] == "subscribe":
                self._subscribed.add(channel)
        if message["type"] == "subscribe":
            for subscription in subscriptions:
                subscription.confirm()
        elif message["type"] == "message" and (chunk := _decode(message["data"])) is not None:
            for subscription in subscriptions:
                subscription.put(chunk)


def _stream(reply_id: ReplyId) -> str:
    return f"reply:stream:{reply_id}"


def _says_forgotten(error: RedisError) -> bool:
    """Whether Redis refused to add to a stream because ``forget`` has put a plain key in its place."""
    return str(error).startswith("WRONGTYPE")


def _channel(redis: Redis, reply_id: ReplyId) -> bytes:
    return f"{prefix_of(redis)}reply:channel:{reply_id}".encode()


def _encode(chunk: Chunk) -> bytes:
    return orjson.dumps([chunk.end.generation, chunk.end.characters, chunk.text, chunk.final])


def _decode(data: bytes) -> Chunk | None:
    """None for anything else than a chunk: it must not end the thread that feeds all subscriptions."""
    try:
        generation, characters, text, final = orjson.loads(data)
    except (ValueError, TypeError):
        return None
    return Chunk(Position(generation, characters), text, final)
