"""Chatrooms, messages and the daily use in PostgreSQL."""

from collections.abc import Sequence

from psycopg2.errors import ForeignKeyViolation
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql.database import PreparedStatement
from adapters.sql.replies import MAY_HAVE_STREAM
from adapters.sql.subscriptions import SUBSCRIPTION_COLUMNS, plan_of, subscription_from
from application.ports.chatrooms import Chatrooms
from application.ports.messages import Messages
from application.ports.reply_stream import STREAM_GONE_AFTER
from application.ports.usage import Usage
from domain.accounts import UserId
from domain.chat import Chatroom, ChatroomId, Message, MessageId
from domain.errors import ChatroomNotFound, TokenInvalid
from domain.plans import Allowances, DailyQuota
from domain.replies import Charge, ReplyId, ReplyState

ADD_CHATROOM = """
INSERT INTO chatrooms (id, user_id, name, system_prompt, created_at, updated_at)
VALUES (%(id)s, %(user_id)s, %(name)s, %(system_prompt)s, %(created_at)s, %(updated_at)s)
"""
ADD_CHATROOM_PREPARED = PreparedStatement("add_chatroom", ADD_CHATROOM)
OWNED_CHATROOM = """
SELECT 1 FROM chatrooms WHERE id = %(id)s AND user_id = %(user_id)s FOR KEY SHARE
"""
CHATROOM = """
SELECT id, user_id, name, system_prompt, created_at, updated_at
FROM chatrooms WHERE id = %(id)s AND user_id = %(user_id)s FOR UPDATE
"""
CHANGE_CHATROOM = """
UPDATE chatrooms SET name = %(name)s, system_prompt = %(system_prompt)s, updated_at = %(updated_at)s
WHERE id = %(id)s AND user_id = %(user_id)s
"""
STREAMS_OF_CHATROOM = f"""
SELECT replies.id FROM replies JOIN messages ON messages.id = replies.message_id
WHERE messages.chatroom_id = %(id)s AND {MAY_HAVE_STREAM}
"""  # noqa: S608 - parts of statements, no values
# Messages and replies go with it, by their foreign keys.
REMOVE_CHATROOM = "DELETE FROM chatrooms WHERE id = %(id)s AND user_id = %(user_id)s"
ADD_MESSAGE = """
INSERT INTO messages (id, chatroom_id, content, created_at)
VALUES (%(id)s, %(chatroom_id)s, %(content)s, %(created_at)s)
"""
SUBSCRIPTION_OF = f"SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions WHERE user_id = %(user_id)s"  # noqa: S608
# One statement that decides: it adds one only while there is something left, however many do so at once.
SPEND = """
INSERT INTO daily_usage (user_id, day, used)
SELECT %(user_id)s, (now() AT TIME ZONE 'utc')::date, 1 WHERE %(limit)s::integer IS NULL OR %(limit)s > 0
ON CONFLICT (user_id, day) DO UPDATE SET used = daily_usage.used + 1
WHERE %(limit)s::integer IS NULL OR daily_usage.used < %(limit)s
RETURNING day, used
"""
USED_TODAY = """
SELECT today.day, COALESCE(u.used, 0)
FROM (SELECT (now() AT TIME ZONE 'utc')::date AS day) AS today
LEFT JOIN daily_usage u ON u.user_id = %(user_id)s AND u.day = today.day
"""
REFUND = """
UPDATE daily_usage SET used = used - 1, refunded = refunded + 1
WHERE user_id = %(user_id)s AND day = %(day)s AND used > 0
"""


# The chatroom first, then the message, as the clauses are in order: whoever takes a chatroom away locks it first, too,
# then what is cascaded. So no reply is added to what goes, and who adds or cancels one holds no message of it.
LOCK_MESSAGE_OF = """
SELECT m.id, m.chatroom_id, m.content, m.created_at
FROM messages m
JOIN chatrooms c ON c.id = m.chatroom_id AND c.user_id = %(user_id)s
WHERE m.id = COALESCE((SELECT message_id FROM replies WHERE id = %(entry_id)s), %(entry_id)s)
FOR KEY SHARE OF c FOR UPDATE OF m
"""
NEWEST_REPLY = "SELECT id, state FROM replies WHERE message_id = %(message_id)s ORDER BY id DESC LIMIT 1"


