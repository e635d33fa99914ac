"""Erasing a user."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adapters.memory.tables import ErasedCustomerRow, delete_where, with_stream
from adapters.memory.transaction import Repository, writes
from application.ports.erasure import Erased, Erasure
from domain.accounts import UNKNOWN_ORIGIN, UserId


class MemoryErasure(Repository, Erasure):
    @writes
    def erase(self, user_id: UserId, *, phone_digest: str) -> Erased:
        tables = self._tables
        replies = with_stream((row for row in tables.replies.values() if row.queued.user_id == user_id), self._now)
        rooms = {room.id for room in tables.chatrooms.values() if room.user_id == user_id}
        ended = {session.id for session, _ in tables.ended_sessions.values() if session.user_id == user_id}
        sessions = {session.id for session in tables.sessions.values() if session.user_id == user_id} | ended
        mine: dict[str, Callable[[Any, Any], bool]] = {
            "idempotency_keys": lambda key, _: key[0] == user_id,
            "replies": lambda _, row: row.queued.user_id == user_id,
            "messages": lambda _, message: message.chatroom_id in rooms,
            "chatrooms": lambda key, _: key in rooms,
            "daily_usage": lambda key, _: key[0] == user_id,
            "checkouts": lambda key, _: key == user_id,
            "customers": lambda key, _: key == user_id,
            "subscriptions": lambda key, _: key == user_id,
            "refresh_tokens": lambda _, row: row.session_id in sessions,
            "sessions": lambda key, _: key in sessions,
            "users": lambda key, _: key == user_id,
        }
        if user_id in tables.customers:
            erased_row = ErasedCustomerRow(self._now)
            tables.erased_customers.setdefault(tables.customers[user_id].customer_id, erased_row)
        erased = {name: delete_where(getattr(tables, name), is_mine) for name, is_mine in mine.items()}
        erased["sessions"] += delete_where(tables.ended_sessions, lambda key, _: key in ended)
        delete_where(tables.last_used, lambda key, _: key in sessions)
        tables.daily_refunds = {key: count for key, count in tables.daily_refunds.items() if key[0] != user_id}
        tables.subscription_records.pop(user_id, None)
        tables.synced_at.pop(user_id, None)
        kept = {
            "payment_events": self._forget_who_paid(user_id),
            "payment_entries": self._forget_whose_entries(user_id),
            "audit_events": self._forget_whose(user_id, phone_digest),
        }
        return Erased({**erased, **kept}, replies)

    def _forget_who_paid(self, user_id: UserId) -> int:
        rows = {
            key: row
            for key, row in self._tables.payment_events.items()
            if user_id in {row.user_id, row.kept.event.named_user}
        }
        for key, row in rows.items():
            unnamed = replace(row.kept, event=replace(row.kept.event, named_user=None))
            self._tables.payment_events[key] = replace(row, kept=unnamed, user_id=None)
        return len(rows)

    def _forget_whose_entries(self, user_id: UserId) -> int:
        entries = {key: event for key, (event, whose) in self._tables.payment_entries.items() if whose == user_id}
        self._tables.payment_entries.update({key: (event, None) for key, event in entries.items()})
        return len(entries)

    def _forget_whose(self, user_id: UserId, phone_digest: str) -> int:
        events = [
            event
            for event in self._tables.audit_events.values()
            if event.user_id == user_id or event.phone_digest == phone_digest
        ]
        for event in events:
            self._tables.audit_events[event.id] = event._replace(
                user_id=None, session_id=None, phone_digest=None, origin=UNKNOWN_ORIGIN
            )
        return len(events)
