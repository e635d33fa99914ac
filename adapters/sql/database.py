"""Connections: a pool of them, psycopg2's cursors.

Statements are written as SQL and run on the driver's cursor: SQLAlchemy's Connection costs 80 microseconds of CPU a
statement more, which is most of what a hot request may cost (docs/decisions/0002).

Every wait has an end on our side, too: a server that was stopped, or a network that drops packets, never sends the
error that ``statement_timeout`` promises (docs/decisions/0016).
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import psycopg2
import psycopg2.extras
from psycopg2.errors import DuplicatePreparedStatement, FeatureNotSupported, InvalidSqlStatementName
from psycopg2.extensions import POLL_OK, POLL_WRITE
from psycopg2.extensions import connection as BaseConnection  # noqa: N812 - classes with small names
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.outage import Outage
from adapters.sql.pool import Pool, PoolIsFull
from adapters.waiting import POLLING, Waiter
from application.operations.startup import CannotStart
from domain.errors import DependencyDown

# The server ends a statement after five seconds. One that has said nothing for seven is not there any more.
STATEMENT_DEADLINE_SECONDS = 7.0
# To SELECT 1, before a connection that rested is used.
PING_DEADLINE_SECONDS = 1.0

psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]

# A statement was planned for tables that have changed since, or what was planned is gone: a new connection plans anew.
PLAN_IS_STALE = (FeatureNotSupported, InvalidSqlStatementName, DuplicatePreparedStatement)
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
URL = re.compile(r"[\w+]+://(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?(?P<rest>.*)")
NOT_READABLE = (
    "The URL of the database cannot be read. It is postgresql://user:password@host:port/database?parameter=value with "
    "parameters that libpq knows; an @ in the password is written %40."
)
LONE_PERCENT = re.compile(r"%(?!\(\w+\)s)")


class ServerIsSilent(psycopg2.OperationalError):
    """The server has said nothing for longer than it may take. The connection is closed."""


class Connection(BaseConnection):
    """An asynchronous connection of psycopg2 that waits by a waiter, and never without an end.

    It remembers which statements are PREPAREd on it. ``preamble``: what stands before the first statement of each
    transaction where a pooler may give each of them another session; empty where the connection has one of its own.
    """

    preamble = ""
    waiter: Waiter = POLLING

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cursor_factory = BoundedCursor
        self.prepared: set[str] = set()
        self.made_at = self.rested_since = time.monotonic()

    def finish(self, *, within: float) -> None:
        """Wait until what was begun is done. Raises the driver's errors, ServerIsSilent after ``within`` seconds."""
        until = time.monotonic() + within
        while (state := self.poll()) != POLL_OK:
            if not self._can_go_on(writing=state == POLL_WRITE, seconds=until - time.monotonic()):
                raise ServerIsSilent

    def _can_go_on(self, *, writing: bool, seconds: float) -> bool:
        ready = False
        try:
            ready = self.waiter.wait_for(self.fileno(), writing=writing, seconds=seconds)
        finally:
            if not ready:  # the answer may still come, and would be taken for that to the next statement
                self.close()
        return ready


class BoundedCursor(Cursor):
    """A cursor whose statements end, at the latest, when their deadline has passed."""

    seconds = STATEMENT_DEADLINE_SECONDS
    begun = False

    def execute(self, query: Any, vars: Any = None) -> None:
        connection: Any = self.connection
        if connection.preamble and not self.begun:
            # One message, which PostgreSQL takes as one transaction.
            query = f"{connection.preamble}{query}"
        super().execute(query, vars)
        connection.finish(within=self.seconds)


class PingCursor(BoundedCursor):
    """A cursor for the question whether a connection still lives."""

    seconds = PING_DEADLINE_SECONDS


