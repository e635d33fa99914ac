"""The Reader port in memory."""

from datetime import UTC

from adapters.memory.billing import subscription_at
from adapters.memory.tables import MemoryDatabase, ReplyRow
from application.ports.reader import Conversation, Profile, RoomLine, RoomPage, Standing, Turn
from domain.accounts import Principal, SessionId, UserId
from domain.chat import ChatroomId, Message, MessageId
from domain.plans import Allowances, DailyQuota, Plan


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
        subscription = subscription_at(tables, user_id, self._database.clock())
        plan = subscription.plan if subscription else Plan.BASIC
        today = self._database.clock().astimezone(UTC).date()
        used = tables.daily_usage.get((user_id, today), 0)
        return Standing(plan, subscription, DailyQuota(today, used, allowances[plan].daily_prompts))

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
        newest_reply = {
            row.queued.message_id: row for row in sorted(tables.replies.values(), key=lambda row: row.queued.id)
        }
        messages = sorted(
            (
                message
                for message in tables.messages.values()
                if message.chatroom_id == chatroom_id and (before is None or message.id < before)
            ),
            key=lambda message: message.id,
        )
        page = messages[-turns:]
        return Conversation(
            room.id,
            room.name,
            room.system_prompt,
            room.created_at,
            room.updated_at,
            [_turn(message, newest_reply[message.id]) for message in page],
            page[0].id if len(messages) > turns else None,
        )


def _turn(message: Message, reply: ReplyRow) -> Turn:
    return Turn(
        message_id=message.id,
        content=message.content,
        sent_at=message.created_at,
        reply_id=reply.queued.id,
        reply_state=reply.state,
        reply_content=reply.content,
        reply_created_at=reply.queued.created_at,
        finished_at=reply.finished_at,
        model=reply.model,
        failure=reply.failure,
        truncated=reply.truncated,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
    )
