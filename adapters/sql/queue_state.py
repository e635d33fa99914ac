"""The state of the queue, read on a connection of its own: a reader makes no request wait for the pool."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any
from uuid import UUID

import psycopg2

from adapters.sql.database import BoundedCursor, connector
from adapters.sql.replies import BY_ROOM
from application.ports.queue_state import Ended, QueueState, ReadQueue
from domain.errors import DependencyDown
from domain.replies import FailureReason, ReplyState

# One look at each unfinished reply, without a nested loop, however wrong the planner's estimates are.
STATE = f"""
WITH unfinished AS MATERIALIZED (
    SELECT chatroom_id, sequence, user_id, state, lease_until, COALESCE(lease_until, available_at) AS due_at
    FROM replies WHERE {BY_ROOM} ORDER BY chatroom_id, sequence
), busy AS MATERIALIZED (
    SELECT user_id FROM unfinished WHERE state = 'running' AND lease_until > now()
    GROUP BY user_id HAVING count(*) >= %(user_concurrency)s
), heads AS MATERIALIZED (
    SELECT DISTINCT ON (chatroom_id) user_id, due_at FROM unfinished ORDER BY chatroom_id, sequence
)
SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'running'),
       (SELECT EXTRACT(EPOCH FROM now() - min(due_at))::float8 FROM heads
        WHERE due_at <= now() AND user_id NOT IN (SELECT user_id FROM busy)),
       (SELECT count(*) FROM payment_events WHERE state = 'pending'),
       (SELECT EXTRACT(EPOCH FROM now() - min(received_at))::float8 FROM payment_events WHERE state = 'pending')
FROM unfinished
"""  # noqa: S608 - a condition, no values
# Through the primary key: ids (UUIDv7) begin with the time they were made at, and no index has the time of the end.
ENDED = """
SELECT state, failure, count(*) FROM replies
WHERE id >= %(oldest)s AND finished_at > now() - %(within)s AND state IN ('done', 'failed', 'cancelled')
GROUP BY state, failure ORDER BY state, failure
"""
SESSION_SETTINGS = {"statement_timeout": "2000", "lock_timeout": "500"}
# Settings of a database or a role hold for new sessions only, and a proxy may cut what rests.
KEEP_CONNECTION_SECONDS = 60.0
LOCK_SECONDS = 3.0


class QueueCursor(BoundedCursor):
    seconds = 2.5


def first_id_of(moment: datetime) -> UUID:
    """The smallest UUIDv7 that could be made at that moment."""
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)


class SqlQueueState(ReadQueue):
    """One caller at a time. ``lifetime``: among the ended replies those accepted earlier are not looked for."""

    def __init__(
        self, database_url: str, *, user_concurrency: int, lifetime: timedelta, sessions_are_shared: bool = False
    ) -> None:
        self._connect = connector(
            database_url,
            application_name="queue state",
            connect_timeout=2,
            session_settings=SESSION_SETTINGS,
            sessions_are_shared=sessions_are_shared,
        )
        self._user_concurrency = user_concurrency
        self._lifetime = lifetime
        self._lock = Lock()
        self._connection: Any = None
        self._connected_at = 0.0

    def __call__(self) -> QueueState:
        [row] = self._rows(STATE, {"user_concurrency": self._user_concurrency})
        return QueueState(*row)

    def ended(self, within: timedelta) -> list[Ended]:
        oldest = datetime.now(UTC) - self._lifetime - within
        values = {"oldest": first_id_of(oldest), "within": within}
        return [
            Ended(ReplyState(state), FailureReason(failure) if failure else None, count)
            for state, failure, count in self._rows(ENDED, values)
        ]

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _rows(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        if not self._lock.acquire(timeout=LOCK_SECONDS):
            raise DependencyDown("database")
        try:
            if time.monotonic() - self._connected_at > KEEP_CONNECTION_SECONDS:
                self.close()
            if self._connection is None:
                self._connection = self._connect()
                self._connected_at = time.monotonic()
            with self._connection.cursor(cursor_factory=QueueCursor) as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        except psycopg2.Error:
            self.close()
            raise DependencyDown("database") from None
        finally:
            self._lock.release()
