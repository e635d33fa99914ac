"""Queries of what was committed."""

from collections.abc import Sequence
from datetime import UTC
from itertools import accumulate
from typing import TypeVar, cast
from uuid import UUID

from adapters.memory.billing import granted_until, subscription_at
from adapters.memory.tables import MemoryDatabase, ReplyRow
from application.ports.language_model import Exchange
from application.ports.reader import (
    PAGE_MAX_BYTES,
    ChatroomSummary,
    Conversation,
    Entry,
    MessageEntry,
    PlanStatus,
    Profile,
    Reader,
    ReplyEntry,
    ReplyPage,
    RoomCursor,
    RoomPage,
    SessionSummary,
    Turn,
)
from domain.accounts import Principal, SessionId, UserId
from domain.billing import plan_of
from domain.chat import Chatroom, ChatroomId, Message, MessageId
from domain.plans import Allowances, DailyQuota
from domain.replies import ReplyId, ReplyState

MAX_SESSIONS = 100
E = TypeVar("E")


class MemoryReader(Reader):
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def principal(self, session_id: SessionId) -> Principal | None:
        session = self._database.tables.sessions.get(session_id)
        if session is None or session.expires_at <= self._database.clock():
            return None
        return Principal(session.user_id, session.id, session.method, session.started_at)

    def is_locked(self, user_id: UserId) -> bool:
        user = self._database.tables.users.get(user_id)
        return user is not None and user.locked_at is not None

    def sessions(self, user_id: UserId) -> Sequence[SessionSummary]:
        tables = self._database.tables
        mine = [
            SessionSummary(
                session.id,
                session.method,
                session.device,
                session.started_at,
                tables.last_used.get(session.id, session.started_at),
                session.expires_at,
            )
            for session in tables.sessions.values()
            if session.user_id == user_id and session.expires_at > self._database.clock()
        ]
        return sorted(mine, key=lambda line: line.id, reverse=True)[:MAX_SESSIONS]

    def profile(self, user_id: UserId, *, allowances: Allowances) -> Profile | None:
        user = self._database.tables.users.get(user_id)
        if user is None:
            return None
        plan_status = self.plan_status(user_id, allowances=allowances)
        return Profile(
            user.id,
            user.phone.e164,
            user.name,
            user.email,
            user.created_at,
            plan_status.plan,
            plan_status.quota,
        )

    def principal_with_profile(
        self, session_id: SessionId, *, allowances: Allowances
    ) -> tuple[Principal, Profile] | None:
        principal = self.principal(session_id)
        profile = self.profile(principal.user_id, allowances=allowances) if principal else None
        return (principal, profile) if principal and profile else None

    def principal_with_list_version(self, session_id: SessionId) -> tuple[Principal, int] | None:
        principal = self.principal(session_id)
        return None if principal is None else (principal, self._database.tables.list_versions.get(principal.user_id, 0))

    def principal_with_conversation(
        self, session_id: SessionId, *, chatroom_id: ChatroomId, turns: int, before: MessageId | None
    ) -> tuple[Principal, Conversation | None] | None:
        principal = self.principal(session_id)
        if principal is None:
            return None
        return principal, self.conversation(principal.user_id, chatroom_id, turns=turns, before=before)

    def plan_status(self, user_id: UserId, *, allowances: Allowances) -> PlanStatus:
        tables = self._database.tables
        now = self._database.clock()
        subscription, granted = subscription_at(tables, user_id, now), granted_until(tables, user_id, now)
        plan = plan_of(subscription, granted=granted is not None)
        today = now.astimezone(UTC).date()
        used = tables.daily_usage.get((user_id, today), 0)
        return PlanStatus(plan, subscription, DailyQuota(today, used, allowances[plan].daily_prompts, plan), granted)

    def rooms(
        self, user_id: UserId, *, limit: int, before: RoomCursor | None = None, archived: bool = False
    ) -> RoomPage:
        rooms = [
            summary_of(room)
            for room in self._database.tables.chatrooms.values()
            if room.user_id == user_id and room.archived == archived
        ]
        rooms.sort(key=_place, reverse=True)
        behind = [room for room in rooms if before is None or _place(room) < (before.pinned, before.id)]
        page = behind[:limit]
        return RoomPage(page, RoomCursor(page[-1].id, page[-1].pinned) if len(behind) > limit else None)

    def conversation(
        self, user_id: UserId, chatroom_id: ChatroomId, *, turns: int, before: MessageId | None
    ) -> Conversation | None:
        tables = self._database.tables
        room = tables.chatrooms.get(chatroom_id)
        if room is None or room.user_id != user_id:
            return None
        messages = self._messages(chatroom_id, before=before)
        newest_first = [self._shown(message) for message in reversed(messages[-turns:])]
        page = that_fit(newest_first)[::-1]
        return Conversation(
            room.id,
            room.name,
            room.system_prompt,
            room.created_at,
            room.updated_at,
            room.pinned,
            room.archived,
            page,
            page[0].message_id if len(messages) > len(page) else None,
        )

    def entries_after(
        self, user_id: UserId, chatroom_id: ChatroomId, *, entry_id: MessageId | ReplyId, limit: int
    ) -> Sequence[MessageEntry | ReplyEntry] | None:
        tables = self._database.tables
        room = tables.chatrooms.get(chatroom_id)
        if room is None or room.user_id != user_id:
            return None
        entries: dict[UUID, MessageEntry | ReplyEntry] = {}
        for message in self._messages(chatroom_id):
            entries[message.id] = MessageEntry(message.id, message.content, message.created_at)
            for row in tables.replies_to(message.id):
                entries[row.queued.id] = _reply_entry(row, overdue=row.overdue(self._database.clock()))
        earlier = [entry_id] if entry_id in entries else [found for found in entries if found < entry_id]
        after = max((tables.sequences[found] for found in earlier), default=0)
        in_order = sorted((tables.sequences[found], entry) for found, entry in entries.items())
        return that_fit([entry for sequence, entry in in_order if sequence > after][:limit])

    def entry(self, user_id: UserId, entry_id: MessageId | ReplyId) -> Entry | None:
        message = self._database.tables.messages.get(self._message_id_of(entry_id))
        if message is None or message.user_id != user_id:
            return None
        replies = self._database.tables.replies_to(message.id)
        shown = next((row for row in replies if row.queued.id == entry_id), replies[-1])
        return Entry(message.chatroom_id, self._turn(message, shown, replies[-1]), [row.queued.id for row in replies])

    def replies(
        self, user_id: UserId, entry_id: MessageId | ReplyId, *, limit: int, after: ReplyId | None
    ) -> ReplyPage | None:
        tables = self._database.tables
        message = tables.messages.get(self._message_id_of(entry_id))
        if message is None or message.user_id != user_id:
            return None
        now = self._database.clock()
        replies = [_reply_entry(row, overdue=row.overdue(now)) for row in tables.replies_to(message.id)]
        ids = [reply.reply_id for reply in replies]
        begin = ids.index(after) + 1 if after in ids else 0
        page = that_fit(replies[begin : begin + limit])
        return ReplyPage(message.chatroom_id, page, page[-1].reply_id if len(replies) > begin + len(page) else None)

    def history(self, chatroom_id: ChatroomId, *, before: MessageId, turns: int) -> Sequence[Exchange]:
        turns_before = [
            (m, shown_of(self._database.tables.replies_to(m.id))) for m in self._messages(chatroom_id, before)
        ]
        answered = [Exchange(m.content, row.content or "") for m, row in turns_before if row.answers]
        return answered[::-1][:turns]

    def _shown(self, message: Message) -> Turn:
        replies = self._database.tables.replies_to(message.id)
        return self._turn(message, shown_of(replies), replies[-1])

    def _turn(self, message: Message, reply: ReplyRow, latest: ReplyRow) -> Turn:
        now = self._database.clock()
        return _turn(message, reply, latest, overdue=reply.overdue(now) or latest.overdue(now))

    def _message_id_of(self, entry_id: MessageId | ReplyId) -> MessageId:
        reply = self._database.tables.replies.get(cast("ReplyId", entry_id))
        return reply.queued.message_id if reply else cast("MessageId", entry_id)

    def _messages(self, chatroom_id: ChatroomId, before: MessageId | ReplyId | None = None) -> list[Message]:
        """Oldest first. ``before``: a reply stands with its message, which is one of them then."""
        tables = self._database.tables
        messages = [one for one in tables.messages.values() if one.chatroom_id == chatroom_id]
        messages.sort(key=lambda one: tables.sequences[one.id])
        ids = [one.id for one in messages]
        if before in ids:
            return messages[: ids.index(cast("MessageId", before))]
        reply = tables.replies.get(cast("ReplyId", before))
        if reply is not None and reply.queued.message_id in ids:
            return messages[: ids.index(reply.queued.message_id) + 1]
        return messages


