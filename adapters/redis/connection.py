"""How this service talks to Redis: briefly, or not at all."""

import time
from functools import partial
from queue import Empty
from typing import Any

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from adapters.outage import Outage
from adapters.redis.key_prefix import PrefixingPacker
from adapters.waiting import POLLING, Waiter

TIMEOUT_SECONDS = 0.25
MAX_CONNECTIONS = 64
# One time-out alone may be a pause of this process; so many in a row are a server that is silent.
ENOUGH_TIMEOUTS = 3
# A connection that rested longer is asked whether it still lives before it is used.
DOUBT_AFTER_SECONDS = 1.0


class _Pool(BlockingConnectionPool):
    """Connections of a process that all know of an outage: while Redis is silent, none is given out.

    redis-py reads from each connection before it gives it out, to see whether it still lives: two system calls and an
    exception. Here only those in doubt are looked at, which have rested, or rested while another one failed.
    """

    outage: Outage
    waiter: Waiter
    failed_at = 0.0

    def get_connection(self, *args: Any, **options: Any) -> Any:
        if not self.outage.may_try():
            raise RedisConnectionError("silent a moment ago")
        try:
            connection = self.pool.get_nowait()
        except Empty:
            connection = self.waiter.run(self._given_back)
        if connection is not None and self._is_beyond_doubt(connection):
            return connection
        self.pool.put_nowait(connection)
        return super().get_connection(*args, **options)  # type: ignore[no-untyped-call]

    def _given_back(self) -> Any:
        try:
            return self.pool.get(timeout=self.timeout)
        except Empty:
            raise RedisConnectionError("all connections are in use") from None

    def release(self, connection: Any) -> None:
        connection.rested_since = time.monotonic()
        self.pool.put_nowait(connection)

    def _is_beyond_doubt(self, connection: Any) -> bool:
        # One that was disconnected would connect by itself when it is used, and what comes of that would not be noted.
        if not connection.is_connected:
            return False
        since: float = connection.rested_since
        return since > self.failed_at and time.monotonic() - since < DOUBT_AFTER_SECONDS


class _Client(Redis):
    """Sends a command once, and measures nothing: redis-py's own way costs twice as much."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        pool: Any = self.connection_pool
        connection = pool.get_connection()
        try:
            connection.send_command(*args, **options)
            return self.parse_response(connection, args[0], **options)  # type: ignore[no-untyped-call]
        except ResponseError:
            raise  # the answer was read to its end
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)


def connect(redis_url: str, *, prefix: str = "", waiter: Waiter = POLLING) -> Redis:
    """A client that gives up after a quarter of a second and does not send a command twice.

    redis-py's own default is ten attempts, and it would send a whole MULTI/EXEC again. ``prefix``: of every key.
    """
    pool = _Pool.from_url(
        redis_url,
        # More than ever work at once; a caller that finds none waits rather than being refused.
        max_connections=MAX_CONNECTIONS,
        timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        # redis-py would tell its name and version with two commands on each new connection.
        driver_info=None,
        **_packing(prefix),
    )
    pool.outage = Outage("redis", enough=ENOUGH_TIMEOUTS)
    pool.waiter = waiter
    pool.connection_class = _observed(pool.connection_class, pool)
    return _Client(connection_pool=pool)


def outage_of(redis: Redis) -> Outage:
    """What a client that ``connect`` made knows of its server."""
    pool: Any = redis.connection_pool
    outage: Outage = pool.outage
    return outage


def prefix_of(redis: Redis) -> str:
    """What every key has before it, and every channel must be given."""
    packer = redis.connection_pool.connection_kwargs.get("command_packer")
    return packer.prefix if isinstance(packer, PrefixingPacker) else ""


def _packing(prefix: str) -> dict[str, Any]:
    return {"command_packer": PrefixingPacker(prefix)} if prefix else {}


def _observed(connection_class: type[Any], pool: _Pool) -> type[Any]:
    """The class of connections (TCP, TLS or Unix socket), which tells the pool what came of each attempt."""
    outage, waiter = pool.outage, pool.waiter

    class Observed(connection_class):  # type: ignore[misc]  # which of three classes, the URL decides
        def connect(self) -> None:
            try:
                waiter.run(super().connect)
            except (RedisConnectionError, RedisTimeoutError) as error:
                _note(outage, error)
                raise

        def disconnect(self, *args: Any, **options: Any) -> None:
            # Done after whatever goes wrong with a connection; the others may have lost the server as well.
            pool.failed_at = time.monotonic()
            super().disconnect(*args, **options)

        def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                read = partial(super().read_response, *args, **options)
                response = waiter.run(read)
            except (RedisConnectionError, RedisTimeoutError) as error:
                # With a time-out of its own the caller waits for what may never be said: a message on a channel.
                if "timeout" not in options:
                    _note(outage, error)
                raise
            except (ReadOnlyError, OutOfMemoryError) as error:
                outage.refused(error)
                raise
            outage.answered()
            return response

    return Observed


def _note(outage: Outage, error: Exception) -> None:
    code = getattr(error.__context__, "errno", None)
    outage.unreachable(error, code=code, silent=isinstance(error, RedisTimeoutError))


def connect_for_rq(redis_url: str, *, prefix: str = "") -> Redis:
    """A client for RQ's worker, which raises its timeouts itself to wait for jobs."""
    return Redis.from_url(redis_url, socket_connect_timeout=1.0, **_packing(prefix))
