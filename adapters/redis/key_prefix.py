"""One prefix before every key: several services share a Redis, and its user may be confined to the prefix.

It is put there where commands are encoded, so that no adapter and no part of RQ can forget it. A command of which this
module does not know where its keys stand is refused, and not sent.
"""

from collections.abc import Callable, Sequence
from typing import Any

from redis.connection import PythonRespSerializer

BUFFER_CUTOFF = 6000

Arguments = Sequence[Any]
# The positions of the keys among the arguments of a command, its name being the first.
Positions = Callable[[Arguments], range]


def _none(_arguments: Arguments) -> range:
    return range(0)


def _first(_arguments: Arguments) -> range:
    return range(1, 2)


def _two(_arguments: Arguments) -> range:
    return range(1, 3)


def _all(arguments: Arguments) -> range:
    return range(1, len(arguments))


def _all_but_last(arguments: Arguments) -> range:
    return range(1, len(arguments) - 1)


def _counted(arguments: Arguments) -> range:
    """EVALSHA digest number key … argument …"""
    return range(3, 3 + int(arguments[2]))


# What the adapters and RQ send (redis.io/docs/latest/commands). Channels are named with the prefix by who uses them:
# the server's messages name them again.
POSITIONS: dict[str, Positions] = {
    **dict.fromkeys(
        ("AUTH", "CLIENT", "CONFIG", "DISCARD", "ECHO", "EXEC", "HELLO", "INFO", "MULTI", "PING", "PUBLISH", "QUIT"),
        _none,
    ),
    **dict.fromkeys(("SCRIPT", "SELECT", "SUBSCRIBE", "TIME", "UNSUBSCRIBE", "UNWATCH"), _none),
    **dict.fromkeys(("DECR", "DECRBY", "EXPIRE", "EXPIREAT", "GET", "GETDEL", "INCR", "INCRBY", "PEXPIRE"), _first),
    **dict.fromkeys(("HDEL", "HEXISTS", "HGET", "HGETALL", "HINCRBY", "HMGET", "HMSET", "HSET", "HSETNX"), _first),
    **dict.fromkeys(("LINDEX", "LLEN", "LPOP", "LPOS", "LPUSH", "LRANGE", "LREM", "RPOP", "RPUSH"), _first),
    **dict.fromkeys(("PERSIST", "PTTL", "SET", "SETEX", "SETNX", "TTL", "TYPE"), _first),
    **dict.fromkeys(("SADD", "SCARD", "SISMEMBER", "SMEMBERS", "SREM"), _first),
    **dict.fromkeys(("XADD", "XDEL", "XLEN", "XRANGE", "XREVRANGE", "XTRIM"), _first),
    **dict.fromkeys(("ZADD", "ZCARD", "ZRANGE", "ZRANGEBYSCORE", "ZREM", "ZREMRANGEBYSCORE", "ZSCORE"), _first),
    **dict.fromkeys(("BLMOVE", "LMOVE", "RPOPLPUSH", "BRPOPLPUSH"), _two),
    **dict.fromkeys(("DEL", "EXISTS", "MGET", "TOUCH", "UNLINK", "WATCH"), _all),
    **dict.fromkeys(("BLPOP", "BRPOP"), _all_but_last),
    **dict.fromkeys(("EVAL", "EVALSHA"), _counted),
}


class PrefixingPacker:
    """Encodes commands for redis-py, which takes such an object as ``command_packer``."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._serializer = PythonRespSerializer(BUFFER_CUTOFF, _encoded)

    def pack(self, *arguments: Any) -> Any:
        # redis-py joins the words of a command: "SCRIPT LOAD".
        name = str(arguments[0]).partition(" ")[0].upper()
        if name not in POSITIONS:
            raise NotImplementedError(f"where the keys of {name} stand is not known to {__name__}")
        prefixed = list(arguments)
        for position in POSITIONS[name](arguments):
            prefixed[position] = self._prefixed(arguments[position])
        return self._serializer.pack(*prefixed)  # type: ignore[no-untyped-call]

    def _prefixed(self, key: Any) -> bytes:
        return self.prefix.encode() + bytes(_encoded(key))


def _encoded(value: Any) -> bytes | memoryview:
    if isinstance(value, bytes | memoryview):
        return value
    return (value if isinstance(value, str) else repr(value)).encode()
