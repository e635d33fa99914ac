"""Queries of what was committed."""

from collections.abc import Sequence
from datetime import UTC
from typing import cast

from adapters.memory.billing import subscription_at
from adapters.memory.tables import MemoryDatabase, ReplyRow
from application.ports.language_model import Exchange
from application.ports.reader import (
    ChatroomSummary,
    Conversation,
    Entry,
    PlanStatus,
    Profile,
    Reader,
    RoomPage,
    SessionSummary,
    Turn,
)
from domain.accounts import Principal, SessionId, UserId
from domain.chat import ChatroomId, Message, MessageId
from domain.plans import Allowances, DailyQuota, Plan
from domain.replies import ReplyId, ReplyState

MAX_SESSIONS = 100


class MemoryReader(Reader):
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def principal(self, session_id: SessionId) -> Principal | None:
        session = self._database.tables.sessions.get(session_id)
        if session is None or session.expires_at <= self._database.clock():
            return None
        return Principal(session.user_id, session.id, session.method, session.started_at)

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

    def plan_status(self, user_id: UserId, *, allowances: Allowances) -> PlanStatus:
        tables = self._database.tables
        subscription = subscription_at(tables, user_id, self._database.clock())
        plan = subscription.plan if subscription else Plan.BASIC
        today = self._database.clock().astimezone(UTC).date()
        used = tables.daily_usage.get((user_id, today), 0)
        return PlanStatus(plan, subscription, DailyQuota(today, used, allowances[plan].daily_prompts, plan))

    def rooms(self, user_id: UserId, *, limit: int, before: ChatroomId | None) -> RoomPage:
        rooms = sorted(
            (
                ChatroomSummary(room.id, room.name, room.created_at, room.updated_at)
                for room in self._database.tables.chatrooms.values()
                if room.user_id == user_id and (before is None or room.id < before)
            ),
            key=lambda room: room.id,
            reverse=True,
        )
        page = rooms[:limit]
        return RoomPage(page, page[-1].id if len(rooms) > limit else None)

    def conversation(
        self, user_id: UserId, chatroom_id: ChatroomId, *, turns: int, before: MessageId | None
    ) -> Conversation | None:
        tables = self._database.tables
        room = tables.chatrooms.get(chatroom_id)
        if room is None or room.user_id != user_id:
            return None
        messages = [message for message in self._messages(chatroom_id) if before is None or message.id < before]
        page = messages[-turns:]
        return Conversation(
            room.id,
            room.name,
            room.system_prompt,
            room.created_at,
            room.updated_at,
            [_turn(message, self._replies(message.id)[-1]) for message in page],
            page[0].id if len(messages) > turns else None,
        )

    def turns_from(
        self, user_id: UserId, chatroom_id: ChatroomId, *, entry_id: MessageId | ReplyId, turns: int
    ) -> Sequence[Turn] | None:
        room = self._database.tables.chatrooms.get(chatroom_id)
        if room is None or room.user_id != user_id:
            return None
        first = self._message_id_of(entry_id)
        page = [message for message in self._messages(chatroom_id) if message.id >= first][:turns]
        return [_turn(message, self._replies(message.id)[-1]) for message in page]

    def entry(self, user_id: UserId, entry_id: MessageId | ReplyId) -> Entry | None:
        message = self._database.tables.messages.get(self._message_id_of(entry_id))
        if message is None or message.user_id != user_id:
            return None
        replies = self._replies(message.id)
        shown = next((row for row in replies if row.queued.id == entry_id), replies[-1])
        return Entry(message.chatroom_id, _turn(message, shown), [row.queued.id for row in replies])

    def history(self, chatroom_id: ChatroomId, *, before: MessageId, turns: int) -> Sequence[Exchange]:
        earlier = [message for message in self._messages(chatroom_id) if message.id < before]
        answered = [(message, self._answer(message.id)) for message in reversed(earlier)]
        return [Exchange(message.content, answer) for message, answer in answered if answer is not None][:turns]

    def _answer(self, message_id: MessageId) -> str | None:
        """What the model has said to a message: its newest reply that is done, or else what was stopped and kept."""
        replies = self._replies(message_id)[::-1]
        done = [row.content or "" for row in replies if row.state is ReplyState.DONE]
        stopped = [row.content for row in replies if row.state is ReplyState.CANCELLED and row.content]
        return next(iter(done + stopped), None)

    def _message_id_of(self, entry_id: MessageId | ReplyId) -> MessageId:
        reply = self._database.tables.replies.get(cast("ReplyId", entry_id))
        return reply.queued.message_id if reply else cast("MessageId", entry_id)

    def _messages(self, chatroom_id: ChatroomId) -> list[Message]:
        messages = self._database.tables.messages.values()
        return sorted((one for one in messages if one.chatroom_id == chatroom_id), key=lambda one: one.id)

    def _replies(self, message_id: MessageId) -> list[ReplyRow]:
        rows = self._database.tables.replies.values()
        return sorted((row for row in rows if row.queued.message_id == message_id), key=lambda row: row.queued.id)


def _turn(message: Message, reply: ReplyRow) -> Turn:
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
    )
