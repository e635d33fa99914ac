"""The transactional ports in memory."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from adapters.memory.billing import MemoryBilling, subscription_at
from adapters.memory.tables import KeyRow, MemoryDatabase, RefreshTokenRow, ReplyRow, Tables
from application.ports.audit import AuditEvent
from application.ports.erasure import Erased
from application.ports.idempotency import Accepted
from application.ports.refresh_tokens import KeptRefreshToken
from domain.accounts import UNKNOWN_ORIGIN, PhoneNumber, Session, SessionId, User, UserId
from domain.chat import Chatroom, ChatroomId, Message, MessageId
from domain.errors import (
    BacklogFull,
    ChatroomNotFound,
    IdempotencyKeyReused,
    PhoneTaken,
    TokenInvalid,
    TooManyUnfinishedReplies,
)
from domain.plans import Allowances, DailyQuota, Plan
from domain.replies import (
    Answer,
    Charge,
    Claim,
    ClaimedReply,
    EndedReply,
    FailureReason,
    QueuedReply,
    ReplyId,
    ReplyPolicy,
    ReplyState,
)


class MemoryUsers:
    """The Users port."""

    def __init__(self, tables: Tables) -> None:
        """Work on ``tables``."""
        self._users = tables.users

    def add(self, user: User) -> None:
        """Keep a new user. PhoneTaken when the number has an account."""
        if self.by_phone(user.phone) is not None:
            raise PhoneTaken
        self._users[user.id] = user

    def by_phone(self, phone: PhoneNumber) -> User | None:
        """The user with this number."""
        return next((user for user in self._users.values() if user.phone == phone), None)

    def get(self, user_id: UserId) -> User | None:
        """The user with this id."""
        return self._users.get(user_id)

    def mark_verified(self, user_id: UserId, *, at: datetime) -> None:
        """Note that the number was proven."""
        self._users[user_id] = replace(self._users[user_id], verified_at=at)

    def set_password(self, user_id: UserId, password_hash: str | None) -> None:
        """Replace the password."""
        self._users[user_id] = replace(self._users[user_id], password_hash=password_hash)

    def set_profile(self, user_id: UserId, *, name: str | None, email: str | None) -> None:
        """Replace what a user says of themselves."""
        self._users[user_id] = replace(self._users[user_id], name=name, email=email)


class MemorySessions:
    """The Sessions port."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Work on ``tables``; ``now`` is the time of the transaction."""
        self._sessions = tables.sessions
        self._last_used = tables.last_used
        self._now = now

    def add(self, session: Session) -> None:
        """Begin a session."""
        self._sessions[session.id] = session
        self._last_used[session.id] = session.started_at

    def end_all(self, user_id: UserId, *, but: SessionId | None = None) -> None:
        """End a user's sessions, except ``but``."""
        for session in list(self._sessions.values()):
            if session.user_id == user_id and session.id != but:
                del self._sessions[session.id]

    def end(self, session_id: SessionId, *, of: UserId) -> bool:
        """End one session of a user."""
        session = self._sessions.get(session_id)
        if session is None or session.user_id != of or session.expires_at <= self._now:
            return False
        del self._sessions[session_id]
        return True

    def prolong(self, session_id: SessionId, *, at: datetime, expires_at: datetime) -> None:
        """Note that a session was used, and when it will be over."""
        self._sessions[session_id] = replace(self._sessions[session_id], expires_at=expires_at)
        self._last_used[session_id] = at


class MemoryRefreshChains:
    """The RefreshChains port."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Work on ``tables``; ``now`` is the time of the transaction."""
        self._rows = tables.refresh_tokens
        self._sessions = tables.sessions
        self._now = now

    def start(self, session_id: SessionId, digest: bytes, *, at: datetime) -> None:
        """Keep the first token of a session."""
        self._rows[digest] = RefreshTokenRow(session_id, at)

    def find(self, digest: bytes) -> KeptRefreshToken | None:
        """The token, if its session is going on."""
        row = self._rows.get(digest)
        session = self._sessions.get(row.session_id) if row else None
        if row is None or session is None or session.expires_at <= self._now:
            return None
        return KeptRefreshToken(session, row.used_at, row.forgiven)

    def follow(self, digest: bytes, successor: bytes, *, at: datetime) -> None:
        """Note that a token was used, and keep the one that follows it."""
        row = self._rows[digest]
        self._rows[digest] = replace(row, used_at=at)
        self._rows[successor] = RefreshTokenRow(row.session_id, at)

    def forgive(self, digest: bytes, successor: bytes) -> bool:
        """Note that a used token was good once more."""
        following = self._rows.get(successor)
        if following is None or following.used_at is not None:
            return False
        self._rows[digest] = replace(self._rows[digest], forgiven=True)
        return True