class PreparedStatement:
    """A statement that each connection plans once: for those of which there are many a second.

    Planning takes PostgreSQL longer than doing what the statement says.
    """

    def __init__(self, name: str, sql: str, *, first: str = "") -> None:
        """``sql`` with psycopg2's named placeholders; a percent sign in it is written once.

        ``first``: a statement without values that goes before it in one message, which PostgreSQL takes as one
        transaction.
        """
        self.name = name
        first = f"{first};" if first else ""
        names = list(dict.fromkeys(PLACEHOLDER.findall(sql)))
        numbered = PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", sql)
        self._prepare = f"PREPARE {name} AS {numbered}"
        self._execute = f"{first}EXECUTE {name} ({', '.join(f'%({one})s' for one in names)})"
        self._unprepared = LONE_PERCENT.sub("%%", first + sql)

    def execute(self, cursor: Cursor, values: Mapping[str, Any]) -> None:
        """Run it on a cursor of a ``Connection``."""
        connection: Any = cursor.connection
        if connection.preamble:  # the next transaction may have a session where it is not prepared
            cursor.execute(self._unprepared, values)
            return
        if self.name not in connection.prepared:
            cursor.execute(self._prepare)
            connection.prepared.add(self.name)
        cursor.execute(self._execute, values)


class Transaction(BoundedCursor):
    """A cursor whose first statement takes BEGIN with it, which then costs no round trip."""

    def execute(self, query: Any, vars: Any = None) -> None:
        """Run a statement inside the transaction."""
        if not self.begun:
            connection: Any = self.connection
            self.begun = True
            query = f"BEGIN;{connection.preamble}{query}"
        super().execute(query, vars)

    def commit(self) -> None:
        """Make it all true."""
        self._end("COMMIT")

    def rollback(self) -> None:
        """Forget it all; nothing to do after a commit."""
        self._end("ROLLBACK")

    def _end(self, how: str) -> None:
        if self.begun:
            super().execute(how)
            self.begun = False


class AutocommitCursor(BoundedCursor):
    """A cursor for one statement that is a transaction of its own: committed as soon as it succeeds."""

    written = False

    def execute(self, query: Any, vars: Any = None) -> None:
        """Run a statement. RuntimeError for a second one that writes: they would not be all or nothing."""
        if ";" in query or not query.lstrip().startswith(("SELECT", "PREPARE")):
            if self.written:
                raise RuntimeError("a second statement that writes in one step")
            self.written = True
        super().execute(query, vars)

    def commit(self) -> None:
        """Nothing is left to do."""


def connection_arguments(database_url: str) -> dict[str, Any]:
    """What the driver needs of the URL. libpq reads all but user and password: it takes no password with a stroke or an
    unescaped percent sign, and no user with an @. Raises CannotStart for one that is none.
    """
    found = URL.fullmatch(database_url)
    if found is None:
        raise CannotStart(NOT_READABLE)
    try:
        arguments: dict[str, Any] = psycopg2.extensions.parse_dsn(f"postgresql://{found['rest']}")
    except psycopg2.ProgrammingError:  # quotes what it does not understand: a password that holds an @, for one
        raise CannotStart(NOT_READABLE) from None
    given = {"user": found["user"], "password": found["password"]}
    return arguments | {name: unquote(text) for name, text in given.items() if text}


ISOLATION = "default_transaction_isolation"
# What the service relies on, whatever the server's or the role's defaults are.
SESSION_SETTINGS = {
    "statement_timeout": "5000",
    "lock_timeout": "3000",
    "idle_in_transaction_session_timeout": "10000",
    ISOLATION: "read\\ committed",
    "timezone": "UTC",
}
# PostgreSQL compares what a plan for the values at hand will cost with what one for any values does, and hardly counts
# the planning: a statement that counts much now and then was planned each time, which took twice as long as its work.
OF_PREPARED_STATEMENTS = {"plan_cache_mode": "force_generic_plan"}
# PostgreSQL quotes statements that fail in its own log, prompts and phone numbers among their values. Roles that may
# turn that off do so for their sessions: superusers, and those with GRANT SET ON PARAMETER (PostgreSQL 15).
QUOTE_NO_STATEMENTS = """
SELECT set_config(name, value, false)
FROM (VALUES ('log_min_error_statement', 'panic'), ('log_error_verbosity', 'terse')) AS wanted (name, value)
WHERE has_parameter_privilege(name, 'SET')
"""


