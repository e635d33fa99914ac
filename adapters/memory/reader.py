"""The Reader port in memory."""

from collections.abc import Sequence
from datetime import UTC
from typing import cast

from adapters.memory.tables import MemoryDatabase, ReplyRow
from application.ports.language_model import Exchange
from application.ports.reader import Conversation, Entry, Profile, RoomLine, RoomPage, Standing, Turn
from domain.accounts import Principal, SessionId, UserId
from domain.chat import ChatroomId, Message, MessageId
from domain.plans import Allowances, DailyQuota, Plan
from domain.replies import ReplyId, ReplyState


class MemoryReader:
    """Reads what was committed."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Read from ``database``."""
        self._database = database

    def principal(self, session_id: SessionId) -> Principal | None:
        """Who a session belongs to."""
        session = self._database.tables.sessions.get(session_id)
        if session is None or session.expires_at <= self._database.clock():
            return None
        return Principal(session.user_id, session.id, session.method, session.started_at)

    def profile(self, user_id: UserId, *, allowances: Allowances) -> Profile | None:
        """A user with plan and today's use."""
        user = self._database.tables.users.get(user_id)
        if user is None:
            return None
        standing = self.standing(user_id, allowances=allowances)
        return Profile(
            user.id,
            user.phone.e164,
            user.name,
            user.email,
            user.created_at,
            standing.plan,
            standing.quota,
        )

    def standing(self, user_id: UserId, *, allowances: Allowances) -> Standing:
        """Plan, subscription and today's use."""
        tables = self._database.tables
        subscription = tables.subscriptions.get(user_id)
        plan = subscription.plan if subscription else Plan.BASIC
        today = self._database.clock().astimezone(UTC).date()
        used = tables.daily_usage.get((user_id, today), 0)
        return Standing(plan, subscription, DailyQuota(today, used, allowances[plan].daily_prompts, plan))

    def rooms(self, user_id: UserId, *, limit: int, before: ChatroomId | None) -> RoomPage:
        """A page of chatrooms, newest first."""
        rooms = sorted(
            (
                RoomLine(room.id, room.name, room.created_at, room.updated_at)
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
        """A chatroom and a page of its turns, oldest first."""
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
        """The turn of the entry and those after it, oldest first."""
        room = self._database.tables.chatrooms.get(chatroom_id)
        if room is None or room.user_id != user_id:
            return None
        first = self._message_id_of(entry_id)
        page = [message for message in self._messages(chatroom_id) if message.id >= first][:turns]
        return [_turn(message, self._replies(message.id)[-1]) for message in page]

    def entry(self, user_id: UserId, entry_id: MessageId | ReplyId) -> Entry | None:
        """The turn of a message or of one of its replies."""
        message = self._database.tables.messages.get(self._message_id_of(entry_id))
        if message is None or message.user_id != user_id:
            return None
        replies = self._replies(message.id)
        shown = next((row for row in replies if row.queued.id == entry_id), replies[-1])
        return Entry(message.chatroom_id, _turn(message, shown), [row.queued.id for row in replies])

    def history(self, chatroom_id: ChatroomId, *, before: MessageId, turns: int) -> Sequence[Exchange]:
        """The answered turns before a message, newest first."""
        earlier = [message for message in self._messages(chatroom_id) if message.id < before]
        newest = [(message, self._replies(message.id)[-1]) for message in reversed(earlier)]
        answered = [
            Exchange(message.content, reply.content or "")
            for message, reply in newest
            if reply.state is ReplyState.DONE
        ]
        return answered[:turns]

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
        run=reply.run,
        reply_content=reply.content,
        reply_created_at=reply.queued.created_at,
        finished_at=reply.finished_at,
        model=reply.model,
        failure=reply.failure,
        truncated=reply.truncated,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
    )