class MemoryAuditTrail:
    """The AuditTrail port."""

    def __init__(self, tables: Tables) -> None:
        """Work on ``tables``."""
        self._events = tables.audit_events

    def add(self, event: AuditEvent) -> None:
        """Keep an event."""
        self._events[event.id] = event

    def purge_before(self, moment: datetime, *, limit: int) -> int:
        """Forget the oldest, as far as they are from before ``moment``."""
        old = [event_id for event_id in sorted(self._events)[:limit] if self._events[event_id].at < moment]
        for event_id in old:
            del self._events[event_id]
        return len(old)


class MemoryErasure:
    """The Erasure port."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Work on ``tables``; ``now`` is the time of the transaction."""
        self._tables = tables
        self._now = now

    def erase(self, user_id: UserId, *, phone_digest: str) -> Erased:
        """Take out everything that is the user's."""
        tables = self._tables
        replies = _with_stream((row for row in tables.replies.values() if row.queued.user_id == user_id), self._now)
        rooms = {room.id for room in tables.chatrooms.values() if room.user_id == user_id}
        sessions = {session.id for session in tables.sessions.values() if session.user_id == user_id}
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
        erased = {name: _take_out(getattr(tables, name), is_mine) for name, is_mine in mine.items()}
        tables.daily_refunds = {key: count for key, count in tables.daily_refunds.items() if key[0] != user_id}
        tables.subscription_records.pop(user_id, None)
        kept = {
            "payment_events": self._forget_who_paid(user_id),
            "payment_entries": self._forget_whose_entries(user_id),
            "audit_events": self._forget_whose(user_id, phone_digest),
        }
        return Erased({**erased, **kept}, replies)

    def _forget_who_paid(self, user_id: UserId) -> int:
        rows = {key: row for key, row in self._tables.payment_events.items() if row.user_id == user_id}
        self._tables.payment_events.update({key: replace(row, user_id=None) for key, row in rows.items()})
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


class MemoryChatrooms:
    """The Chatrooms port."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Work on ``tables``; ``now`` is the time of the transaction."""
        self._tables = tables
        self._now = now
        self._chatrooms = tables.chatrooms

    def add(self, chatroom: Chatroom) -> None:
        """Keep a new chatroom. TokenInvalid when its user is gone."""
        if chatroom.user_id not in self._tables.users:
            raise TokenInvalid
        self._chatrooms[chatroom.id] = chatroom

    def assert_owned(self, chatroom_id: ChatroomId, *, by: UserId) -> None:
        """ChatroomNotFound unless it exists and is ``by``'s."""
        chatroom = self._chatrooms.get(chatroom_id)
        if chatroom is None or chatroom.user_id != by:
            raise ChatroomNotFound

    def owned(self, chatroom_id: ChatroomId, *, by: UserId) -> Chatroom:
        """The chatroom; ChatroomNotFound unless it is ``by``'s."""
        self.assert_owned(chatroom_id, by=by)
        return self._chatrooms[chatroom_id]

    def change(self, chatroom: Chatroom) -> None:
        """Replace what may change of one that is there."""
        self._chatrooms[chatroom.id] = chatroom

    def remove(self, chatroom_id: ChatroomId, *, of: UserId) -> Sequence[ReplyId]:
        """Take it away with its messages and replies."""
        self.assert_owned(chatroom_id, by=of)
        rows = (row for row in self._tables.replies.values() if row.queued.chatroom_id == chatroom_id)
        replies = _with_stream(rows, self._now)
        del self._chatrooms[chatroom_id]
        _take_out(self._tables.messages, lambda _, message: message.chatroom_id == chatroom_id)
        _take_out(self._tables.replies, lambda _, row: row.queued.chatroom_id == chatroom_id)
        return replies


