"""The contract of the stream that carries chunks from the worker that writes a reply to its listeners."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from threading import Event
from typing import Any, cast

import pytest
from redis import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from adapters.memory.stores import MemoryReplyStream
from adapters.redis import reply_stream as redis_reply_stream
from adapters.redis.connection import connect
from adapters.redis.reply_stream import EXPIRY_SET_EVERY, RedisReplyPublisher, RedisReplySubscriber
from application.ports.reply_stream import (
    STREAM_KEPT_FOR,
    Chunk,
    Position,
    ReplyPublisher,
    ReplySubscriber,
    ReplySubscription,
)
from domain.replies import ReplyId
from tests.concurrency import eventually, together
from tests.contract.world import new_id, shown
from tests.redis_doubles import DOWN

TEXT = "Once upon a time there was a message, and it was given a reply. 🌈 नमस्ते "
PATIENCE = 30.0


@pytest.fixture
def reply_id() -> ReplyId:
    """A reply without chunks yet."""
    return ReplyId(new_id())


def tell(
    publisher: ReplyPublisher, reply_id: ReplyId, texts: list[str], *, generation: int = 1, final: bool = True
) -> None:
    """Publish a text in chunks, as a worker does: its beginning, its chunks, its end."""
    position = Position(generation, 0)
    publisher.publish(reply_id, Chunk(position, ""))
    for text in texts:
        position = Position(generation, position.characters + len(text))
        publisher.publish(reply_id, Chunk(position, text))
    if final:
        publisher.publish(reply_id, Chunk(position, "", final=True))


def hear(subscription: ReplySubscription, *, until: Callable[[Chunk], bool] = lambda chunk: chunk.final) -> list[Chunk]:
    heard: list[Chunk] = []
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        chunk = subscription.next(within=1.0)
        if chunk is not None:
            heard.append(chunk)
            if until(chunk):
                return heard
    pytest.fail(f"the end did not come; heard {heard}")


@contextmanager
def listening(subscriber: ReplySubscriber, reply_id: ReplyId) -> Iterator[ReplySubscription]:
    """A subscription that has taken effect."""
    with subscriber.listen(reply_id) as subscription:
        if not subscription.confirmed:
            assert subscription.next(within=PATIENCE) is None
        yield subscription


def text_of(chunks: list[Chunk]) -> str:
    """The text of chunks of one run that follow one another, the first from the beginning."""
    position = Position(chunks[0].end.generation, 0) if chunks else Position(0, 0)
    for chunk in chunks:
        assert chunk.begin == position, "chunks are missing, doubled or not in order"
        position = chunk.end
    return "".join(chunk.text for chunk in chunks)


def all_of(subscriber: ReplySubscriber, reply_id: ReplyId, text: str) -> list[Chunk]:
    """What was published, once it is all of the text, and the end."""

    def whole() -> bool:
        chunks = subscriber.published(reply_id)
        return bool(chunks) and chunks[-1].final and text_of(chunks) == text

    assert eventually(whole)
    return subscriber.published(reply_id)


class ReplyStreamContract:
    """What every pair of ReplyPublisher and ReplySubscriber does."""

    def test_what_is_published_is_heard_in_order(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId
    ) -> None:
        with listening(subscriber, reply_id) as subscription:
            tell(publisher, reply_id, list(TEXT))
            heard = hear(subscription)
        assert text_of(heard) == TEXT
        assert [chunk.final for chunk in heard[:-1]] == [False] * (len(heard) - 1)
        assert heard[-1].end == Position(1, len(TEXT))

    def test_who_comes_late_is_given_the_same_in_order(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId
    ) -> None:
        tell(publisher, reply_id, TEXT.split(" "))
        for _ in range(2):
            chunks = all_of(subscriber, reply_id, TEXT.replace(" ", ""))
            assert chunks[-1].end == Position(1, len(TEXT.replace(" ", "")))

    @pytest.mark.parametrize(
        "text",
        ["", "\x00", " \n\r\t", "\u2028\u2029\x85", "data: x\n\nid: 1", '"\\', "\U0010ffff🌈" * 5_000],
        ids=shown,
    )
    @pytest.mark.parametrize("final", [False, True])
    def test_a_piece_comes_unchanged(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId, text: str, final: bool
    ) -> None:
        chunk = Chunk(Position(2**31, len(text) + 7), text, final)
        with listening(subscriber, reply_id) as subscription:
            publisher.publish(reply_id, chunk)
            assert hear(subscription, until=lambda _: True) == [chunk]
        assert eventually(lambda: subscriber.published(reply_id) == [chunk])

    def test_where_nothing_was_said_nothing_comes(self, subscriber: ReplySubscriber, reply_id: ReplyId) -> None:
        assert subscriber.published(reply_id) == []
        with listening(subscriber, reply_id) as subscription:
            assert subscription.next(within=0) is None
            assert subscription.next(within=0.05) is None

    def test_of_each_reply_only_its_own(self, publisher: ReplyPublisher, subscriber: ReplySubscriber) -> None:
        one, other = ReplyId(new_id()), ReplyId(new_id())
        with listening(subscriber, one) as to_one, listening(subscriber, other) as to_other:
            tell(publisher, one, ["this ", "one"])
            tell(publisher, other, ["the ", "other"])
            assert text_of(hear(to_one)) == "this one"
            assert text_of(hear(to_other)) == "the other"
            assert to_one.next(within=0.05) is to_other.next(within=0.05) is None
        all_of(subscriber, one, "this one")

    def test_many_listen_to_one(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId
    ) -> None:
        with ExitStack() as stack:
            everybody = [stack.enter_context(listening(subscriber, reply_id)) for _ in range(50)]
            tell(publisher, reply_id, list(TEXT))
            assert {text_of(hear(subscription)) for subscription in everybody} == {TEXT}

    def test_who_leaves_does_not_take_the_others_along(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId
    ) -> None:
        with listening(subscriber, reply_id) as who_stays:
            with listening(subscriber, reply_id) as who_leaves:
                publisher.publish(reply_id, Chunk(Position(1, 3), "One"))
                hear(who_leaves, until=lambda _: True)
            publisher.publish(reply_id, Chunk(Position(1, 3), "", final=True))
            assert text_of(hear(who_stays)) == "One"
            assert who_leaves.next(within=0.05) is None
        with listening(subscriber, reply_id) as who_comes_back:
            tell(publisher, reply_id, ["Two"], generation=2)
            assert hear(who_comes_back)[-1].end == Position(2, 3)

    def test_runs_are_not_mixed(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId
    ) -> None:
        with listening(subscriber, reply_id) as subscription:
            tell(publisher, reply_id, ["Half a", " text"], generation=1, final=False)
            tell(publisher, reply_id, ["A whole", " text"], generation=2)
            heard = hear(subscription)
        assert eventually(lambda: subscriber.published(reply_id) == heard)
        for generation, text in ((1, "Half a text"), (2, "A whole text")):
            assert text_of([chunk for chunk in heard if chunk.end.generation == generation]) == text
        assert [chunk.end.generation for chunk in heard] == sorted(chunk.end.generation for chunk in heard)

    def test_nothing_is_joined_to_an_end(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId
    ) -> None:
        with listening(subscriber, reply_id) as subscription:
            publisher.publish(reply_id, Chunk(Position(1, 0), "", final=True))
            publisher.publish(reply_id, Chunk(Position(1, 4), "more"))
            heard = hear(subscription, until=lambda chunk: not chunk.final)
        assert heard == [Chunk(Position(1, 0), "", final=True), Chunk(Position(1, 4), "more")]

    def test_what_is_forgotten_is_kept_no_more_and_nothing_else_is(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber
    ) -> None:
        gone, also_gone, stays = (ReplyId(new_id()) for _ in range(3))
        for reply_id in (gone, also_gone, stays):
            tell(publisher, reply_id, [TEXT])
            all_of(subscriber, reply_id, TEXT)
        publisher.forget([gone, also_gone])
        assert subscriber.published(gone) == subscriber.published(also_gone) == []
        all_of(subscriber, stays, TEXT)

    def test_what_is_published_of_it_afterwards_is_heard_and_not_kept(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId
    ) -> None:
        publisher.publish(reply_id, Chunk(Position(1, 4), "Once"))
        publisher.forget([reply_id])  # while the beginning may still be on its way
        with listening(subscriber, reply_id) as subscription:
            tell(publisher, reply_id, ["Once", " upon"], generation=2)
            heard = hear(subscription)
        assert text_of([chunk for chunk in heard if chunk.end.generation == 2]) == "Once upon"
        assert subscriber.published(reply_id) == []

    @pytest.mark.parametrize("count", [0, 1, 2_500])
    def test_nothing_to_forget_is_no_matter(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, count: int
    ) -> None:
        nobodys = [ReplyId(new_id()) for _ in range(count)]
        for _ in range(2):
            publisher.forget(nobodys)
        assert all(subscriber.published(reply_id) == [] for reply_id in nobodys[-10:])

    def test_many_are_written_and_heard_at_once(self, publisher: ReplyPublisher, subscriber: ReplySubscriber) -> None:
        replies = {ReplyId(new_id()): f"{number}: {TEXT}" for number in range(16)}

        def write(reply_id: ReplyId) -> str:
            tell(publisher, reply_id, list(replies[reply_id]))
            return replies[reply_id]

        with ExitStack() as stack:
            subscription = {reply_id: stack.enter_context(listening(subscriber, reply_id)) for reply_id in replies}
            together([lambda reply_id=reply_id: write(reply_id) for reply_id in replies])  # type: ignore[misc]
            assert {reply_id: text_of(hear(subscription[reply_id])) for reply_id in replies} == replies
        for reply_id, text in replies.items():
            all_of(subscriber, reply_id, text)

    def test_who_listens_first_and_then_looks_back_misses_nothing(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId
    ) -> None:
        everybody_is_there = Event()
        length = 0

        def write() -> str:
            nonlocal length
            publisher.publish(reply_id, Chunk(Position(1, 0), ""))
            while not everybody_is_there.wait(0.001):
                length += 1
                publisher.publish(reply_id, Chunk(Position(1, length), str(length % 10)))
            publisher.publish(reply_id, Chunk(Position(1, length), "", final=True))
            return "".join(str(number % 10) for number in range(1, length + 1))

        def follow() -> str:
            with listening(subscriber, reply_id) as subscription:
                before = subscriber.published(reply_id)
                come.append(None)
                if len(come) == 20:
                    everybody_is_there.set()
                seen = before[-1].end if before else Position(1, 0)
                after = [chunk for chunk in hear(subscription) if chunk.end > seen or chunk.final]
            text = text_of(before)
            for chunk in after:
                assert chunk.begin.characters <= len(text), "a gap"
                text += chunk.text[len(text) - chunk.begin.characters :]
            return text

        come: list[None] = []
        with ThreadPoolExecutor(21) as threads:
            written = threads.submit(write)
            heard = []
            for _ in range(20):
                so_far = length
                heard.append(threads.submit(follow))
                assert eventually(lambda so_far=so_far: length > so_far or everybody_is_there.is_set())  # type: ignore[misc]
            text = written.result(PATIENCE)
            assert [one.result(PATIENCE) for one in heard] == [text] * 20


class TestMemoryReplyStream(ReplyStreamContract):
    @pytest.fixture
    def stream(self) -> MemoryReplyStream:
        return MemoryReplyStream()

    @pytest.fixture
    def publisher(self, stream: MemoryReplyStream) -> ReplyPublisher:
        return stream

    @pytest.fixture
    def subscriber(self, stream: MemoryReplyStream) -> ReplySubscriber:
        return stream


class TestRedisReplyStream(ReplyStreamContract):
    @pytest.fixture
    def redis(self, clean_redis: str) -> Iterator[Redis]:
        with connect(clean_redis) as redis:
            yield redis

    @pytest.fixture
    def publisher(self, clean_redis: str) -> Iterator[ReplyPublisher]:
        with connect(clean_redis) as redis:
            yield RedisReplyPublisher(redis)

    @pytest.fixture
    def subscriber(self, clean_redis: str) -> Iterator[ReplySubscriber]:
        with connect(clean_redis) as redis:
            yield RedisReplySubscriber(redis)
            assert eventually(lambda: listening_connections(redis) == 0)

    def test_pieces_are_joined_on_the_way(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId
    ) -> None:
        text = TEXT * 20
        tell(publisher, reply_id, list(text))
        assert len(all_of(subscriber, reply_id, text)) < len(text) / 2

    def test_it_is_kept_for_a_while_and_capped(
        self,
        publisher: ReplyPublisher,
        subscriber: ReplySubscriber,
        reply_id: ReplyId,
        redis: Redis,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(redis_reply_stream, "KEEP_CHUNKS", 10)
        for generation in range(1, 201):
            publisher.publish(reply_id, Chunk(Position(generation, 0), "", final=generation == 200))
        assert eventually(lambda: subscriber.published(reply_id)[-1:] == [Chunk(Position(200, 0), "", final=True)])
        generations = [chunk.end.generation for chunk in subscriber.published(reply_id)]
        assert generations == [*range(201 - len(generations), 201)]
        assert 10 <= len(generations) < 200  # Redis throws away whole blocks
        (key,) = redis.scan_iter("reply:*")
        assert 0 < redis.ttl(key) <= (STREAM_KEPT_FOR + EXPIRY_SET_EVERY).total_seconds()

    def test_its_expiry_is_set_once_a_minute_and_so_much_later(
        self,
        publisher: ReplyPublisher,
        subscriber: ReplySubscriber,
        reply_id: ReplyId,
        redis: Redis,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def publish(text: str) -> int:
            """The seconds that the stream is kept after it."""
            publisher.publish(reply_id, Chunk(Position(1, len(text)), text[-1]))
            assert eventually(lambda: text_of(subscriber.published(reply_id)) == text)
            (key,) = redis.scan_iter("reply:*")
            kept = int(redis.ttl(key))
            redis.expire(key, 100)
            return kept

        kept_for = STREAM_KEPT_FOR.total_seconds()
        assert kept_for < publish("a")
        assert publish("ab") <= 100
        monkeypatch.setattr(redis_reply_stream, "EXPIRY_SET_EVERY", timedelta(0))
        assert publish("abc") <= 100  # the minute is not over
        publisher.publish(reply_id, Chunk(Position(1, 3), "", final=True))
        assert eventually(lambda: subscriber.published(reply_id)[-1].final)
        assert publish("abcd") == kept_for  # of what has ended nothing is remembered

    def test_a_stream_that_redis_has_lost_in_between_expires_all_the_same(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId, redis: Redis
    ) -> None:
        publisher.publish(reply_id, Chunk(Position(1, 1), "a"))
        assert eventually(lambda: text_of(subscriber.published(reply_id)) == "a")
        redis.flushdb()
        publisher.publish(reply_id, Chunk(Position(1, 2), "b"))
        publisher.publish(reply_id, Chunk(Position(1, 2), "", final=True))
        assert eventually(lambda: any(chunk.final for chunk in subscriber.published(reply_id)))
        (key,) = redis.scan_iter("reply:*")
        assert redis.ttl(key) > 0

    def test_of_what_is_forgotten_no_text_is_left_and_soon_no_key(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId, redis: Redis
    ) -> None:
        tell(publisher, reply_id, [TEXT])
        all_of(subscriber, reply_id, TEXT)
        publisher.forget([reply_id])
        (key,) = redis.scan_iter("reply:*")
        assert redis.get(key) == b""
        assert 0 < redis.ttl(key) <= STREAM_KEPT_FOR.total_seconds()

    def test_a_worker_does_not_bring_back_what_another_process_has_forgotten(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId, clean_redis: str
    ) -> None:
        other = ReplyId(new_id())
        with connect(clean_redis) as redis, capture_logs() as logs:
            RedisReplyPublisher(redis).forget([reply_id])
            with listening(subscriber, reply_id) as subscription:
                tell(publisher, reply_id, [TEXT])
                tell(publisher, other, [TEXT])
                assert text_of(hear(subscription)) == TEXT
            all_of(subscriber, other, TEXT)
        assert subscriber.published(reply_id) == []
        assert logs == []

    def test_one_connection_feeds_all(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, redis: Redis
    ) -> None:
        replies = [ReplyId(new_id()) for _ in range(50)]
        with ExitStack() as stack:
            subscription = [stack.enter_context(listening(subscriber, reply_id)) for reply_id in replies * 4]
            assert len(channels(redis)) == 50
            assert listening_connections(redis) == 1
            for reply_id in replies:
                tell(publisher, reply_id, [str(reply_id)])
            heard = [text_of(hear(one)) for one in subscription]
            assert heard == [str(reply_id) for reply_id in replies * 4]
        assert eventually(lambda: listening_connections(redis) == 0)
        assert channels(redis) == []
        with listening(subscriber, replies[0]) as one:
            assert len(channels(redis)) == 1
            tell(publisher, replies[0], ["again"], generation=2)
            assert hear(one)[-1].end == Position(2, 5)

    def test_a_channel_without_listeners_is_unsubscribed(self, subscriber: ReplySubscriber, redis: Redis) -> None:
        one, other = ReplyId(new_id()), ReplyId(new_id())
        with listening(subscriber, one):
            with listening(subscriber, other), listening(subscriber, one):
                assert len(channels(redis)) == 2
            assert eventually(lambda: len(channels(redis)) == 1)
            assert str(one) in str(channels(redis))

    def test_the_second_to_a_reply_has_nothing_to_wait_for(
        self,
        publisher: ReplyPublisher,
        subscriber: ReplySubscriber,
        reply_id: ReplyId,
    ) -> None:
        def come_and_go() -> None:
            with subscriber.listen(reply_id) as subscription:
                assert subscription.confirmed

        with ThreadPoolExecutor(1) as thread:
            with listening(subscriber, reply_id) as subscription:
                thread.submit(come_and_go).result(PATIENCE)
                tell(publisher, reply_id, [TEXT])
                assert text_of(hear(subscription)) == TEXT
            # Nor has who comes after the last has gone, subscribed still or not.
            for _ in range(20):
                thread.submit(come_and_go).result(PATIENCE)

    def test_listeners_hear_again_after_the_connection_was_cut(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId, redis: Redis
    ) -> None:
        with listening(subscriber, reply_id) as subscription:
            for generation in (1, 2):
                publisher.publish(reply_id, Chunk(Position(generation, 0), ""))
                hear(subscription, until=lambda chunk, generation=generation: chunk.end.generation == generation)  # type: ignore[misc]
                assert redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub") == 1
                assert eventually(lambda: listening_connections(redis) == 1 and len(channels(redis)) == 1)
            tell(publisher, reply_id, [TEXT], generation=3)
            assert text_of([chunk for chunk in hear(subscription) if chunk.end.generation == 3]) == TEXT
        # What was said meanwhile is there to be looked up.
        assert {chunk.end.generation for chunk in subscriber.published(reply_id)} == {1, 2, 3}

    def test_a_feed_whose_connections_were_cut_goes_on(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId, redis: Redis
    ) -> None:
        for generation in range(1, 6):
            publisher.publish(reply_id, Chunk(Position(generation, 0), ""))
            redis.execute_command("CLIENT", "KILL", "TYPE", "normal")
        length = 0

        def say_more() -> bool:
            nonlocal length
            length += 1
            publisher.publish(reply_id, Chunk(Position(9, length), "x"))
            return any(chunk.end.generation == 9 for chunk in subscriber.published(reply_id))

        assert eventually(say_more)

    def test_when_redis_forgets_everything_listeners_go_on(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId, redis: Redis
    ) -> None:
        with listening(subscriber, reply_id) as subscription:
            publisher.publish(reply_id, Chunk(Position(1, 4), "Once"))
            heard = hear(subscription, until=lambda _: True)
            redis.flushdb()
            assert subscriber.published(reply_id) == []
            publisher.publish(reply_id, Chunk(Position(1, 9), " upon"))
            publisher.publish(reply_id, Chunk(Position(1, 9), "", final=True))
            assert text_of(heard + hear(subscription)) == "Once upon"

    @pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b"[1, 2]", b"7", b"\xff"])
    def test_what_is_no_piece_is_passed_over(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId, redis: Redis, rubbish: bytes
    ) -> None:
        with listening(subscriber, reply_id) as subscription:
            publisher.publish(reply_id, Chunk(Position(1, 4), "Once"))
            hear(subscription, until=lambda _: True)
            (key,) = redis.scan_iter("reply:*")
            redis.xadd(key, {"chunk": rubbish})
            redis.xadd(key, {"rubbish": rubbish})
            (channel,) = channels(redis)
            redis.publish(channel, rubbish)
            publisher.publish(reply_id, Chunk(Position(1, 4), "", final=True))
            hear(subscription)
        all_of(subscriber, reply_id, "Once")

    def test_a_key_of_another_kind_is_nothing(
        self, publisher: ReplyPublisher, subscriber: ReplySubscriber, reply_id: ReplyId, redis: Redis
    ) -> None:
        tell(publisher, reply_id, ["Once"])
        all_of(subscriber, reply_id, "Once")
        (key,) = redis.scan_iter("reply:*")
        redis.delete(key)
        redis.set(key, b"rubbish")
        assert subscriber.published(reply_id) == []
        with listening(subscriber, reply_id) as subscription:
            # It cannot be kept, and is said all the same.
            tell(publisher, reply_id, ["Twice"], generation=2)
            hear(subscription)


def test_what_is_built_before_a_fork_has_no_thread_to_lose(clean_redis: str, reply_id: ReplyId) -> None:
    with connect(clean_redis) as redis:
        before = set(threading.enumerate())
        publisher, subscriber = RedisReplyPublisher(redis), RedisReplySubscriber(redis)
        assert set(threading.enumerate()) <= before
        with listening(subscriber, reply_id) as subscription:
            tell(publisher, reply_id, [TEXT])
            assert text_of(hear(subscription)) == TEXT


@pytest.mark.parametrize("down", DOWN)
def test_without_redis_nothing_comes_and_nothing_is_raised(
    down: Callable[[], AbstractContextManager[str]], reply_id: ReplyId
) -> None:
    with down() as url, connect(url) as redis:
        publisher, subscriber = RedisReplyPublisher(redis), RedisReplySubscriber(redis)
        # Not ``listening``: no subscription ever takes effect here.
        with subscriber.listen(reply_id) as subscription, subscriber.listen(reply_id) as another:
            tell(publisher, reply_id, list(TEXT))
            publisher.forget([reply_id])
            assert subscriber.published(reply_id) == []
            assert subscription.next(within=0.05) is another.next(within=0) is None
        assert not subscriber._subscriptions


def test_listeners_of_a_redis_that_comes_later_hear_what_is_said_then(
    clean_redis: str, reply_id: ReplyId, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(clean_redis) as redis:
        redis.execute_command("CLIENT", "PAUSE", "1000")  # a black hole for a second
        publisher, subscriber = RedisReplyPublisher(redis), RedisReplySubscriber(redis)
        with listening(subscriber, reply_id) as subscription:
            publisher.publish(reply_id, Chunk(Position(1, 4), "Lost"))
            with connect(clean_redis) as other:
                assert eventually(lambda: _channels_or_none(other) == 1)
            tell(publisher, reply_id, [TEXT], generation=2)
            assert text_of([chunk for chunk in hear(subscription) if chunk.end.generation == 2]) == TEXT


def test_what_is_said_while_redis_is_silent_is_heard_afterwards(clean_redis: str, reply_id: ReplyId) -> None:
    with connect(clean_redis) as redis:
        publisher, subscriber = RedisReplyPublisher(redis), RedisReplySubscriber(redis)
        with listening(subscriber, reply_id) as subscription:
            redis.execute_command("CLIENT", "PAUSE", "1000")
            publisher.publish(reply_id, Chunk(Position(1, 4), "Said"))
            time.sleep(0.5)  # sent, and not answered in time
            publisher.publish(reply_id, Chunk(Position(1, 6), " s"))
            publisher.publish(reply_id, Chunk(Position(1, 6), "", final=True))
            assert text_of(hear(subscription)) == "Said s"
        assert text_of(subscriber.published(reply_id)) == "Said s"


def test_what_redis_refuses_is_not_sent_again(clean_redis: str, reply_id: ReplyId) -> None:
    with connect(clean_redis) as redis, capture_logs() as logs:
        publisher, subscriber = RedisReplyPublisher(redis), RedisReplySubscriber(redis)
        with listening(subscriber, reply_id) as subscription:
            redis.config_set("maxmemory", "1")
            try:
                publisher.publish(reply_id, Chunk(Position(1, 4), "Said"))
                assert eventually(lambda: any(line["event"] == "chunks_not_published" for line in logs))
            finally:
                redis.config_set("maxmemory", "0")
            publisher.publish(reply_id, Chunk(Position(1, 4), "", final=True))
            # To those who listen now it was said, once.
            assert text_of(hear(subscription)) == "Said"
        assert [chunk.text for chunk in subscriber.published(reply_id)] == [""]


def test_of_what_a_silent_redis_was_not_told_no_more_is_kept_than_fits(
    clean_redis: str, reply_id: ReplyId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_reply_stream, "MOST_UNSENT_CHARACTERS", 5)
    with connect(clean_redis) as redis, capture_logs() as logs:
        publisher, subscriber = RedisReplyPublisher(redis), RedisReplySubscriber(redis)
        redis.execute_command("CLIENT", "PAUSE", "1000")
        publisher.publish(reply_id, Chunk(Position(1, 6), "Too lo"))
        assert eventually(lambda: any(line["event"] == "chunks_not_published" for line in logs))
        assert subscriber.published(reply_id) == []


def channels(redis: Redis) -> list[bytes]:
    return cast("list[bytes]", redis.pubsub_channels("reply:*"))


def _channels_or_none(redis: Redis) -> int | None:
    try:
        return len(channels(redis))
    except RedisError:
        return None


def listening_connections(redis: Redis) -> int:
    clients = cast("list[dict[str, Any]]", redis.client_list(_type="pubsub"))
    return len(clients)
