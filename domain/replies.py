"""The life of a reply: QUEUED -> RUNNING -> DONE | FAILED | CANCELLED.

A worker may write to a RUNNING reply only while it holds the lease, proven by the fencing token it was given when it
claimed the reply (M. Kleppmann, "How to do distributed locking"): a worker that was paused for longer than its lease
finds another token in the row, and writes nothing.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NewType
from uuid import UUID

from domain.accounts import UserId
from domain.chat import ChatroomId, Message, MessageId
from domain.plans import DailyQuota, Plan

ReplyId = NewType("ReplyId", UUID)


class ReplyState(StrEnum):
    """The last three states are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self not in {ReplyState.QUEUED, ReplyState.RUNNING}


class FailureReason(StrEnum):
    """Why a reply failed; the ``error.code`` of the API."""

    MODEL_BUSY = "model_busy"
    MODEL_UNREACHABLE = "model_unreachable"
    MODEL_REJECTED_REQUEST = "model_rejected_request"
    MODEL_NOT_FOUND = "model_not_found"
    REFUSED = "refused"
    EMPTY_ANSWER = "empty_answer"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    GIVEN_UP = "given_up"
    NOT_STORABLE = "not_storable"


# Another attempt may succeed after these; the other failures are final.
RETRYABLE = frozenset({FailureReason.MODEL_BUSY, FailureReason.MODEL_UNREACHABLE})

# UTF-8; a hundred times what models write at most today.
ANSWER_MAX_BYTES = 1_000_000

# Two seconds doubled so often are longer than any deadline. The bound keeps 2 ** attempts from overflowing.
MAX_DOUBLINGS = 16


class AnswerFailed(Exception):
    """The language model gave no answer.

    ``retry_after``: how long the provider asks to wait, if it said so. ``asked`` False: the provider was not called,
    because it is known to be down; then no attempt is used up. ``status`` and ``model``: the provider's HTTP status and
    the name of the model that was asked, where they are known.
    """

    def __init__(
        self,
        reason: FailureReason,
        *,
        retry_after: timedelta | None = None,
        asked: bool = True,
        status: int | None = None,
        model: str | None = None,
    ) -> None:
        # Not the provider's own text, which may quote the prompt.
        super().__init__(reason.value)
        self.reason = reason
        self.retry_after = retry_after
        self.asked = asked
        self.status = status
        self.model = model


class AnswerOverdue(AnswerFailed):
    """The time limit ended a call that the provider had begun to answer, which says nothing against the provider."""

    def __init__(self) -> None:
        super().__init__(FailureReason.MODEL_UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the language model. ``truncated``: it was cut off at the model's output limit, or at ours."""

    text: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class QueuedReply:
    """A reply to a message that was accepted.

    ``charged_on``: the UTC day whose quota was charged. ``answer_within``: the time until its deadline. ``urgent``:
    claimed before others.
    """

    id: ReplyId
    message_id: MessageId
    chatroom_id: ChatroomId
    user_id: UserId
    charged_on: date
    created_at: datetime
    answer_within: timedelta
    urgent: bool

    @classmethod
    def to(
        cls, message: Message, *, id: ReplyId, quota: DailyQuota, at: datetime, policy: "ReplyPolicy"
    ) -> "QueuedReply":
        """A reply to ``message``, charged to ``quota``."""
        return cls(
            id=id,
            message_id=message.id,
            chatroom_id=message.chatroom_id,
            user_id=message.user_id,
            charged_on=quota.day,
            created_at=at,
            answer_within=policy.deadline,
            urgent=quota.plan is Plan.PRO,
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write to a running reply: its id and the fencing token of this attempt."""

    reply_id: ReplyId
    lease_token: UUID


@dataclass(frozen=True, slots=True)
class ClaimedReply:
    """A reply that one worker has claimed.

    ``attempt`` counts from 1, this one included; attempts that were handed back do not count. ``generation`` counts
    every claim: the texts of two generations have nothing to do with each other. ``seconds_left`` to the deadline.
    ``seconds_queued`` since it might have been claimed.
    """

    claim: Claim
    message_id: MessageId
    chatroom_id: ChatroomId
    attempt: int
    generation: int
    prompt: str
    system_prompt: str | None
    seconds_left: float
    seconds_queued: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One prompt charged to a user's quota of one UTC day."""

    user_id: UserId
    day: date


@dataclass(frozen=True, slots=True)
class EndedReply:
    """A reply that ended without a worker, its last generation, and the charge to refund.

    ``failure``: why it failed; None for one that was cancelled.
    """

    reply_id: ReplyId
    generation: int
    failure: FailureReason | None
    charge: Charge


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Another attempt may succeed after ``delay``. ``counted`` False: the failed one does not count."""

    delay: timedelta
    counted: bool = True


@dataclass(frozen=True, slots=True)
class GiveUp:
    reason: FailureReason


@dataclass(frozen=True, slots=True)
class ReplyPolicy:
    """Limits on attempts, times and numbers of replies.

    ``lease``: so long after its last renewal a claimed reply may be claimed by another worker. ``deadline``: after so
    long an unanswered message fails. ``first_backoff`` doubles with each attempt. ``user_concurrency``: running replies
    of one user. ``user_backlog``, ``backlog``: unfinished replies of one user, and of all users, at which no more are
    accepted. ``user_messages``: messages of one user that are kept, at which no more are accepted.
    """

    lease: timedelta = timedelta(seconds=60)
    max_attempts: int = 3
    deadline: timedelta = timedelta(seconds=300)
    first_backoff: timedelta = timedelta(seconds=2)
    user_concurrency: int = 2
    user_backlog: int = 100
    backlog: int = 10_000
    user_messages: int = 100_000

    @property
    def renew_lease_after(self) -> timedelta:
        return self.lease / 3

    def after_failure(self, failure: AnswerFailed, reply: ClaimedReply) -> TryAgain | GiveUp:
        """What to do after attempt number ``reply.attempt`` has failed."""
        if failure.reason not in RETRYABLE:
            return GiveUp(failure.reason)
        if failure.asked and reply.attempt >= self.max_attempts:
            return GiveUp(failure.reason)
        backoff: timedelta = self.first_backoff * 2 ** min(reply.attempt - 1, MAX_DOUBLINGS)
        delay = max(failure.retry_after or timedelta(), backoff if failure.asked else self.first_backoff)
        # The next attempt would begin after the deadline, so the reply fails now.
        if delay >= timedelta(seconds=reply.seconds_left):
            return GiveUp(failure.reason)
        return TryAgain(delay, counted=failure.asked)
