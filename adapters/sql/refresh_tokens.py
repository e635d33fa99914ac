"""Refresh tokens in PostgreSQL."""

from datetime import datetime

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from application.ports.refresh_tokens import KeptRefreshToken, RefreshChains
from domain.accounts import LoginMethod, Session, SessionId

START = """
INSERT INTO refresh_tokens (digest, session_id, issued_at) VALUES (%(digest)s, %(session_id)s, %(at)s)
"""
# Locked, so that of two concurrent requests with the same token the second sees that it was used. The session first,
# as by those that delete sessions.
FIND = """
SELECT s.id, s.user_id, s.method, s.started_at, s.expires_at, s.device, r.used_at
FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id
WHERE r.digest = %(digest)s AND s.ended_at IS NULL AND s.expires_at > now()
FOR UPDATE OF s FOR UPDATE OF r
"""
FOLLOW = """
WITH used AS (
    UPDATE refresh_tokens SET used_at = %(at)s WHERE digest = %(digest)s RETURNING session_id
)
INSERT INTO refresh_tokens (digest, session_id, issued_at) SELECT %(successor)s, session_id, %(at)s FROM used
"""
IS_UNUSED = "SELECT 1 FROM refresh_tokens WHERE digest = %(digest)s AND used_at IS NULL"
PURGE_USED = """
DELETE FROM refresh_tokens WHERE digest = ANY (ARRAY(
    SELECT digest FROM refresh_tokens WHERE used_at < %(moment)s
    ORDER BY used_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""


class SqlRefreshChains(RefreshChains):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def start(self, session_id: SessionId, digest: bytes, *, at: datetime) -> None:
        self._cursor.execute(START, {"digest": digest, "session_id": session_id, "at": at})

    def find(self, digest: bytes) -> KeptRefreshToken | None:
        self._cursor.execute(FIND, {"digest": digest})
        row = self._cursor.fetchone()
        if row is None:
            return None
        session_id, user_id, method, started_at, expires_at, device, used_at = row
        session = Session(session_id, user_id, LoginMethod(method), started_at, expires_at, device)
        return KeptRefreshToken(session, used_at)

    def follow(self, digest: bytes, successor: bytes, *, at: datetime) -> None:
        self._cursor.execute(FOLLOW, {"digest": digest, "successor": successor, "at": at})

    def is_unused(self, digest: bytes) -> bool:
        self._cursor.execute(IS_UNUSED, {"digest": digest})
        return self._cursor.fetchone() is not None

    def purge_used_before(self, moment: datetime, *, limit: int) -> int:
        self._cursor.execute(PURGE_USED, {"moment": moment, "limit": limit})
        return self._cursor.rowcount