def that_fit(entries: Sequence[E]) -> list[E]:
    """The entries of a page before it is full."""
    sizes = [len((getattr(entry, "reply_content", None) or "").encode()) for entry in entries]
    before = accumulate(sizes, initial=0)
    return [entry for entry, taken in zip(entries, before, strict=False) if taken < PAGE_MAX_BYTES]


def summary_of(room: Chatroom) -> ChatroomSummary:
    return ChatroomSummary(room.id, room.name, room.created_at, room.updated_at, room.pinned, room.archived)


def _place(room: ChatroomSummary) -> tuple[bool, ChatroomId]:
    """By which a list is sorted, the last one first."""
    return room.pinned, room.id


def shown_of(replies: Sequence[ReplyRow]) -> ReplyRow:
    """The one of a message's replies that stands in the conversation."""
    done = [row for row in replies if row.state is ReplyState.DONE]
    answers = [row for row in replies if row.answers]
    return (done or answers or replies)[-1]


def _reply_entry(reply: ReplyRow, *, overdue: bool) -> ReplyEntry:
    return ReplyEntry(
        message_id=reply.queued.message_id,
        reply_id=reply.queued.id,
        reply_state=reply.state,
        generation=reply.generation,
        reply_content=reply.content,
        reply_created_at=reply.queued.created_at,
        finished_at=reply.finished_at,
        model=reply.model,
        failure=reply.failure,
        truncated=reply.truncated,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        overdue=overdue,
        feedback=reply.feedback,
    )


def _turn(message: Message, reply: ReplyRow, latest: ReplyRow, *, overdue: bool) -> Turn:
    newer = None if latest is reply else latest
    return Turn(
        message_id=message.id,
        content=message.content,
        sent_at=message.created_at,
        reply_id=reply.queued.id,
        reply_state=reply.state,
        generation=reply.generation,
        reply_content=reply.content,
        reply_created_at=reply.queued.created_at,
        finished_at=reply.finished_at,
        model=reply.model,
        failure=reply.failure,
        truncated=reply.truncated,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        latest_id=newer.queued.id if newer else None,
        latest_state=newer.state if newer else None,
        latest_failure=newer.failure if newer else None,
        overdue=overdue,
        feedback=reply.feedback,
    )
