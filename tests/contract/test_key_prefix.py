"""Everything in Redis works below a prefix: these contracts run as a user whom Redis confines to it.

What touches another key or channel is refused by Redis itself (its ACL).
"""

import os
import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis

from adapters.redis.connection import connect, connect_for_rq
from adapters.redis.key_prefix import PrefixingPacker
from adapters.redis.otp_budget import RedisOtpBudget
from adapters.redis.otp_store import RedisOtpStore
from adapters.redis.probe import RedisProbe
from adapters.redis.rate_limiter import RedisRateLimiter
from adapters.redis.reply_stream import RedisReplyPublisher, RedisReplySubscriber
from adapters.redis.room_list_cache import RedisRoomListCache
from adapters.redis.rq_worker_notifier import RqWorkerNotifier, listen
from adapters.redis.worker_heartbeat import RedisWorkerHeartbeat
from application.ports.health import Fault
from application.ports.otp_budget import OtpBudget
from application.ports.otp_store import OtpStore
from application.ports.rate_limiter import RateLimiter
from application.ports.reply_stream import ReplyPublisher, ReplySubscriber
from application.ports.room_list_cache import RoomListCache
from domain.replies import ReplyId
from tests.concurrency import eventually
from tests.contract.test_otp_budget import SendsContract
from tests.contract.test_otp_store import OtpStoreContract, PassTime
from tests.contract.test_rate_limiter import RateLimiterContract
from tests.contract.test_reply_stream import ReplyStreamContract, listening_connections
from tests.contract.test_room_list_cache import KEEP, RoomListCacheContract
from tests.contract.world import new_id

PREFIX = "chat-2:"
CONFINED = "confined"


@pytest.fixture
def everything(clean_redis: str) -> Iterator[Redis]:
    """A client that sees all keys as they are."""
    with Redis.from_url(clean_redis) as redis:
        yield redis


@pytest.fixture(scope="module")
def user_of_the_prefix(redis_url: str) -> Iterator[str]:
    """The address, for a user that lives as long as threads that still hold a connection."""
    with Redis.from_url(redis_url) as admin:
        admin.acl_setuser(
            CONFINED,
            enabled=True,
            reset=True,
            passwords=["+hunter2"],
            keys=[f"{PREFIX}*"],
            channels=[f"{PREFIX}*"],
            categories=["+@all"],
        )
        scheme, _, rest = redis_url.partition("://")
        yield f"{scheme}://{CONFINED}:hunter2@{rest.rpartition('@')[2]}"
        admin.acl_deluser(CONFINED)


@pytest.fixture
def confined(clean_redis: str, user_of_the_prefix: str) -> str:
    """The same, on an empty database."""
    return user_of_the_prefix


@pytest.fixture
def redis(confined: str) -> Iterator[Redis]:
    with connect(confined, prefix=PREFIX) as redis:
        yield redis


def older(everything: Redis) -> PassTime:
    def shorten_every_life(by: timedelta) -> None:
        for key in list(everything.scan_iter(f"{PREFIX}*")):
            everything.pexpire(key, int(everything.pttl(key)) - int(by.total_seconds() * 1000))

    return shorten_every_life


class TestCodes(OtpStoreContract):
    @pytest.fixture
    def pass_time(self, everything: Redis) -> PassTime:
        return older(everything)

    @pytest.fixture
    def store(self, redis: Redis) -> OtpStore:
        return RedisOtpStore(redis, key=b"k" * 32)


class TestSends(SendsContract):
    @pytest.fixture
    def redis(self, confined: str) -> Iterator[Redis]:
        with connect(confined, prefix=PREFIX) as redis:
            yield redis

    @pytest.fixture
    def store(self, redis: Redis) -> OtpStore:
        return RedisOtpStore(redis, key=b"k" * 32)

    @pytest.fixture
    def pass_time(self, everything: Redis) -> PassTime:
        return older(everything)

    @pytest.fixture
    def sends(self, redis: Redis) -> OtpBudget:
        return RedisOtpBudget(redis, key=b"k" * 32)


class TestLimits(RateLimiterContract):
    @pytest.fixture
    def limiter(self, redis: Redis) -> RateLimiter:
        return RedisRateLimiter(redis, key=b"k" * 32)


class TestCache(RoomListCacheContract):
    @pytest.fixture
    def cache(self, redis: Redis) -> RoomListCache:
        return RedisRoomListCache(redis, keep=KEEP)


class TestStreams(ReplyStreamContract):
    @pytest.fixture
    def reply_id(self) -> ReplyId:
        return ReplyId(new_id())

    @pytest.fixture
    def publisher(self, confined: str) -> Iterator[ReplyPublisher]:
        with connect(confined, prefix=PREFIX) as redis:
            yield RedisReplyPublisher(redis)

    @pytest.fixture
    def subscriber(self, confined: str, everything: Redis) -> Iterator[ReplySubscriber]:
        with connect(confined, prefix=PREFIX) as redis:
            yield RedisReplySubscriber(redis)
            assert eventually(lambda: listening_connections(everything) == 0)


def test_workers_are_notified_through_it(redis: Redis, confined: str, everything: Redis) -> None:
    heard = []

    def answer_due() -> None:
        heard.append("due")
        os.kill(os.getpid(), signal.SIGTERM)

    RqWorkerNotifier(redis).notify()
    assert everything.exists(f"{PREFIX}rq:queue:replies")
    assert listen(connect_for_rq(confined, prefix=PREFIX), answer_due=answer_due)
    assert heard == ["due"]
    assert not everything.exists(f"{PREFIX}rq:queue:replies")


def test_two_deployments_do_not_see_each_others_workers(redis: Redis, clean_redis: str) -> None:
    RedisWorkerHeartbeat(redis, model_fault=lambda: Fault.BREAKER_OPEN).announce()
    assert len(RedisProbe(redis)()) == 1
    with connect(clean_redis, prefix="chat-1:") as other:
        assert len(RedisProbe(other)()) == 1
        RedisWorkerHeartbeat(other, model_fault=lambda: None).announce()
        assert RedisProbe(other)() == {}
    assert len(RedisProbe(redis)()) == 1


def test_a_command_whose_keys_are_not_known_is_not_sent(redis: Redis) -> None:
    with pytest.raises(NotImplementedError, match="SCAN"):
        redis.scan()


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (("GET", "a"), b"chat-2:a"),
        (("GET", b"a\xff"), b"chat-2:a\xff"),
        (("HSET", "a", "a", "a"), b"chat-2:a"),
        (("BLPOP", "a", 1), b"chat-2:a"),
        (("EVALSHA", "digest", 1, "a", "a"), b"chat-2:a"),
    ],
)
def test_the_key_has_it_and_nothing_else(command: tuple[str | bytes | int, ...], sent: bytes) -> None:
    encoded = b"".join(PrefixingPacker(PREFIX).pack(*command))
    assert encoded.count(PREFIX.encode()) == 1
    assert sent in encoded
