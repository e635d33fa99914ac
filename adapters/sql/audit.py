"""The audit trail in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql.database import Database
from application.ports.audit import AuditEvent, AuditEventType, AuditReader, AuditTrail
from domain.accounts import Origin, UserId

ADD = """
INSERT INTO audit_events (id, at, what, user_id, session_id, phone_digest, address, device, note)
VALUES (%(id)s, %(at)s, %(what)s, %(user_id)s, %(session_id)s, %(phone_digest)s, %(address)s, %(device)s, %(note)s)
"""
# The oldest events have the smallest ids (UUIDv7), so no index on the time is needed.
PURGE_BEFORE = """
DELETE FROM audit_events WHERE id = ANY (ARRAY(
    SELECT id FROM audit_events
    WHERE id = ANY (ARRAY(SELECT id FROM audit_events ORDER BY id LIMIT %(limit)s)) AND at < %(before)s
    FOR UPDATE SKIP LOCKED))
"""
NEWEST = """
SELECT id, at, what, user_id, session_id, phone_digest, address, device, note FROM audit_events
WHERE (%(user_id)s::uuid IS NULL OR user_id = %(user_id)s)
  AND (%(phone_digests)s::text[] IS NULL OR phone_digest = ANY (%(phone_digests)s::text[]))
  AND (%(what)s::text IS NULL OR what = %(what)s)
ORDER BY id DESC LIMIT %(limit)s
"""


HAS_LOGGED_IN_FROM = """
SELECT EXISTS (SELECT 1 FROM audit_events WHERE user_id = %(user_id)s AND what = 'logged_in' AND address = %(address)s
               AND at >= %(since)s)
"""


class SqlAuditTrail(AuditTrail):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def add(self, event: AuditEvent) -> None:
        self._cursor.execute(
            ADD,
            {
                "id": event.id,
                "at": event.at,
                "what": event.what.value,
                "user_id": event.user_id,
                "session_id": event.session_id,
                "phone_digest": event.phone_digest,
                "address": event.origin.address,
                "device": event.origin.device,
                "note": event.note,
            },
        )

    def has_logged_in_from(self, user_id: UserId, address: str, *, since: datetime) -> bool:
        self._cursor.execute(HAS_LOGGED_IN_FROM, {"user_id": user_id, "address": address, "since": since})
        row = self._cursor.fetchone()
        return bool(row and row[0])

    def purge_before(self, moment: datetime, *, limit: int) -> int:
        self._cursor.execute(PURGE_BEFORE, {"before": moment, "limit": limit})
        return self._cursor.rowcount


class SqlAuditReader(AuditReader):
    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(
        self, *, user_id: UserId | None, phone_digests: Sequence[str], what: AuditEventType | None, limit: int
    ) -> Sequence[AuditEvent]:
        values = {
            "user_id": user_id,
            "phone_digests": list(phone_digests) or None,
            "what": what.value if what else None,
            "limit": limit,
        }
        return [_event(row) for row in self._database.rows(NEWEST, values)]


def _event(row: tuple[Any, ...]) -> AuditEvent:
    event_id, at, what, user_id, session_id, phone_digest, address, device, note = row
    origin = Origin(address, device)
    return AuditEvent(event_id, at, AuditEventType(what), user_id, session_id, phone_digest, origin, note)