class MemoryMessages:
    """The Messages port."""

    def __init__(self, tables: Tables) -> None:
        """Work on ``tables``."""
        self._tables = tables

    def add(self, message: Message) -> None:
        """Keep a new message. ChatroomNotFound when there is no such chatroom."""
        if message.chatroom_id not in self._tables.chatrooms:
            raise ChatroomNotFound
        self._tables.messages[message.id] = message

    def of(self, user_id: UserId, entry_id: MessageId | ReplyId) -> tuple[Message, ReplyId, ReplyState] | None:
        """The message of an entry, and its newest reply."""
        reply = self._tables.replies.get(cast("ReplyId", entry_id))
        message = self._tables.messages.get(reply.queued.message_id if reply else cast("MessageId", entry_id))
        if message is None or message.user_id != user_id:
            return None
        newest = max(
            (row for row in self._tables.replies.values() if row.queued.message_id == message.id),
            key=lambda row: row.queued.id,
        )
        return message, newest.queued.id, newest.state


class MemoryUsage:
    """The Usage port."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Work on ``tables``; ``now`` is the time of the transaction."""
        self._tables = tables
        self._now = now
        self._today = now.astimezone(UTC).date()

    def spend(self, user_id: UserId, *, allowances: Allowances) -> DailyQuota:
        """Charge one prompt to today; QuotaExhausted when nothing is left."""
        subscription = subscription_at(self._tables, user_id, self._now)
        plan = subscription.plan if subscription else Plan.BASIC
        limit = allowances[plan].daily_prompts
        key = (user_id, self._today)
        used = self._tables.daily_usage.get(key, 0)
        if limit is not None and used >= limit:
            raise DailyQuota(self._today, used, limit, plan).exhausted()
        self._tables.daily_usage[key] = used + 1
        return DailyQuota(self._today, used + 1, limit, plan)

    def refund(self, charge: Charge) -> None:
        """Give one prompt back."""
        key = (charge.user_id, charge.day)
        used = self._tables.daily_usage.get(key, 0)
        if used > 0:
            self._tables.daily_usage[key] = used - 1
            self._tables.daily_refunds[key] = self._tables.daily_refunds.get(key, 0) + 1


