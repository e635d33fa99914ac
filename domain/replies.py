"""The life of a reply: QUEUED -> RUNNING -> DONE | FAILED | CANCELLED.

A worker may write to a RUNNING reply only while it holds the lease, proven by the fencing token it was given when it
claimed the reply (M. Kleppmann, "How to do distributed locking"): a worker that was stopped past its lease and wakes
up finds that its token is no longer the one in the row.
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
    """Where a reply is in its life. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether it stays so."""
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


# What trying again cannot change is not tried again.
RETRYABLE = frozenset({FailureReason.MODEL_BUSY, FailureReason.MODEL_UNREACHABLE})

# Two seconds doubled so often are a day: more than any deadline, and no overflow however many attempts are allowed.
MAX_DOUBLINGS = 16


class AnswerFailed(Exception):
    """The language model gave no answer.

    ``retry_after`` is the provider's own wish, where it had one. ``asked`` False: the provider was not even asked,
    since it is known to be down; then nothing was tried and no attempt is used up.
    """

    def __init__(self, reason: FailureReason, *, retry_after: timedelta | None = None, asked: bool = True) -> None:
        """Keep the reason; no text of the provider, which may quote the prompt."""
        super().__init__(reason.value)
        self.reason = reason
        self.retry_after = retry_after
        self.asked = asked


@dataclass(frozen=True, slots=True)
class Answer:
    """What the language model said. ``truncated``: it ran into its output limit."""

    text: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class QueuedReply:
    """A reply that was promised when its message was accepted. ``charged_on``: the UTC day whose quota paid for it."""

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
        """A reply that ``message`` will get, or fail to get, within the policy's deadline; ``quota`` paid for it."""
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
    """A reply handed to one worker.

    ``attempt`` counts from 1, this one included; an attempt that was handed back does not count. ``run`` counts every
    claim: texts of two runs are two texts. ``seconds_left`` to the deadline.
    """

    claim: Claim
    message_id: MessageId
    chatroom_id: ChatroomId
    attempt: int
    generation: int
    prompt: str
    system_prompt: str | None
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One prompt of a user's quota of one UTC day, to be given back."""

    user_id: UserId
    day: date


@dataclass(frozen=True, slots=True)
class EndedReply:
    """A reply that has ended without its worker: in which generation, and what is to be given back for it."""

    reply_id: ReplyId
    generation: int
    charge: Charge


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The attempt failed and another may succeed after ``delay``. ``counted`` False: it was no attempt at all."""

    delay: timedelta
    counted: bool = True


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The reply has failed for good."""

    reason: FailureReason


@dataclass(frozen=True, slots=True)
class ReplyPolicy:
    """How long and how often a reply is tried, and how many at once.

    ``lease``: how long a worker that went silent keeps a reply from the others. ``deadline``: after which an
    unanswered message has failed. ``first_backoff`` doubles with each attempt. ``user_concurrency``: running replies of
    one user. ``user_backlog``, ``backlog``: unfinished replies of one user, and of all, beyond which none is accepted.
    """

    lease: timedelta = timedelta(seconds=60)
    max_attempts: int = 3
    deadline: timedelta = timedelta(seconds=300)
    first_backoff: timedelta = timedelta(seconds=2)
    user_concurrency: int = 2
    user_backlog: int = 100
    backlog: int = 10_000

    def time_for_the_model(self, reply: ClaimedReply) -> timedelta:
        """What a call may take in all: it must end well before the lease and not after the deadline."""
        return min(self.lease * 0.8, timedelta(seconds=reply.seconds_left))

    def after_failure(self, failure: AnswerFailed, reply: ClaimedReply) -> TryAgain | GiveUp:
        """What to do when attempt number ``reply.attempt`` has failed."""
        if failure.reason not in RETRYABLE:
            return GiveUp(failure.reason)
        if failure.asked and reply.attempt >= self.max_attempts:
            return GiveUp(failure.reason)
        backoff: timedelta = self.first_backoff * 2 ** min(reply.attempt - 1, MAX_DOUBLINGS)
        delay = max(failure.retry_after or timedelta(), backoff if failure.asked else self.first_backoff)
        # A wait that ends after the deadline can only end in failure: say so now.
        if delay >= timedelta(seconds=reply.seconds_left):
            return GiveUp(failure.reason)
        return TryAgain(delay, counted=failure.asked)
