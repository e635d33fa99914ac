"""A database of either kind, its time, and people and rooms to fill it with."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from adapters.memory.doubles import SettableClock
from adapters.memory.feedback import MemoryFeedbackStore
from adapters.memory.reader import MemoryReader
from adapters.memory.reply_files import MemoryReplyFiles
from adapters.memory.tables import MemoryDatabase, Tables
from adapters.memory.unit_of_work import MemoryUnitOfWork, MemoryUnitOfWorkFactory
from adapters.sql.database import Database, make_pool
from adapters.sql.feedback import SqlFeedbackStore
from adapters.sql.reader import SqlReader
from adapters.sql.reply_files import SqlReplyFiles
from adapters.sql.unit_of_work import SqlUnitOfWork, SqlUnitOfWorkFactory
from adapters.system_runtime import Uuid7Ids
from application.ports.chatrooms import Purged
from application.ports.feedback import FeedbackStore
from application.ports.reader import Reader, ReplyEntry
from application.ports.reply_files import ReplyFiles
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.accounts import LoginMethod, PhoneNumber, Session, SessionId, User, UserId
from domain.billing import Subscription, SubscriptionStatus
from domain.chat import Chatroom, ChatroomId, Message, MessageId
from domain.errors import DependencyDown
from domain.plans import Allowance, Allowances, DailyQuota, Plan
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

# Microseconds, and a time of day that no rounding leaves alone.
MOMENT = datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC)
ALLOWANCES: Allowances = {Plan.BASIC: Allowance(5), Plan.PRO: Allowance(None)}
POLICY = ReplyPolicy(
    lease=timedelta(seconds=60), max_attempts=3, deadline=timedelta(seconds=300), first_backoff=timedelta(seconds=2)
)
ACTIVE = Subscription(SubscriptionStatus.ACTIVE, MOMENT + timedelta(days=30), cancel_at_period_end=False)
ANSWER = Answer("Because.", "scripted", input_tokens=1, output_tokens=1)
A_LEASE = POLICY.lease + timedelta(seconds=1)
A_DEADLINE = POLICY.deadline + timedelta(seconds=1)
THREADS = 16
MAX_CHATROOMS = 1_000

new_id = Uuid7Ids()
_phones = count(9_000_000_000)


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """What a test wants to know of a reply's row."""

    state: ReplyState
    attempt: int
    leased: bool
    content: str | None
    failure: FailureReason | None
    finished: bool


QUEUED = ReplyFacts(ReplyState.QUEUED, 0, leased=False, content=None, failure=None, finished=False)
RUNNING = replace(QUEUED, state=ReplyState.RUNNING, attempt=1, leased=True)
CANCELLED = replace(QUEUED, state=ReplyState.CANCELLED, finished=True)