class MemoryReplies:
    """The Replies port."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Work on ``tables``; ``now`` is the time of the transaction."""
        self._tables = tables
        self._rows = tables.replies
        self._now = now

    def add(self, reply: QueuedReply) -> None:
        """Queue a new reply, due at once."""
        earlier = (row.generation for row in self._rows.values() if row.queued.message_id == reply.message_id)
        self._rows[reply.id] = ReplyRow(
            generation=max(earlier, default=0),
            queued=reply,
            state=ReplyState.QUEUED,
            available_at=self._now,
            deadline=self._now + reply.answer_within,
        )

    def check_backlog(self, user_id: UserId, *, policy: ReplyPolicy) -> None:
        """TooManyUnfinishedReplies or BacklogFull when a backlog is full."""
        unfinished = [row for row in self._rows.values() if row.unfinished]
        if sum(row.queued.user_id == user_id for row in unfinished) >= policy.user_backlog:
            raise TooManyUnfinishedReplies(limit=policy.user_backlog)
        if len(unfinished) >= policy.backlog:
            raise BacklogFull

    def claim_due(self, *, limit: int, policy: ReplyPolicy) -> Sequence[ClaimedReply]:
        """Take up to ``limit`` due replies, each with a fresh fencing token."""
        # Whether an earlier one is unfinished is asked of the state before this claim, as one SQL statement does.
        due = sorted(
            (row for row in self._rows.values() if self._is_due(row, policy)),
            key=lambda row: (not row.queued.urgent, row.due_at, row.queued.id),
        )
        running = Counter(
            row.queued.user_id
            for row in self._rows.values()
            if row.state is ReplyState.RUNNING and row.due_at > self._now
        )
        claimed: list[ClaimedReply] = []
        for row in due:
            if len(claimed) < limit and running[row.queued.user_id] < policy.user_concurrency:
                running[row.queued.user_id] += 1
                claimed.append(self._claim(row, policy))
        return claimed

    def finish(self, claim: Claim, answer: Answer) -> bool:
        """RUNNING -> DONE."""
        row = self._held(claim)
        if row is None:
            return False
        self._put(
            row,
            state=ReplyState.DONE,
            content=answer.text,
            model=answer.model,
            truncated=answer.truncated,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            finished_at=self._now,
        )
        return True

    def postpone(self, claim: Claim, *, delay: timedelta, counted: bool) -> bool:
        """RUNNING -> QUEUED, due later."""
        row = self._held(claim)
        if row is None or row.stop_requested:
            return False
        attempt = row.attempt if counted else row.attempt - 1
        self._put(row, state=ReplyState.QUEUED, available_at=self._now + delay, attempt=attempt)
        return True

    def fail(self, claim: Claim, reason: FailureReason) -> Charge | None:
        """RUNNING -> FAILED."""
        row = self._held(claim)
        if row is None:
            return None
        return self._end(row, state=ReplyState.FAILED, failure=reason).charge

    def stop(self, claim: Claim, *, partial: str) -> Charge | None:
        """RUNNING -> CANCELLED."""
        row = self._held(claim)
        if row is None:
            return None
        return self._end(row, state=ReplyState.CANCELLED, content=partial or None).charge

    def cancel(self, reply_id: ReplyId) -> ReplyState | EndedReply:
        """Cancel what is QUEUED, mark what is RUNNING."""
        row = self._rows[reply_id]
        if row.state is ReplyState.QUEUED:
            return self._end(row, state=ReplyState.CANCELLED)
        if row.state is ReplyState.RUNNING:
            self._rows[reply_id] = replace(row, stop_requested=True)
        return row.state

    def to_be_stopped(self, reply_ids: Collection[ReplyId]) -> Collection[ReplyId]:
        """Which of these are marked to be stopped, or are gone."""
        rows = {reply_id: self._rows.get(reply_id) for reply_id in reply_ids}
        return [reply_id for reply_id, row in rows.items() if row is None or row.stop_requested]

    def fail_expired(self, *, limit: int, policy: ReplyPolicy) -> Sequence[EndedReply]:
        """Fail what nobody may try any more."""
        expired = [row for row in self._rows.values() if self._is_expired(row, policy)]
        return [self._give_up(row) for row in expired[:limit]]

    def _give_up(self, row: ReplyRow) -> EndedReply:
        if row.stop_requested:
            return self._end(row, state=ReplyState.CANCELLED)
        late = row.deadline <= self._now
        reason = FailureReason.DEADLINE_EXCEEDED if late else FailureReason.ATTEMPTS_EXHAUSTED
        return self._end(row, state=ReplyState.FAILED, failure=reason)

    def _is_due(self, row: ReplyRow, policy: ReplyPolicy) -> bool:
        return (
            row.unfinished
            and not row.stop_requested
            and row.due_at <= self._now < row.deadline
            and row.attempt < policy.max_attempts
            and not any(
                other.unfinished
                and other.queued.chatroom_id == row.queued.chatroom_id
                and other.queued.id < row.queued.id
                for other in self._rows.values()
            )
        )

    def _is_expired(self, row: ReplyRow, policy: ReplyPolicy) -> bool:
        if row.state is ReplyState.QUEUED:
            return row.deadline <= self._now
        if row.state is not ReplyState.RUNNING or row.due_at > self._now:
            return False
        return row.attempt >= policy.max_attempts or row.deadline <= self._now or row.stop_requested

    def _claim(self, row: ReplyRow, policy: ReplyPolicy) -> ClaimedReply:
        claim = Claim(row.queued.id, uuid4())
        self._rows[row.queued.id] = replace(
            row,
            state=ReplyState.RUNNING,
            attempt=row.attempt + 1,
            generation=row.generation + 1,
            lease_token=claim.lease_token,
            lease_until=self._now + policy.lease,
        )
        return ClaimedReply(
            claim=claim,
            message_id=row.queued.message_id,
            chatroom_id=row.queued.chatroom_id,
            attempt=row.attempt + 1,
            generation=row.generation + 1,
            prompt=self._tables.messages[row.queued.message_id].content,
            system_prompt=self._tables.chatrooms[row.queued.chatroom_id].system_prompt,
            seconds_left=(row.deadline - self._now).total_seconds(),
        )

    def _held(self, claim: Claim) -> ReplyRow | None:
        row = self._rows.get(claim.reply_id)
        if row is None or row.state is not ReplyState.RUNNING:
            return None
        return row if row.lease_token == claim.lease_token else None

    def _put(self, row: ReplyRow, **changes: object) -> None:
        """Leave RUNNING: whatever changes, the lease is over."""
        self._rows[row.queued.id] = replace(row, lease_token=None, lease_until=None, **changes)  # type: ignore[arg-type]

    def _end(self, row: ReplyRow, **changes: object) -> EndedReply:
        self._put(row, finished_at=self._now, **changes)
        return EndedReply(row.queued.id, row.generation, Charge(row.queued.user_id, row.queued.charged_on))


