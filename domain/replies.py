"""The life of a reply: QUEUED -> RUNNING -> DONE | FAILED | CANCELLED.

A worker may write to a RUNNING reply only while it holds the lease, proven by the fencing token it was given when it
claimed the reply (M. Kleppmann, "How to do distributed locking"): a worker that was paused for longer than its lease
finds another token in the row, and writes nothing.
"""

from dataclasses import dataclass, replace
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
    MODEL_MISCONFIGURED = "model_misconfigured"
    PROMPT_TOO_LONG = "prompt_too_long"
    REFUSED = "refused"
    ANSWER_INTERRUPTED = "answer_interrupted"
    EMPTY_ANSWER = "empty_answer"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    GIVEN_UP = "given_up"
    NOT_STORABLE = "not_storable"


# The provider does not work at the moment, whatever it is asked.
PROVIDER_DOWN = frozenset({FailureReason.MODEL_BUSY, FailureReason.MODEL_UNREACHABLE})

# Another attempt may succeed after these; the other failures are final.
RETRYABLE = PROVIDER_DOWN | {FailureReason.ANSWER_INTERRUPTED, FailureReason.EMPTY_ANSWER}

# UTF-8; a hundred times what models write at most today.
ANSWER_MAX_BYTES = 1_000_000

# Two seconds doubled so often are longer than any deadline. The bound keeps 2 ** attempts from overflowing.
MAX_DOUBLINGS = 16
# A busy provider that says nothing of a time is asked again after as long as the message has waited, but after this.
LONGEST_BUSY_WAIT = timedelta(seconds=16)


class AnswerFailed(Exception):
    """The language model gave no answer.

    ``retry_after``: how long the provider asks to wait, if it said so. ``asked`` False: the provider was not called,
    because it is known to be down; then no attempt is used up. ``quota_spent``: the provider says that the model's
    quota of a day is used up, or is none. ``status``, ``code`` and ``model``: the provider's HTTP status, its
    machine-readable words for the failure, and the name of the model that was asked, where they are known.
    """

    def __init__(
        self,
        reason: FailureReason,
        *,
        retry_after: timedelta | None = None,
        asked: bool = True,
        quota_spent: bool = False,
        status: int | None = None,
        code: str | None = None,
        model: str | None = None,
    ) -> None:
        # Not the provider's own text, which may quote the prompt.
        super().__init__(reason.value)
        self.reason = reason
        self.retry_after = retry_after
        self.asked = asked
        self.quota_spent = quota_spent
        self.status = status
        self.code = code
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


# One of so many of a worker's slots is kept for Basic, and one user's replies take at most one of so many.
BASIC_SHARE = 5
USER_SHARE = 4


def basic_places(slots: int, *, turn: int) -> int:
    """How many of a worker's ``slots`` are Basic's before they are Pro's: a fifth.

    Rounded so that it is a fifth over five turns, also of one slot. Basic may have any of the others that Pro leaves.
    """
    return slots * (turn + 1) // BASIC_SHARE - slots * turn // BASIC_SHARE


@dataclass(frozen=True, slots=True)
class Slots:
    """How many replies a worker may write at once: in all, and those that are ``free``.

    ``basic``: how many of the others are Basic's. ``turn``: how many claims the worker has made.
    """

    total: int
    free: int
    basic: int = 0
    turn: int = 0

    @property
    def kept_for_basic(self) -> int:
        """The free ones that Pro gets only if Basic does not want them."""
        return max(basic_places(self.total, turn=self.turn) - self.basic, 0)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write to a running reply: its id and the fencing token of this attempt."""

    reply_id: ReplyId
    lease_token: UUID


@dataclass(frozen=True, slots=True)
class ClaimedReply:
    """A reply that one worker has claimed.

    ``attempt`` counts from 1, this one included; attempts that were handed back do not count. ``generation`` counts
    every claim: the texts of two generations have nothing to do with each other. ``urgent``: it is Pro's.
    ``seconds_left`` to the deadline. ``seconds_queued`` since it might have been claimed.
    """

    claim: Claim
    message_id: MessageId
    chatroom_id: ChatroomId
    user_id: UserId
    attempt: int
    generation: int
    urgent: bool
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

    def shared(self, slots: int) -> "ReplyPolicy":
        """The policy of a worker with so many slots: one user's replies run in a quarter of them, or in one."""
        return replace(self, user_concurrency=min(self.user_concurrency, max(slots // USER_SHARE, 1)))

    def after_failure(self, failure: AnswerFailed, reply: ClaimedReply) -> TryAgain | GiveUp:
        """What to do after attempt number ``reply.attempt`` has failed."""
        if failure.reason not in RETRYABLE:
            return GiveUp(failure.reason)
        # A busy provider turns calls away before the model is asked: the deadline ends that, and not attempts.
        turned_away = failure.reason is FailureReason.MODEL_BUSY and not failure.quota_spent
        counted = failure.asked and not turned_away
        if counted and reply.attempt >= self.max_attempts:
            return GiveUp(failure.reason)
        if failure.quota_spent and (failure.retry_after is None or reply.attempt > 1):
            # Providers also call quotas daily that are back in half a minute, and say so: that is believed once.
            return GiveUp(failure.reason)
        backoff = self.first_backoff
        if counted:
            backoff *= 2 ** min(reply.attempt - 1, MAX_DOUBLINGS)
        elif failure.asked and failure.retry_after is None:
            waited = self.deadline - timedelta(seconds=reply.seconds_left)
            backoff = max(backoff, min(waited, LONGEST_BUSY_WAIT))
        delay = max(failure.retry_after or timedelta(), backoff)
        # The next attempt would begin after the deadline, so the reply fails now.
        if delay >= timedelta(seconds=reply.seconds_left):
            return GiveUp(failure.reason)
        return TryAgain(delay, counted=counted)