class World(ABC):
    """One implementation of the transactional ports and the reader, with time in the test's hands."""

    unit_of_work: UnitOfWorkFactory
    reader: Reader
    reply_files: ReplyFiles
    feedback: FeedbackStore

    @abstractmethod
    def today(self) -> date:
        """The UTC day of the database."""

    @abstractmethod
    def now(self) -> datetime:
        """The moment of the database, about."""

    @abstractmethod
    def pass_time(self, by: timedelta) -> None:
        """Make everything that is due, leased or valid for a while older."""

    @abstractmethod
    def pass_a_day(self) -> None:
        """Make what was used today the use of yesterday."""

    @abstractmethod
    def subscribe(self, user_id: UserId, subscription: Subscription) -> None:
        """Give a user a subscription."""

    @abstractmethod
    def reply(self, reply_id: ReplyId) -> ReplyFacts:
        """A reply as it is stored."""

    @abstractmethod
    def break_commit(self, work: UnitOfWork) -> None:
        """Make the commit of ``work`` fail."""

    def used(self, user_id: UserId) -> int:
        """The prompts a user has used today."""
        return self.reader.plan_status(user_id, allowances=ALLOWANCES).quota.used

    def user(self, **changes: Any) -> User:
        user = a_user(**changes)
        with self.unit_of_work() as work:
            work.users.add(user)
            work.commit()
        return user

    def room(self, user: User | None = None, **changes: Any) -> Chatroom:
        room = a_room(user or self.user(), **changes)
        with self.unit_of_work() as work:
            work.chatrooms.add(room, limit=MAX_CHATROOMS)
            if room.pinned or room.archived:
                work.chatrooms.change(room)
            work.commit()
        return room

    def ask(
        self,
        room: Chatroom,
        text: str = "Why?",
        *,
        policy: ReplyPolicy = POLICY,
        charged_on: date | None = None,
        plan: Plan = Plan.BASIC,
    ) -> QueuedReply:
        """A message that is stored, with its reply queued."""
        message = a_message(room, text)
        reply = a_reply(message, charged_on or self.today(), plan=plan, policy=policy)
        with self.unit_of_work() as work:
            work.messages.add(message)
            work.replies.add(reply)
            work.commit()
        return reply

    def ids_after(
        self, room: Chatroom, entry_id: MessageId | ReplyId, *, limit: int = 100
    ) -> list[MessageId | ReplyId]:
        """Which entries were added to a chatroom after one, as its owner reads them."""
        found = self.reader.entries_after(room.user_id, room.id, entry_id=entry_id, limit=limit)
        assert found is not None
        return [entry.reply_id if isinstance(entry, ReplyEntry) else entry.message_id for entry in found]

    def ask_again(self, earlier: QueuedReply) -> QueuedReply:
        """Another reply to the same message."""
        reply = replace(earlier, id=ReplyId(new_id()), created_at=MOMENT + timedelta(minutes=1))
        with self.unit_of_work() as work:
            work.replies.add(reply)
            work.commit()
        return reply

    def finish(self, claim: Claim, answer: Answer = ANSWER) -> bool:
        """Store an answer; whether the claim held."""
        with self.unit_of_work() as work:
            finished = work.replies.finish(claim, answer)
            work.commit()
        return finished is not None

    def postpone(self, claim: Claim, delay: timedelta, *, counted: bool = True) -> bool:
        """Have a reply tried again later; whether the claim held."""
        with self.unit_of_work() as work:
            done = work.replies.postpone(claim, delay=delay, counted=counted)
            work.commit()
        return done

    def renew_lease(self, claim: Claim, policy: ReplyPolicy = POLICY) -> bool:
        """Prolong a lease; whether the claim held."""
        with self.unit_of_work.autocommit() as work:
            return work.replies.renew_lease(claim, policy=policy)

    def release(self, claim: Claim) -> bool:
        """Hand a reply back; whether the claim held."""
        return self.postpone(claim, timedelta(), counted=False)

    def fail(self, claim: Claim, reason: FailureReason = FailureReason.REFUSED) -> Charge | None:
        """Fail a reply; its charge, if the claim held."""
        with self.unit_of_work() as work:
            charge = work.replies.fail(claim, reason)
            work.commit()
        return charge

    def stop(self, claim: Claim, partial: str = "", *, refund: bool = False) -> Charge | None:
        """Stop a reply that is written; its charge, if the claim held."""
        with self.unit_of_work() as work:
            charge = work.replies.stop(claim, partial=partial, refund=refund)
            work.commit()
        return charge

    def give_up(self, reply_id: ReplyId) -> EndedReply | None:
        """End an unfinished reply as an operator; None if it has ended."""
        with self.unit_of_work() as work:
            ended = work.replies.give_up(reply_id, FailureReason.GIVEN_UP)
            work.commit()
        return ended

    def end_three(self, room: Chatroom) -> None:
        """Three replies in a chatroom in which nothing is due: one that is done, one failed, one cancelled."""
        for _ in range(3):
            self.ask(room)
        assert self.finish(self.claim_one().claim)
        assert self.fail(self.claim_one().claim)
        assert self.stop(self.claim_one().claim)

    def answer_all(self) -> None:
        """Every reply that is due, one after the other."""
        while claimed := self.claim(limit=100):
            for reply in claimed:
                assert self.finish(reply.claim)

    def purge_removed(self, *, limit: int) -> Purged:
        """Delete one batch of what is left of removed chatrooms."""
        with self.unit_of_work() as work:
            purged = work.chatrooms.purge_removed(limit=limit)
            work.commit()
        return purged

    def overdue(self, of: UserId | None = None, *, limit: int = 100) -> set[ReplyId]:
        """Which replies are past their deadline, and in nobody's hands."""
        with self.unit_of_work() as work:
            return set(work.replies.overdue(of=of, limit=limit))

    def fail_expired(self, limit: int = 100, among: Collection[ReplyId] | None = None) -> list[EndedReply]:
        """Fail expired replies; what was ended."""
        with self.unit_of_work() as work:
            ended = list(work.replies.fail_expired(limit=limit, policy=POLICY, among=among))
            work.commit()
        return ended

    def to_be_stopped(self, reply_ids: Collection[ReplyId]) -> set[ReplyId]:
        """Which of these are to be stopped."""
        with self.unit_of_work() as work:
            return set(work.replies.to_be_stopped(reply_ids))

    def check_backlog(self, user_id: UserId, policy: ReplyPolicy) -> None:
        """Pass, or refuse one more reply."""
        with self.unit_of_work() as work:
            work.replies.check_backlog(user_id, policy=policy)

    def cancel(self, reply_id: ReplyId) -> ReplyState | EndedReply:
        with self.unit_of_work() as work:
            outcome = work.replies.cancel(reply_id)
            work.commit()
        return outcome

    def claim(self, limit: int = 10, policy: ReplyPolicy = POLICY, *, basic_first: int = 0) -> list[ClaimedReply]:
        with self.unit_of_work() as work:
            claimed = list(work.replies.claim_due(limit=limit, basic_first=basic_first, policy=policy))
            work.commit()
        return claimed

    def claim_one(self, policy: ReplyPolicy = POLICY) -> ClaimedReply:
        """Claim the one reply that is due."""
        (claimed,) = self.claim(policy=policy)
        return claimed