class MemoryIdempotencyKeys:
    """The IdempotencyKeys port. One unit of work at a time: a key is never in use by another."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Work on ``tables``; ``now`` is the time of the transaction."""
        self._keys = tables.idempotency_keys
        self._now = now

    def recall(self, user_id: UserId, key: str, *, fingerprint: bytes) -> Accepted | None:
        """What the key was accepted with; None when it is new."""
        row = self._keys.get((user_id, key))
        if row is None or self._is_old(row):
            return None
        if row.fingerprint != fingerprint:
            raise IdempotencyKeyReused
        return row.accepted

    def remember(self, user_id: UserId, key: str, *, fingerprint: bytes, accepted: Accepted) -> None:
        """Keep what was accepted."""
        self._keys[(user_id, key)] = KeyRow(fingerprint, accepted, self._now)

    def purge_expired(self, *, limit: int) -> int:
        """Forget keys older than 24 hours."""
        old = [key for key, row in self._keys.items() if self._is_old(row)][:limit]
        for key in old:
            del self._keys[key]
        return len(old)

    def _is_old(self, row: KeyRow) -> bool:
        return row.created_at <= self._now - timedelta(hours=24)


class MemoryAcceptance:
    """The Acceptance port."""

    def __init__(self, work: "MemoryUnitOfWork") -> None:
        """Do it with what ``work`` has."""
        self._work = work

    def accept(self, message: Message, reply_id: ReplyId, *, allowances: Allowances, policy: ReplyPolicy) -> DailyQuota:
        """Charge a prompt, keep the message, queue its reply."""
        work = self._work
        work.chatrooms.assert_owned(message.chatroom_id, by=message.user_id)
        work.replies.check_backlog(message.user_id, policy=policy)
        quota = work.usage.spend(message.user_id, allowances=allowances)
        work.messages.add(message)
        work.replies.add(QueuedReply.to(message, id=reply_id, quota=quota, at=message.created_at, policy=policy))
        return quota


class MemoryUnitOfWork:
    """The UnitOfWork port."""

    def __init__(self, database: MemoryDatabase, tables: Tables) -> None:
        """Let every repository work on the same copy."""
        self._database = database
        self._tables = tables
        now = database.clock()
        self.users = MemoryUsers(tables)
        self.sessions = MemorySessions(tables, now)
        self.chatrooms = MemoryChatrooms(tables, now)
        self.messages = MemoryMessages(tables)
        self.replies = MemoryReplies(tables, now)
        self.usage = MemoryUsage(tables, now)
        self.acceptance = MemoryAcceptance(self)
        self.refresh_chains = MemoryRefreshChains(tables, now)
        self.audit = MemoryAuditTrail(tables)
        self.erasure = MemoryErasure(tables, now)
        self.idempotency_keys = MemoryIdempotencyKeys(tables, now)
        self.billing = MemoryBilling(tables, now)

    def commit(self) -> None:
        """Make it all true."""
        self._database.commit(self._tables)


class MemoryUnitOfWorkFactory:
    """The UnitOfWorkFactory port."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Open units of work on ``database``."""
        self._database = database

    @contextmanager
    def __call__(self) -> Iterator[MemoryUnitOfWork]:
        """A unit of work; forgotten unless it was committed."""
        with self._database.transaction() as tables:
            yield MemoryUnitOfWork(self._database, tables)

    def autocommit(self) -> AbstractContextManager[MemoryUnitOfWork]:
        """A unit of work."""
        return self()


def _with_stream(rows: Iterable[ReplyRow], now: datetime) -> list[ReplyId]:
    """Which of these may still have a stream."""
    return [row.queued.id for row in rows if row.may_have_stream(now)]


def _take_out(table: dict[Any, Any], is_meant: Callable[[Any, Any], bool]) -> int:
    """Delete the rows that are meant; how many they were."""
    meant = [key for key, row in table.items() if is_meant(key, row)]
    for key in meant:
        del table[key]
    return len(meant)
