"""Tables in memory, and transactions that really roll back."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from threading import RLock
from typing import Any
from uuid import UUID

from application.ports.audit import AuditEvent
from application.ports.billing_work import KeptCheckout, KeptEvent, Versioned
from application.ports.idempotency import Accepted
from application.ports.reply_stream import STREAM_GONE_AFTER
from application.ports.runtime import Clock
from domain.accounts import Session, SessionId, User, UserId
from domain.billing import CustomerId, Mode, OwedState, PaymentEvent, Subscription
from domain.chat import Chatroom, ChatroomId, Message, MessageId
from domain.feedback import Feedback
from domain.replies import FailureReason, QueuedReply, ReplyId, ReplyState


@dataclass(frozen=True, slots=True)
class ReplyRow:
    queued: QueuedReply
    state: ReplyState
    available_at: datetime
    deadline: datetime
    attempt: int = 0
    generation: int = 0
    lease_token: UUID | None = None
    lease_until: datetime | None = None
    content: str | None = None
    model: str | None = None
    truncated: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    failure: FailureReason | None = None
    finished_at: datetime | None = None
    refunded_at: datetime | None = None
    stop_requested: bool = False
    feedback: Feedback | None = None

    @property
    def unfinished(self) -> bool:
        """Whether the reply may still change."""
        return self.state in {ReplyState.QUEUED, ReplyState.RUNNING}

    def overdue(self, now: datetime) -> bool:
        """Whether its deadline has passed, and no worker holds it."""
        return self.unfinished and self.deadline <= now and (self.lease_until is None or self.lease_until <= now)

    def may_have_stream(self, now: datetime) -> bool:
        """Whether something that was published of it may still be kept."""
        return self.finished_at is None or self.finished_at > now - STREAM_GONE_AFTER

    @property
    def answers(self) -> bool:
        """Whether the model has said something that was kept."""
        return self.state is ReplyState.DONE or (self.state is ReplyState.CANCELLED and bool(self.content))

    @property
    def due_at(self) -> datetime:
        """When it may be claimed."""
        return self.lease_until or self.available_at


@dataclass(frozen=True, slots=True)
class RefreshTokenRow:
    session_id: SessionId
    issued_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """``answer``: what was accepted, or the reference to what was made."""

    fingerprint: bytes
    answer: Accepted | str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CustomerRow:
    customer_id: CustomerId
    reconciled_at: datetime | None = None
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class ErasedCustomerRow:
    erased_at: datetime
    checked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LeaverRow:
    left_at: datetime
    searched_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OwedRow:
    reference: str
    customer_id: CustomerId | None
    state: OwedState
    noted_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class EventRow:
    kept: KeptEvent
    user_id: UserId | None
    received_at: datetime
    due_at: datetime


@dataclass(slots=True)
class Tables:
    """Frozen rows by key; a shallow copy is a snapshot."""

    users: dict[UserId, User] = field(default_factory=dict)
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    subscriptions: dict[UserId, Subscription] = field(default_factory=dict)
    chatrooms: dict[ChatroomId, Chatroom] = field(default_factory=dict)
    messages: dict[MessageId, Message] = field(default_factory=dict)
    replies: dict[ReplyId, ReplyRow] = field(default_factory=dict)
    # What went with removed chatrooms and is not deleted yet.
    removed_messages: dict[MessageId, Message] = field(default_factory=dict)
    removed_replies: dict[ReplyId, ReplyRow] = field(default_factory=dict)
    daily_usage: dict[tuple[UserId, date], int] = field(default_factory=dict)
    last_used: dict[SessionId, datetime] = field(default_factory=dict)
    ended_sessions: dict[SessionId, tuple[Session, datetime]] = field(default_factory=dict)
    refresh_tokens: dict[bytes, RefreshTokenRow] = field(default_factory=dict)
    audit_events: dict[UUID, AuditEvent] = field(default_factory=dict)
    idempotency_keys: dict[tuple[UserId, str], KeyRow] = field(default_factory=dict)
    erased_usage: dict[tuple[str, date], int] = field(default_factory=dict)
    daily_refunds: dict[tuple[UserId, date], int] = field(default_factory=dict)
    customers: dict[UserId, CustomerRow] = field(default_factory=dict)
    checkouts: dict[UserId, KeptCheckout] = field(default_factory=dict)
    subscription_records: dict[UserId, Versioned] = field(default_factory=dict)
    synced_at: dict[UserId, datetime] = field(default_factory=dict)
    erased_customers: dict[CustomerId, ErasedCustomerRow] = field(default_factory=dict)
    leavers: dict[UserId, LeaverRow] = field(default_factory=dict)
    provider_accounts: dict[Mode, str] = field(default_factory=dict)
    refunds_owed: dict[str, OwedRow] = field(default_factory=dict)
    payment_events: dict[str, EventRow] = field(default_factory=dict)
    payment_entries: dict[str, tuple[PaymentEvent, UserId | None]] = field(default_factory=dict)
    # The places of messages and replies, in one order for all chatrooms.
    sequences: dict[UUID, int] = field(default_factory=dict)
    # What messages and replies can be found by.
    search_terms: dict[UUID, frozenset[str]] = field(default_factory=dict)
    # Of the users' lists of chatrooms, as triggers keep them in PostgreSQL: see ``MemoryDatabase.commit``.
    list_versions: dict[UserId, int] = field(default_factory=dict)

    def number(self, entry_id: UUID) -> None:
        """Give an entry the next place."""
        self.sequences[entry_id] = next(reversed(self.sequences.values()), 0) + 1

    def replies_to(self, message_id: MessageId) -> list[ReplyRow]:
        """Oldest first."""
        rows = (row for row in self.replies.values() if row.queued.message_id == message_id)
        return sorted(rows, key=lambda row: self.sequences[row.queued.id])

    def copy(self) -> "Tables":
        """A snapshot that may be changed without changing this one."""
        return Tables(**{table.name: dict(getattr(self, table.name)) for table in fields(self)})


class MemoryDatabase:
    """Transactions take turns: each works on a copy of the tables that replaces them when it commits."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.tables = Tables()
        self.one_at_a_time = RLock()

    def commit(self, tables: Tables) -> None:
        """Replaces the tables by a copy of ``tables``: what is done to those afterwards is not part of it."""
        for user_id in _owners_of_changes(self.tables.chatrooms, tables.chatrooms):
            tables.list_versions[user_id] = tables.list_versions.get(user_id, 0) + 1
        delete_where(tables.list_versions, lambda user_id, _: user_id not in tables.users)
        self.tables = tables.copy()


def _owners_of_changes(before: dict[ChatroomId, Chatroom], after: dict[ChatroomId, Chatroom]) -> set[UserId]:
    """Whose list of chatrooms differs. A system prompt is not shown there, but makes its chatroom newer."""
    return {room.user_id for _, room in before.items() ^ after.items()}


def delete_where(table: dict[Any, Any], matches: Callable[[Any, Any], bool], *, limit: int | None = None) -> int:
    """Deletes the rows that ``matches(key, row)``, at most ``limit``; how many they were."""
    matching = [key for key, row in table.items() if matches(key, row)][:limit]
    for key in matching:
        del table[key]
    return len(matching)