class SqlChatrooms(Chatrooms):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def add(self, chatroom: Chatroom) -> None:
        try:
            ADD_CHATROOM_PREPARED.execute(
                self._cursor,
                {
                    "id": chatroom.id,
                    "user_id": chatroom.user_id,
                    "name": chatroom.name,
                    "system_prompt": chatroom.system_prompt,
                    "created_at": chatroom.created_at,
                    "updated_at": chatroom.updated_at,
                },
            )
        except ForeignKeyViolation:
            raise TokenInvalid from None  # the driver's text would quote what the chatroom is called

    def assert_owned(self, chatroom_id: ChatroomId, *, by: UserId) -> None:
        self._cursor.execute(OWNED_CHATROOM, {"id": chatroom_id, "user_id": by})
        if self._cursor.fetchone() is None:
            raise ChatroomNotFound

    def owned(self, chatroom_id: ChatroomId, *, by: UserId) -> Chatroom:
        self._cursor.execute(CHATROOM, {"id": chatroom_id, "user_id": by})
        row = self._cursor.fetchone()
        if row is None:
            raise ChatroomNotFound
        return Chatroom(*row)

    def change(self, chatroom: Chatroom) -> None:
        self._cursor.execute(
            CHANGE_CHATROOM,
            {
                "id": chatroom.id,
                "user_id": chatroom.user_id,
                "name": chatroom.name,
                "system_prompt": chatroom.system_prompt,
                "updated_at": chatroom.updated_at,
            },
        )

    def remove(self, chatroom_id: ChatroomId, *, of: UserId) -> Sequence[ReplyId]:
        self.owned(chatroom_id, by=of)
        # Looked up after the lock was given: who adds a reply needs a lock of the chatroom, too. Not locked themselves:
        # what is cascaded takes the locks in its order, and a worker that ends one of them changes nothing here.
        self._cursor.execute(STREAMS_OF_CHATROOM, {"id": chatroom_id, "stream_gone_after": STREAM_GONE_AFTER})
        replies = [row[0] for row in self._cursor.fetchall()]
        self._cursor.execute(REMOVE_CHATROOM, {"id": chatroom_id, "user_id": of})
        return replies


class SqlMessages(Messages):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def add(self, message: Message) -> None:
        try:
            self._cursor.execute(
                ADD_MESSAGE,
                {
                    "id": message.id,
                    "chatroom_id": message.chatroom_id,
                    "content": message.content,
                    "created_at": message.created_at,
                },
            )
        except ForeignKeyViolation as error:
            raise ChatroomNotFound from error

    def of(self, user_id: UserId, entry_id: MessageId | ReplyId) -> tuple[Message, ReplyId, ReplyState] | None:
        self._cursor.execute(LOCK_MESSAGE_OF, {"user_id": user_id, "entry_id": entry_id})
        row = self._cursor.fetchone()
        if row is None:
            return None
        message_id, chatroom_id, content, created_at = row
        # Looked up after the lock was given: another unit of work may have added a reply meanwhile.
        self._cursor.execute(NEWEST_REPLY, {"message_id": message_id})
        newest = self._cursor.fetchone()
        assert newest is not None  # noqa: S101 - a message is never without a reply
        return Message(message_id, chatroom_id, user_id, content, created_at), newest[0], ReplyState(newest[1])


class SqlUsage(Usage):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def spend(self, user_id: UserId, *, allowances: Allowances) -> DailyQuota:
        self._cursor.execute(SUBSCRIPTION_OF, {"user_id": user_id})
        plan = plan_of(subscription_from(self._cursor.fetchone()))
        limit = allowances[plan].daily_prompts
        self._cursor.execute(SPEND, {"user_id": user_id, "limit": limit})
        row = self._cursor.fetchone()
        if row is not None:
            return DailyQuota(day=row[0], used=row[1], limit=limit, plan=plan)
        self._cursor.execute(USED_TODAY, {"user_id": user_id})
        row = self._cursor.fetchone()
        assert row is not None  # noqa: S101 - a select without FROM a table always has a row
        raise DailyQuota(day=row[0], used=row[1], limit=limit, plan=plan).exhausted()

    def refund(self, charge: Charge) -> None:
        self._cursor.execute(REFUND, {"user_id": charge.user_id, "day": charge.day})