def connector(
    database_url: str,
    *,
    application_name: str,
    connect_timeout: int = 3,
    session_settings: Mapping[str, str] = MappingProxyType({}),
    sessions_are_shared: bool = False,
    waiter: Waiter = POLLING,
) -> Callable[[], Any]:
    """Makes a ``Connection`` whose every wait is bounded. ``session_settings``: in place of those of SESSION_SETTINGS.

    ``connect_timeout``: seconds, of each host. ``sessions_are_shared``: a pooler gives each transaction another
    session, so that nothing is left in one, and settings go with each transaction.
    """
    settings = {**SESSION_SETTINGS, **session_settings}
    arguments = connection_arguments(database_url) | {
        "application_name": application_name,
        "client_encoding": "UTF8",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 10000,
    }
    if not sessions_are_shared:
        in_effect = settings | OF_PREPARED_STATEMENTS
        arguments["options"] = " ".join(f"-c {name}={value}" for name, value in in_effect.items())

    def connect() -> Any:  # a BaseConnection, whose stubs are not the ones that the pool asks for
        connection = _first_that_answers(arguments, within=connect_timeout)
        if sessions_are_shared:
            connection.preamble = _preamble(settings)
        else:
            with connection.cursor() as cursor:
                cursor.execute(QUOTE_NO_STATEMENTS)
        connection.waiter = waiter
        return connection

    # Looking up a name, and TLS, wait by themselves.
    return lambda: waiter.run(connect)


def _first_that_answers(arguments: Mapping[str, Any], *, within: float) -> Any:
    """A connection to the first host of the URL that is there and fits. Raises what was wrong with the last one.

    ``within``: seconds for each host; libpq does not bound them where a connection is asynchronous.
    """
    *others, last = _each_host(arguments)
    for one in others:
        with suppress(psycopg2.OperationalError):
            return _connected(one, within=within)
    return _connected(last, within=within)


def _connected(arguments: Mapping[str, Any], *, within: float) -> Any:
    connection = psycopg2.connect(**arguments, connection_factory=Connection, async_=True)
    connection.finish(within=within)
    return connection


