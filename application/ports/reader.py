"""Queries (CQRS): one statement each, which selects the columns of the answer and builds no entities.

Every method raises DependencyDown("database") when the database does not answer.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from application.ports.language_model import Exchange
from domain.accounts import LoginMethod, Principal, SessionId, UserId
from domain.billing import Subscription
from domain.chat import ChatroomId, MessageId
from domain.feedback import Feedback
from domain.plans import Allowances, DailyQuota, Plan
from domain.replies import FailureReason, ReplyId, ReplyState


class Profile(NamedTuple):
    """A user's own account with plan and today's use."""

    id: UserId
    phone: str
    name: str | None
    email: str | None
    created_at: datetime
    plan: Plan
    quota: DailyQuota


class PlanStatus(NamedTuple):
    """A user's plan and quota. ``subscription`` None: the user never had one.

    ``granted_until``: the end of an operator's grant of Pro; None: none holds.
    """

    plan: Plan
    subscription: Subscription | None
    quota: DailyQuota
    granted_until: datetime | None = None


class SessionSummary(NamedTuple):
    """A session in a list. ``last_used_at``: the login or the last refresh."""

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
    pinned: bool
    archived: bool


class RoomCursor(NamedTuple):
    """A place in a list of chatrooms: behind the one with this id. ``pinned``: it stands among the pinned ones."""

    id: ChatroomId
    pinned: bool = False


class RoomPage(NamedTuple):
    """A page of chatrooms. ``next_before``: the cursor of the next page; None on the last one."""

    rooms: Sequence[ChatroomSummary]
    next_before: RoomCursor | None


class MessageEntry(NamedTuple):
    """A message by itself."""

    message_id: MessageId
    content: str
    sent_at: datetime


class ReplyEntry(NamedTuple):
    """A reply by itself. ``overdue``: it is unfinished past its deadline, and no worker holds it."""

    message_id: MessageId
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
    overdue: bool
    feedback: Feedback | None


# A page has at least one entry, and ends as soon as its replies have so many bytes. One reply more may go beyond that.
PAGE_MAX_BYTES = 2_000_000


class Turn(NamedTuple):
    """A message and one reply to it. ``latest_id``: the newest reply, if that is another one, with its state.

    In a conversation the reply is the one that shows: the newest that is done; if none is, the newest that was stopped
    and has text; or else the newest. ``overdue``: the reply or the newest one is unfinished past its deadline, and no
    worker holds it.
    """

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
    latest_id: ReplyId | None
    latest_state: ReplyState | None
    latest_failure: FailureReason | None
    overdue: bool
    feedback: Feedback | None

    @property
    def replies(self) -> Sequence[ReplyId]:
        """The reply and the newest one."""
        return [self.reply_id] if self.latest_id is None else [self.reply_id, self.latest_id]


class Conversation(NamedTuple):
    """A chatroom and a page of its turns, oldest first. ``next_before``: the cursor of older ones, None if none."""

    id: ChatroomId
    name: str
    system_prompt: str | None
    created_at: datetime
    updated_at: datetime
    pinned: bool
    archived: bool
    turns: Sequence[Turn]
    next_before: MessageId | None


class Entry(NamedTuple):
    """The turn of a message or a reply. ``replies``: the ids of all replies to the message, oldest first."""

    chatroom_id: ChatroomId
    turn: Turn
    replies: Sequence[ReplyId]


class ReplyPage(NamedTuple):
    """Replies to one message, oldest first. ``next_after``: the cursor of the next page; None on the last one."""

    chatroom_id: ChatroomId
    replies: Sequence[ReplyEntry]
    next_after: ReplyId | None


class Reader(Protocol):
    def principal(self, session_id: SessionId) -> Principal | None:
        """The principal of a session; None when it has ended or does not exist."""

    def is_locked(self, user_id: UserId) -> bool:
        """Whether the account is locked; False, too, when there is none."""

    def sessions(self, user_id: UserId) -> Sequence[SessionSummary]:
        """A user's sessions that have not ended, newest first; at most a hundred."""

    def profile(self, user_id: UserId, *, allowances: Allowances) -> Profile | None: ...

    def principal_with_profile(
        self, session_id: SessionId, *, allowances: Allowances
    ) -> tuple[Principal, Profile] | None:
        """``principal`` and ``profile`` in one query, for half the cost. None as for ``principal``."""

    def principal_with_list_version(self, session_id: SessionId) -> tuple[Principal, int] | None:
        """``principal`` and the version of the user's list of chatrooms in one query. None as for ``principal``.

        A list has another version after each change that ``rooms`` shows: a chatroom of the user's is added, removed,
        renamed, pinned or archived, or another system prompt makes it newer. A version never comes again.
        """

    def principal_with_conversation(
        self, session_id: SessionId, *, chatroom_id: ChatroomId, turns: int, before: MessageId | None
    ) -> tuple[Principal, Conversation | None] | None:
        """``principal`` and the user's ``conversation`` in one query. None as for ``principal``."""

    def plan_status(self, user_id: UserId, *, allowances: Allowances) -> PlanStatus: ...

    def rooms(
        self, user_id: UserId, *, limit: int, before: RoomCursor | None = None, archived: bool = False
    ) -> RoomPage:
        """At most ``limit`` of a user's chatrooms behind a cursor: the pinned ones first, each part newest first.

        Those in the archive are left out; ``archived``: only those. One that is pinned or unpinned between two pages
        may be on both or on none of them; the others are on one.
        """

    def conversation(
        self, user_id: UserId, chatroom_id: ChatroomId, *, turns: int, before: MessageId | None
    ) -> Conversation | None:
        """The newest ``turns``, older than ``before`` if that is given; None unless the chatroom is the user's.

        Fewer where their replies have PAGE_MAX_BYTES.
        An id that is no entry of the chatroom is taken as none.
        """

    def entries_after(
        self, user_id: UserId, chatroom_id: ChatroomId, *, entry_id: MessageId | ReplyId, limit: int
    ) -> Sequence[MessageEntry | ReplyEntry] | None:
        """The entries that were added after an entry, in that order; None unless the chatroom is the user's.

        At most ``limit``; fewer where the replies have PAGE_MAX_BYTES.
        A client that reads on from the last one gets each entry once: none is ever added before one that was readable.
        An id that is no entry of the chatroom is a moment: it stands behind the last entry with a smaller id.
        """

    def entry(self, user_id: UserId, entry_id: MessageId | ReplyId) -> Entry | None:
        """A turn by the id of its message or of a reply; None unless it is the user's.

        It shows the reply with that id; by a message's id, the newest reply.
        """

    def replies(
        self, user_id: UserId, entry_id: MessageId | ReplyId, *, limit: int, after: ReplyId | None
    ) -> ReplyPage | None:
        """All replies to a message, by its id or by that of one of them; None unless it is the user's.

        At most ``limit``, oldest first; with ``after``, only newer ones. An id that is no reply to the message is taken
        as none.
        """

    def history(self, chatroom_id: ChatroomId, *, before: MessageId, turns: int) -> Sequence[Exchange]:
        """Up to ``turns`` answered turns before a message, newest first.

        The answer is the reply that shows in the conversation, if it is done or was stopped and has text.
        """