def ids(claimed: Collection[ClaimedReply]) -> list[ReplyId]:
    """Which replies these are."""
    return [reply.claim.reply_id for reply in claimed]


def ended_in(generation: int, reply: QueuedReply, failure: FailureReason | None = None) -> EndedReply:
    """That a reply was ended in its ``run``, why, and what it had cost."""
    return EndedReply(reply.id, generation, failure, Charge(reply.user_id, reply.charged_on))


def a_user(**changes: Any) -> User:
    """A user that is not stored yet, with a number of their own."""
    user = User(
        id=UserId(new_id()),
        phone=PhoneNumber(f"+91{next(_phones)}"),
        name="Asha",
        email="asha@example.org",
        password_hash="$2b$…",
        created_at=MOMENT,
        verified_at=None,
    )
    return replace(user, **changes)


def a_session(user: User, **changes: Any) -> Session:
    """A login that is not stored yet."""
    now = datetime.now(UTC)
    session = Session(SessionId(new_id()), user.id, LoginMethod.OTP, now, now + timedelta(days=1))
    return replace(session, **changes)


def a_room(user: User, **changes: Any) -> Chatroom:
    """A chatroom that is not stored yet."""
    room = Chatroom(ChatroomId(new_id()), user.id, "Physics", None, MOMENT, MOMENT)
    return replace(room, **changes)


def a_message(room: Chatroom, text: str = "Why?", **changes: Any) -> Message:
    """A message that is not stored yet."""
    message = Message(MessageId(new_id()), room.id, room.user_id, text, MOMENT)
    return replace(message, **changes)


def a_reply(
    message: Message, charged_on: date, *, plan: Plan = Plan.BASIC, policy: ReplyPolicy = POLICY
) -> QueuedReply:
    """A reply to a message that is not stored yet."""
    quota = DailyQuota(charged_on, used=1, limit=ALLOWANCES[plan].daily_prompts, plan=plan)
    return QueuedReply.to(message, id=ReplyId(new_id()), quota=quota, at=message.created_at, policy=policy)


class MemoryWorld(World):
    def __init__(self) -> None:
        # The machine's time: sessions are made with it.
        self._clock = SettableClock(datetime.now(UTC))
        self._database = MemoryDatabase(self._clock)
        self.unit_of_work = MemoryUnitOfWorkFactory(self._database)
        self.reader = MemoryReader(self._database)
        self.reply_files = MemoryReplyFiles(self._database)
        self.feedback = MemoryFeedbackStore(self._database)

    def today(self) -> date:
        return self._clock().date()

    def now(self) -> datetime:
        return self._clock()

    def pass_time(self, by: timedelta) -> None:
        self._clock.advance(by)

    def pass_a_day(self) -> None:
        """Move the rows, as in SQL, so that the day of the test stays the same."""
        usage = self._database.tables.daily_usage
        moved = {(user_id, day - timedelta(days=1)): used for (user_id, day), used in usage.items()}
        usage.clear()
        usage.update(moved)

    def subscribe(self, user_id: UserId, subscription: Subscription) -> None:
        self._database.tables.subscriptions[user_id] = subscription

    def reply(self, reply_id: ReplyId) -> ReplyFacts:
        row = self._database.tables.replies[reply_id]
        return ReplyFacts(
            row.state, row.attempt, row.lease_token is not None, row.content, row.failure, row.finished_at is not None
        )

    def break_commit(self, work: UnitOfWork) -> None:
        assert isinstance(work, MemoryUnitOfWork)
        work._transaction._database = _BrokenDatabase(self._clock)