def _each_host(arguments: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The arguments for each host alone, in libpq's order (libpq: Specifying Multiple Hosts)."""
    lists = {name: str(arguments[name]).split(",") for name in ("host", "hostaddr", "port") if arguments.get(name)}
    count = max(map(len, lists.values()), default=1)
    if any(len(values) not in {1, count} for values in lists.values()):
        return [arguments]  # for libpq to refuse
    return [
        {**arguments, **{name: values[number % len(values)] for name, values in lists.items()}}
        for number in range(count)
    ]


def _preamble(settings: Mapping[str, str]) -> str:
    """The isolation is left out: it cannot be set for a transaction that has begun."""
    return "".join(f"SET LOCAL {name} = '{value}';" for name, value in settings.items() if name != ISOLATION)


def make_pool(
    database_url: str,
    *,
    size: int,
    application_name: str,
    sessions_are_shared: bool = False,
    waiter: Waiter = POLLING,
) -> "Pool[Connection]":
    """A pool whose waits are all bounded: connect 3 s, a place in the pool 2 s, a statement 5 s, a lock 3 s."""
    connect = connector(
        database_url, application_name=application_name, sessions_are_shared=sessions_are_shared, waiter=waiter
    )
    return Pool(connect, _still_lives, size=size, run=waiter.run)


def _still_lives(connection: Connection) -> bool:
    try:
        with connection.cursor(cursor_factory=PingCursor) as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error:
        return False
    return True


class StatementFailed(Exception):
    """PostgreSQL refused a statement that should have been right.

    Says how, and no more: the driver's own text quotes the statement with its values, phone numbers and prompts among
    them, and would carry them into the log.
    """

    def __init__(self, error: psycopg2.Error) -> None:
        """Keep what names no value."""
        super().__init__(f"{type(error).__name__} {error.pgcode} {error.diag.constraint_name or ''}".rstrip())


# The server answers and refuses to do what it should be able to do: it was demoted to a replica or set read-only
# (25006), it is short of memory, disk or connections (class 53), it is starting or stopping (57P01-57P03), the role
# lacks a grant (42501), or the schema is another one than this code's (42P01, 42703).
REFUSALS = frozenset({"25006", "42501", "42P01", "42703"})


class Database:
    """Hands out cursors. Whatever shows that the server cannot work now becomes DependencyDown("database")."""

    def __init__(self, pool: Pool[Connection]) -> None:
        self.pool = pool
        self.outage = Outage("database", enough=1)

    def rows(self, statement: PreparedStatement | str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement that only reads."""
        with Lent(self) as connection:
            cursor = connection.cursor()
            if isinstance(statement, PreparedStatement):
                statement.execute(cursor, values)
            else:
                cursor.execute(statement, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    @contextmanager
    def read(self) -> Iterator[Cursor]:
        """A cursor on which each statement stands alone (autocommit): for reads, without a round trip for BEGIN."""
        with Lent(self) as connection, connection.cursor() as cursor:
            yield cursor

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A cursor in a transaction. Not committed means rolled back."""
        with Lent(self) as connection, connection.cursor(cursor_factory=Transaction) as transaction:
            try:
                yield transaction
            finally:
                transaction.rollback()

    @contextmanager
    def autocommit(self) -> Iterator[AutocommitCursor]:
        """A cursor for a single statement that writes."""
        with Lent(self) as connection, connection.cursor(cursor_factory=AutocommitCursor) as cursor:
            yield cursor

    def connections(self) -> tuple[int, int]:
        """How many connections are given out, and how many there may be."""
        return self.pool.in_use, self.pool.size

    def close(self) -> None:
        """Close what rests in the pool."""
        self.pool.close()

    def take(self) -> Connection:
        if not self.outage.may_try():
            raise DependencyDown("database")
        try:
            return self.pool.take()
        except psycopg2.Error as error:
            self.outage.unreachable(error, code=error.pgcode, silent=isinstance(error, ServerIsSilent))
            raise DependencyDown("database") from None
        except PoolIsFull as error:
            self.outage.refused(error)
            raise DependencyDown("database") from None

    def give_back(self, connection: Connection) -> None:
        self.outage.answered()
        self.pool.give_back(connection)

    def failed(self, connection: Connection, error: psycopg2.Error) -> Exception:
        """Take the connection back after an error. Returns what callers are told."""
        # A statement that was cancelled or lost a deadlock leaves a connection that is as good as before.
        broken = bool(connection.closed)
        if broken:
            self.outage.unreachable(error, code=error.pgcode, silent=isinstance(error, ServerIsSilent))
        refused = error.pgcode in REFUSALS
        unavailable = refused or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
        if unavailable and not broken:  # a statement that took too long among them, or waited too long for a lock
            self.outage.refused(error, code=error.pgcode)
        # A read-only session may be one with a server that is a replica now: the next connection finds the new primary.
        if broken or refused or isinstance(error, PLAN_IS_STALE):
            self.pool.discard(connection, broken=broken)
        else:
            self.pool.give_back(connection)
        if unavailable:
            return DependencyDown("database")
        return StatementFailed(error)


class Lent:
    """A connection of a database for a while; the driver's errors leave as what callers know."""

    __slots__ = ("_connection", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Any:
        self._connection = self._database.take()
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, psycopg2.Error):
            raise self._database.failed(self._connection, error) from None
        if error is None:
            self._database.give_back(self._connection)
        else:
            self._database.pool.give_back(self._connection)
