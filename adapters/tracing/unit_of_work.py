"""Spans of accepting a message and of storing an outcome, around the transactions in which they happen."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TypeVar

from opentelemetry.trace import Link, SpanContext, get_current_span

from adapters.tracing.reply_traces import REPLY_ID, ReplyTraces
from application.ports.acceptance import Acceptance, AcceptedMessage
from application.ports.audit import AuditTrail
from application.ports.billing_work import BillingWork
from application.ports.chatrooms import Chatrooms
from application.ports.erasure import Erasure
from application.ports.idempotency import IdempotencyKeys
from application.ports.messages import Messages
from application.ports.refresh_tokens import RefreshChains
from application.ports.replies import Finished, Replies
from application.ports.sessions import Sessions
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from application.ports.usage import Usage
from application.ports.users import Users
from domain.accounts import UserId
from domain.chat import ChatroomId, Message
from domain.plans import Allowances
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

ACCEPT = "accept message"
STORE = "store outcome"
STATE = "gemini_chat.reply_state"

T = TypeVar("T")
Queued = Callable[[ReplyId, SpanContext], None]


class TracedAcceptance(Acceptance):
    def __init__(self, acceptance: Acceptance, traces: ReplyTraces, queued: Queued) -> None:
        self._acceptance = acceptance
        self._traces = traces
        self._queued = queued

    def accept(
        self, message: Message, reply_id: ReplyId, *, allowances: Allowances, policy: ReplyPolicy
    ) -> AcceptedMessage:
        with _accepting(self._traces, reply_id, self._queued):
            return self._acceptance.accept(message, reply_id, allowances=allowances, policy=policy)


class TracedReplies(Replies):
    """Storing an outcome is a span within an attempt; so a worker that hands replies back makes none."""

    def __init__(self, replies: Replies, traces: ReplyTraces, queued: Queued) -> None:
        self._replies = replies
        self._traces = traces
        self._queued = queued

    def add(self, reply: QueuedReply) -> None:
        with _accepting(self._traces, reply.id, self._queued):
            self._replies.add(reply)

    def finish(self, claim: Claim, answer: Answer) -> Finished | None:
        return self._stored(ReplyState.DONE, lambda: self._replies.finish(claim, answer))

    def postpone(self, claim: Claim, *, delay: timedelta, counted: bool) -> bool:
        return self._stored(ReplyState.QUEUED, lambda: self._replies.postpone(claim, delay=delay, counted=counted))

    def fail(self, claim: Claim, reason: FailureReason) -> Charge | None:
        return self._stored(ReplyState.FAILED, lambda: self._replies.fail(claim, reason))

    def stop(self, claim: Claim, *, partial: str, refund: bool) -> Charge | None:
        return self._stored(ReplyState.CANCELLED, lambda: self._replies.stop(claim, partial=partial, refund=refund))

    def _stored(self, state: ReplyState, store: Callable[[], T]) -> T:
        with self._traces.step(STORE) as span:
            written = store()
            span.set_attribute(STATE, state.value if written else "fenced")
            return written

    def check_backlog(self, user_id: UserId, *, policy: ReplyPolicy) -> None:
        self._replies.check_backlog(user_id, policy=policy)

    def claim_due(self, *, limit: int, basic_first: int, policy: ReplyPolicy) -> Sequence[ClaimedReply]:
        return self._replies.claim_due(limit=limit, basic_first=basic_first, policy=policy)

    def renew_lease(self, claim: Claim, *, policy: ReplyPolicy) -> bool:
        return self._replies.renew_lease(claim, policy=policy)

    def cancel(self, reply_id: ReplyId) -> ReplyState | EndedReply:
        return self._replies.cancel(reply_id)

    def not_begun_in(self, chatroom_id: ChatroomId) -> Sequence[Charge]:
        return self._replies.not_begun_in(chatroom_id)

    def to_be_stopped(self, reply_ids: Collection[ReplyId]) -> Collection[ReplyId]:
        return self._replies.to_be_stopped(reply_ids)

    def overdue(self, *, of: UserId | None, limit: int) -> Sequence[ReplyId]:
        return self._replies.overdue(of=of, limit=limit)

    def give_up(self, reply_id: ReplyId, reason: FailureReason) -> EndedReply | None:
        return self._replies.give_up(reply_id, reason)

    def fail_expired(
        self, *, limit: int, policy: ReplyPolicy, among: Collection[ReplyId] | None = None
    ) -> Sequence[EndedReply]:
        return self._replies.fail_expired(limit=limit, policy=policy, among=among)


@contextmanager
def _accepting(traces: ReplyTraces, reply_id: ReplyId, queued: Queued) -> Iterator[None]:
    # The link shows the reply's trace, which begins once the transaction is committed.
    link = Link(traces.first_span_of(reply_id))
    with traces.step(ACCEPT, {REPLY_ID: str(reply_id)}, links=(link,)):
        yield
        queued(reply_id, get_current_span().get_span_context())


class TracedUnitOfWork(UnitOfWork):
    def __init__(self, work: UnitOfWork, traces: ReplyTraces) -> None:
        self._work = work
        self._traces = traces
        self._queued: list[tuple[ReplyId, SpanContext]] = []

    @cached_property
    def acceptance(self) -> TracedAcceptance:
        return TracedAcceptance(self._work.acceptance, self._traces, self._note)

    @cached_property
    def replies(self) -> TracedReplies:
        return TracedReplies(self._work.replies, self._traces, self._note)

    def commit(self) -> None:
        self._work.commit()
        self.committed()

    def committed(self) -> None:
        """The traces of the replies that were queued begin."""
        queued, self._queued = self._queued, []
        for reply_id, accepted in queued:
            self._traces.begin(reply_id, accepted)

    def _note(self, reply_id: ReplyId, accepted: SpanContext) -> None:
        self._queued.append((reply_id, accepted))

    @property
    def users(self) -> Users:
        return self._work.users

    @property
    def sessions(self) -> Sessions:
        return self._work.sessions

    @property
    def chatrooms(self) -> Chatrooms:
        return self._work.chatrooms

    @property
    def messages(self) -> Messages:
        return self._work.messages

    @property
    def usage(self) -> Usage:
        return self._work.usage

    @property
    def refresh_chains(self) -> RefreshChains:
        return self._work.refresh_chains

    @property
    def audit(self) -> AuditTrail:
        return self._work.audit

    @property
    def erasure(self) -> Erasure:
        return self._work.erasure

    @property
    def idempotency_keys(self) -> IdempotencyKeys:
        return self._work.idempotency_keys

    @property
    def billing(self) -> BillingWork:
        return self._work.billing


class TracedUnitOfWorkFactory(UnitOfWorkFactory):
    def __init__(self, unit_of_work: UnitOfWorkFactory, traces: ReplyTraces) -> None:
        self._unit_of_work = unit_of_work
        self._traces = traces

    @contextmanager
    def __call__(self) -> Iterator[TracedUnitOfWork]:
        with self._unit_of_work() as work:
            yield TracedUnitOfWork(work, self._traces)

    @contextmanager
    def autocommit(self) -> Iterator[TracedUnitOfWork]:
        with self._unit_of_work.autocommit() as work:
            traced = TracedUnitOfWork(work, self._traces)
            yield traced
        traced.committed()