class _BrokenDatabase(MemoryDatabase):
    def commit(self, tables: Tables) -> None:
        raise DependencyDown("database")


class SqlWorld(World):
    def __init__(self, database: Database) -> None:
        self.database = database
        self.unit_of_work = SqlUnitOfWorkFactory(database)
        self.reader = SqlReader(database)
        self.reply_files = SqlReplyFiles(database)
        self.feedback = SqlFeedbackStore(database)

    def today(self) -> date:
        day: date = self._rows("SELECT (now() AT TIME ZONE 'utc')::date")[0][0]
        return day

    def now(self) -> datetime:
        return datetime.now(UTC)

    def pass_time(self, by: timedelta) -> None:
        """Shift the rows: the server's clock is not ours to move."""
        self._run(
            "UPDATE replies SET available_at = available_at - %(by)s, deadline = deadline - %(by)s,"
            " lease_until = lease_until - %(by)s, finished_at = finished_at - %(by)s",
            by=by,
        )
        self._run("UPDATE sessions SET expires_at = expires_at - %(by)s", by=by)
        self._run("UPDATE idempotency_keys SET created_at = created_at - %(by)s", by=by)

    def pass_a_day(self) -> None:
        self._run("UPDATE daily_usage SET day = day - 1")

    def subscribe(self, user_id: UserId, subscription: Subscription) -> None:
        self._run(
            "INSERT INTO subscriptions (user_id, status, current_period_end, cancel_at_period_end)"
            " VALUES (%(user_id)s, %(status)s, %(end)s, %(cancel)s)"
            " ON CONFLICT (user_id) DO UPDATE SET status = %(status)s, current_period_end = %(end)s,"
            " cancel_at_period_end = %(cancel)s",
            user_id=user_id,
            status=subscription.status.value,
            end=subscription.current_period_end,
            cancel=subscription.cancel_at_period_end,
        )

    def reply(self, reply_id: ReplyId) -> ReplyFacts:
        ((state, attempt, leased, content, failure, finished),) = self._rows(
            "SELECT state, attempt, lease_token IS NOT NULL, content, failure, finished_at IS NOT NULL"
            " FROM replies WHERE id = %(id)s",
            id=reply_id,
        )
        reason = FailureReason(failure) if failure else None
        return ReplyFacts(ReplyState(state), attempt, leased, content, reason, finished)

    def waiting_for(self, kind: str) -> int:
        """How many wait for a lock of this kind."""
        waiting = "SELECT count(*)::int FROM pg_locks WHERE NOT granted AND locktype = %(kind)s"
        count: int = self._rows(waiting, kind=kind)[0][0]
        return count

    def break_commit(self, work: UnitOfWork) -> None:
        assert isinstance(work, SqlUnitOfWork)
        self._run("SELECT pg_terminate_backend(%(pid)s, 5000)", pid=work._transaction.connection.info.backend_pid)

    def _run(self, statement: str, **values: Any) -> None:
        with self.database.read() as cursor:
            cursor.execute(statement, values)

    def _rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.database.read() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()


@contextmanager
def sql_world(database_url: str, *, sessions_are_shared: bool = False) -> Iterator[SqlWorld]:
    """A world with connections for all threads of a test."""
    pool = make_pool(database_url, size=THREADS + 2, application_name="tests", sessions_are_shared=sessions_are_shared)
    database = Database(pool)
    try:
        yield SqlWorld(database)
    finally:
        database.close()


def shown(text: str) -> str:
    """A text as the id of a test."""
    return ascii(text[:16]) + (f" of {len(text)}" if len(text) > 16 else "")
