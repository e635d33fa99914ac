"""Erasing a user."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC

from adapters.memory.removal import Contents, delete_newest, delete_unfinished, detach
from adapters.memory.tables import ErasedCustomerRow, delete_where
from adapters.memory.transaction import Repository, writes
from application.ports.erasure import Erased, Erasure
from domain.accounts import UNKNOWN_ORIGIN, UserId
from domain.retention import ROWS_PER_BATCH


class MemoryErasure(Repository, Erasure):
    @writes
    def erase(
        self,
        user_id: UserId,
        *,
        phone_digest: str,
        older_digests: Collection[str] = (),
        limit: int = ROWS_PER_BATCH,
        leave_messages: bool = False,
    ) -> Erased:
        self._keep_use_of_today(user_id, phone_digest)
        tables = self._tables
        rooms = {room.id for room in tables.chatrooms.values() if room.user_id == user_id}
        unfinished = delete_unfinished(tables, rooms)
        purged = delete_newest(Contents(tables.messages, tables.replies), rooms, self._now, limit=limit)
        left = {message.chatroom_id for message in tables.messages.values()} & rooms
        removed = rooms if leave_messages else rooms - left
        detach(tables, removed)
        erased = {
            "replies": purged.replies + len(unfinished),
            "messages": purged.messages,
            "chatrooms": len(removed),
            **self._erase_others(user_id, limit),
            "payment_events": self._forget_who_paid(user_id, limit),
            "payment_entries": self._forget_whose_entries(user_id, limit),
            "audit_events": self._forget_whose(user_id, {phone_digest, *older_digests}, limit),
        }
        full = any(erased[table] >= limit for table in erased.keys() - {"replies", "messages", "chatrooms"})
        finished = rooms == removed and not full
        erased["users"] = delete_where(tables.users, lambda key, _: finished and key == user_id)
        with_stream = [*unfinished, *purged.with_stream]
        return Erased(erased, with_stream, len(left & removed), finished)

    def _keep_use_of_today(self, user_id: UserId, phone_digest: str) -> None:
        tables = self._tables
        today = self._now.astimezone(UTC).date()
        used = max(tables.daily_usage.get((user_id, today), 0), tables.erased_usage.get((phone_digest, today), 0))
        if used:
            tables.erased_usage[(phone_digest, today)] = used

    def _erase_others(self, user_id: UserId, limit: int) -> dict[str, int]:
        tables = self._tables
        ended = {session.id for session, _ in tables.ended_sessions.values() if session.user_id == user_id}
        sessions = {session.id for session in tables.sessions.values() if session.user_id == user_id} | ended
        tokens = delete_where(tables.refresh_tokens, lambda _, row: row.session_id in sessions, limit=limit)
        sessions -= {row.session_id for row in tables.refresh_tokens.values()}
        if user_id in tables.customers:
            erased_row = ErasedCustomerRow(self._now)
            tables.erased_customers.setdefault(tables.customers[user_id].customer_id, erased_row)
        delete_where(tables.last_used, lambda key, _: key in sessions)
        delete_where(tables.daily_refunds, lambda key, _: key[0] == user_id)
        tables.subscription_records.pop(user_id, None)
        tables.synced_at.pop(user_id, None)
        current = delete_where(tables.sessions, lambda key, _: key in sessions, limit=limit)
        return {
            "idempotency_keys": delete_where(tables.idempotency_keys, lambda key, _: key[0] == user_id, limit=limit),
            "daily_usage": delete_where(tables.daily_usage, lambda key, _: key[0] == user_id),
            "checkouts": delete_where(tables.checkouts, lambda key, _: key == user_id),
            "customers": delete_where(tables.customers, lambda key, _: key == user_id),
            "subscriptions": delete_where(tables.subscriptions, lambda key, _: key == user_id),
            "refresh_tokens": tokens,
            "sessions": current
            + delete_where(tables.ended_sessions, lambda key, _: key in sessions, limit=limit - current),
        }

    def _forget_who_paid(self, user_id: UserId, limit: int) -> int:
        rows = [
            (key, row)
            for key, row in self._tables.payment_events.items()
            if user_id in {row.user_id, row.kept.event.named_user}
        ][:limit]
        for key, row in rows:
            unnamed = replace(row.kept, event=replace(row.kept.event, named_user=None))
            self._tables.payment_events[key] = replace(row, kept=unnamed, user_id=None)
        return len(rows)

    def _forget_whose_entries(self, user_id: UserId, limit: int) -> int:
        entries = [(key, event) for key, (event, whose) in self._tables.payment_entries.items() if whose == user_id]
        entries = entries[:limit]
        self._tables.payment_entries.update({key: (event, None) for key, event in entries})
        return len(entries)

    def _forget_whose(self, user_id: UserId, phone_digests: Collection[str], limit: int) -> int:
        events = [
            event
            for event in self._tables.audit_events.values()
            if event.user_id == user_id or event.phone_digest in phone_digests
        ][:limit]
        for event in events:
            self._tables.audit_events[event.id] = event._replace(
                user_id=None, session_id=None, phone_digest=None, origin=UNKNOWN_ORIGIN, note=None
            )
        return len(events)
