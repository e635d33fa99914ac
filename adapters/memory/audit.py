"""The audit trail."""

from collections.abc import Sequence
from datetime import datetime

from adapters.memory.tables import MemoryDatabase
from adapters.memory.transaction import Repository, writes
from application.ports.audit import AuditEvent, AuditEventType, AuditReader, AuditTrail
from domain.accounts import UserId


class MemoryAuditTrail(Repository, AuditTrail):
    @writes
    def add(self, event: AuditEvent) -> None:
        self._tables.audit_events[event.id] = event

    def has_logged_in_from(self, user_id: UserId, address: str, *, since: datetime) -> bool:
        return any(
            (event.what, event.user_id, event.origin.address) == (AuditEventType.LOGGED_IN, user_id, address)
            and event.at >= since
            for event in self._tables.audit_events.values()
        )

    @writes
    def purge_before(self, moment: datetime, *, limit: int) -> int:
        old = [
            event_id
            for event_id in sorted(self._tables.audit_events)[:limit]
            if self._tables.audit_events[event_id].at < moment
        ]
        for event_id in old:
            del self._tables.audit_events[event_id]
        return len(old)


class MemoryAuditReader(AuditReader):
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def __call__(
        self, *, user_id: UserId | None, phone_digests: Sequence[str], what: AuditEventType | None, limit: int
    ) -> Sequence[AuditEvent]:
        events = [
            event
            for event in self._database.tables.audit_events.values()
            if (user_id is None or event.user_id == user_id)
            and (not phone_digests or event.phone_digest in phone_digests)
            and (what is None or event.what is what)
        ]
        return sorted(events, key=lambda event: event.id, reverse=True)[:limit]
