"""What is only read: one statement per question, the columns of the answer, no entities.

Every method raises DependencyDown("database") when the database does not answer.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from application.ports.language_model import Exchange
from domain.accounts import LoginMethod, Principal, SessionId, UserId
from domain.billing import Subscription
from domain.chat import ChatroomId, MessageId
from domain.plans import Allowances, DailyQuota, Plan
from domain.replies import FailureReason, ReplyId, ReplyState


class Profile(NamedTuple):
    """A user as the user sees it."""

    id: UserId
    phone: str
    name: str | None
    email: str | None
    created_at: datetime
    plan: Plan
    quota: DailyQuota


class PlanStatus(NamedTuple):
    """What a user has and how much of it is used. ``subscription`` None: never had one."""

    plan: Plan
    subscription: Subscription | None
    quota: DailyQuota


class SessionSummary(NamedTuple):
    """A session in a list. ``last_used_at`` is to within the life of an access token."""

    id: SessionId
    method: LoginMethod
    device: str | None
    started_at: datetime
    last_used_at: datetime
    expires_at: datetime


class ChatroomSummary(NamedTuple):
    """A chatroom in a list."""

    id: ChatroomId
    name: str
    created_at: datetime
    updated_at: datetime


class RoomPage(NamedTuple):
    """Some chatrooms, newest first; ``next_before``: where the next page begins, None on the last."""

    rooms: Sequence[ChatroomSummary]
    next_before: ChatroomId | None


class Turn(NamedTuple):
    """A message and the newest reply to it."""

    message_id: MessageId
    content: str
    sent_at: datetime
    reply_id: ReplyId
    reply_state: ReplyState
    generation: int
    reply_content: str | None
    reply_created_at: datetime
    finished_at: datetime | None
    model: str | None
    failure: FailureReason | None
    truncated: bool
    input_tokens: int | None
    output_tokens: int | None


class Conversation(NamedTuple):
    """A chatroom and a page of its turns, oldest first; ``next_before``: the older ones, None where there are none."""

    id: ChatroomId
    name: str
    system_prompt: str | None
    created_at: datetime
    updated_at: datetime
    turns: Sequence[Turn]
    next_before: MessageId | None


class Entry(NamedTuple):
    """A turn by the id of its message or of one of its replies. ``replies``: all of them, oldest first."""

    chatroom_id: ChatroomId
    turn: Turn
    replies: Sequence[ReplyId]


class Reader(Protocol):
    """The questions the doors ask."""

    def principal(self, session_id: SessionId) -> Principal | None:
        """Who a session belongs to; None when it has ended or never was."""

    def sessions(self, user_id: UserId) -> Sequence[SessionSummary]:
        """A user's sessions that are going on, the newest first; at most a hundred."""

    def profile(self, user_id: UserId, *, allowances: Allowances) -> Profile | None:
        """A user with plan and today's use."""

    def principal_with_profile(
        self, session_id: SessionId, *, allowances: Allowances
    ) -> tuple[Principal, Profile] | None:
        """Who a session belongs to, and their profile: one question costs half of two. None as for ``principal``."""

    def plan_status(self, user_id: UserId, *, allowances: Allowances) -> PlanStatus:
        """Plan, subscription and today's use of a user."""

    def rooms(self, user_id: UserId, *, limit: int, before: ChatroomId | None) -> RoomPage:
        """A user's chatrooms, newest first, those older than ``before``."""

    def conversation(
        self, user_id: UserId, chatroom_id: ChatroomId, *, turns: int, before: MessageId | None
    ) -> Conversation | None:
        """The newest ``turns`` turns older than ``before``; None unless the chatroom is this user's."""

    def turns_from(
        self, user_id: UserId, chatroom_id: ChatroomId, *, entry_id: MessageId | ReplyId, turns: int
    ) -> Sequence[Turn] | None:
        """The turn of the entry and those after it, oldest first; None unless the chatroom is this user's."""

    def entry(self, user_id: UserId, entry_id: MessageId | ReplyId) -> Entry | None:
        """The turn with the reply asked for, or with the newest when a message was; None unless it is this user's."""

    def history(self, chatroom_id: ChatroomId, *, before: MessageId, turns: int) -> Sequence[Exchange]:
        """The answered turns before a message, newest first."""
