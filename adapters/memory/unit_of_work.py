"""The transactional ports in memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from adapters.memory.billing import MemoryBilling, subscription_at
from adapters.memory.tables import MemoryDatabase, ReplyRow, Tables
from domain.accounts import PhoneNumber, Session, SessionId, User, UserId
from domain.chat import Chatroom, ChatroomId, Message
from domain.errors import ChatroomNotFound, PhoneTaken
from domain.plans import Allowances, DailyQuota, Plan
from domain.replies import (
    Answer,
    Charge,
    Claim,
    ClaimedReply,
    FailureReason,
    QueuedReply,
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


class MemorySessions:
    """The Sessions port."""

    def __init__(self, tables: Tables) -> None:
        """Work on ``tables``."""
        self._sessions = tables.sessions

    def add(self, session: Session) -> None:
        """Begin a session."""
        self._sessions[session.id] = session

    def end_all(self, user_id: UserId, *, but: SessionId | None = None) -> None:
        """End a user's sessions, except ``but``."""
        for session in list(self._sessions.values()):
            if session.user_id == user_id and session.id != but:
                del self._sessions[session.id]


class MemoryChatrooms:
    """The Chatrooms port."""

    def __init__(self, tables: Tables) -> None:
        """Work on ``tables``."""
        self._chatrooms = tables.chatrooms

    def add(self, chatroom: Chatroom) -> None:
        """Keep a new chatroom."""
        self._chatrooms[chatroom.id] = chatroom

    def assert_owned(self, chatroom_id: ChatroomId, *, by: UserId) -> None:
        """ChatroomNotFound unless it exists and is ``by``'s."""
        chatroom = self._chatrooms.get(chatroom_id)
        if chatroom is None or chatroom.user_id != by:
            raise ChatroomNotFound


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
            raise DailyQuota(self._today, used, limit).exhausted()
        self._tables.daily_usage[key] = used + 1
        return DailyQuota(self._today, used + 1, limit)

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
        self._rows[reply.id] = ReplyRow(
            queued=reply,
            state=ReplyState.QUEUED,
            available_at=self._now,
            deadline=self._now + reply.answer_within,
        )

    def claim_due(self, *, limit: int, policy: ReplyPolicy) -> Sequence[ClaimedReply]:
        """Take up to ``limit`` due replies, each with a fresh fencing token."""
        # Whether an earlier one is unfinished is asked of the state before this claim, as one SQL statement does.
        due = sorted(
            (row for row in self._rows.values() if self._is_due(row, policy)),
            key=lambda row: (row.due_at, row.queued.id),
        )
        return [self._claim(row, policy) for row in due[:limit]]

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

    def postpone(self, claim: Claim, *, delay: timedelta) -> bool:
        """RUNNING -> QUEUED, due later."""
        row = self._held(claim)
        if row is None:
            return False
        self._put(row, state=ReplyState.QUEUED, available_at=self._now + delay)
        return True

    def fail(self, claim: Claim, reason: FailureReason) -> Charge | None:
        """RUNNING -> FAILED."""
        row = self._held(claim)
        return None if row is None else self._fail(row, reason)

    def release(self, claim: Claim) -> bool:
        """RUNNING -> QUEUED, the attempt not counted."""
        row = self._held(claim)
        if row is None:
            return False
        self._put(row, state=ReplyState.QUEUED, available_at=self._now, attempt=row.attempt - 1)
        return True

    def fail_hopeless(self, *, limit: int, policy: ReplyPolicy) -> Sequence[Charge]:
        """Fail what nobody may try any more."""
        hopeless = [row for row in self._rows.values() if self._is_hopeless(row, policy)]
        return [
            self._fail(
                row,
                FailureReason.DEADLINE_EXCEEDED if row.deadline <= self._now else FailureReason.ATTEMPTS_EXHAUSTED,
            )
            for row in hopeless[:limit]
        ]

    def _is_due(self, row: ReplyRow, policy: ReplyPolicy) -> bool:
        return (
            row.unfinished
            and row.due_at <= self._now < row.deadline
            and row.attempt < policy.max_attempts
            and not any(
                other.unfinished
                and other.queued.chatroom_id == row.queued.chatroom_id
                and other.queued.id < row.queued.id
                for other in self._rows.values()
            )
        )

    def _is_hopeless(self, row: ReplyRow, policy: ReplyPolicy) -> bool:
        if row.state is ReplyState.QUEUED:
            return row.deadline <= self._now
        if row.state is not ReplyState.RUNNING or row.due_at > self._now:
            return False
        return row.attempt >= policy.max_attempts or row.deadline <= self._now

    def _claim(self, row: ReplyRow, policy: ReplyPolicy) -> ClaimedReply:
        claim = Claim(row.queued.id, uuid4())
        self._rows[row.queued.id] = replace(
            row,
            state=ReplyState.RUNNING,
            attempt=row.attempt + 1,
            lease_token=claim.lease_token,
            lease_until=self._now + policy.lease,
        )
        prompt = self._tables.messages[row.queued.message_id].content
        return ClaimedReply(claim, row.attempt + 1, prompt, (row.deadline - self._now).total_seconds())

    def _held(self, claim: Claim) -> ReplyRow | None:
        row = self._rows.get(claim.reply_id)
        if row is None or row.state is not ReplyState.RUNNING:
            return None
        return row if row.lease_token == claim.lease_token else None

    def _put(self, row: ReplyRow, **changes: object) -> None:
        """Leave RUNNING: whatever changes, the lease is over."""
        self._rows[row.queued.id] = replace(row, lease_token=None, lease_until=None, **changes)  # type: ignore[arg-type]

    def _fail(self, row: ReplyRow, reason: FailureReason) -> Charge:
        self._put(row, state=ReplyState.FAILED, failure=reason, finished_at=self._now)
        return Charge(row.queued.user_id, row.queued.charged_on)


class MemoryWork:
    """The Work port."""

    def __init__(self, database: MemoryDatabase, tables: Tables) -> None:
        """Let every repository work on the same copy."""
        self._database = database
        self._tables = tables
        now = database.clock()
        self.users = MemoryUsers(tables)
        self.sessions = MemorySessions(tables)
        self.chatrooms = MemoryChatrooms(tables)
        self.messages = MemoryMessages(tables)
        self.replies = MemoryReplies(tables, now)
        self.usage = MemoryUsage(tables, now)
        self.billing = MemoryBilling(tables, now)

    def commit(self) -> None:
        """Make it all true."""
        self._database.commit(self._tables)


class MemoryUnitsOfWork:
    """The Begin port."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Open units of work on ``database``."""
        self._database = database

    @contextmanager
    def __call__(self) -> Iterator[MemoryWork]:
        """A unit of work; forgotten unless it was committed."""
        with self._database.transaction() as tables:
            yield MemoryWork(self._database, tables)
