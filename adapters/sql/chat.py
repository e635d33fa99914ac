"""Chatrooms and messages in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime

from psycopg2.errors import ForeignKeyViolation
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql.database import BoundedCursor, PreparedStatement
from adapters.sql.removal import DETACH, REMOVED_ROOMS, delete_contents, delete_unfinished
from application.ports.chatrooms import Chatrooms, Purged
from application.ports.messages import AnsweredMessage, Messages
from domain.accounts import UserId
from domain.chat import Chatroom, ChatroomId, Message, MessageId
from domain.errors import ChatroomNotFound, TokenInvalid, TooManyChatrooms, TooManyMessages, TooManyPinned
from domain.replies import ReplyId, ReplyState
from domain.retention import ROWS_PER_BATCH

# The list is locked, so that concurrent calls do not pass the limit; the user before it, as everywhere. Chatrooms are
# counted where the list has no row yet.
ADD_CHATROOM = """
WITH list AS MATERIALIZED (
    SELECT l.chatroom_count FROM users u JOIN chatroom_lists l ON l.user_id = u.id
    WHERE u.id = %(user_id)s FOR KEY SHARE OF u FOR NO KEY UPDATE OF l
)
INSERT INTO chatrooms (id, user_id, name, system_prompt, created_at, updated_at)
SELECT %(id)s::uuid, %(user_id)s::uuid, %(name)s, %(system_prompt)s, %(created_at)s::timestamptz,
       %(updated_at)s::timestamptz
WHERE COALESCE(
    (SELECT chatroom_count FROM list),
    (SELECT count(*) FROM (SELECT 1 FROM chatrooms WHERE user_id = %(user_id)s LIMIT %(limit)s) AS mine)
) < %(limit)s
"""
ADD_CHATROOM_PREPARED = PreparedStatement("add_chatroom", ADD_CHATROOM)
# Of the user first (adapters/sql/unit_of_work.py): the locking clauses apply in their order.
OWNED_CHATROOM = """
SELECT 1 FROM chatrooms c JOIN users u ON u.id = c.user_id
WHERE c.id = %(id)s AND c.user_id = %(user_id)s FOR KEY SHARE OF u FOR KEY SHARE OF c
"""
CHATROOM = """
SELECT c.id, user_id, c.name, system_prompt, c.created_at, updated_at, pinned_at, archived_at
FROM chatrooms c JOIN users u ON u.id = c.user_id
WHERE c.id = %(id)s AND c.user_id = %(user_id)s FOR KEY SHARE OF u FOR UPDATE OF c
"""
CHANGE_CHATROOM = """
UPDATE chatrooms SET name = %(name)s, system_prompt = %(system_prompt)s, updated_at = %(updated_at)s,
    pinned_at = %(pinned_at)s, archived_at = %(archived_at)s
WHERE id = %(id)s AND user_id = %(user_id)s
"""
PINNED_OF_USER = "SELECT count(*) FROM chatrooms WHERE user_id = %(user_id)s AND pinned_at IS NOT NULL"
NOTE_MESSAGE = """
WITH room AS (SELECT id, name, archived_at FROM chatrooms WHERE id = %(id)s FOR NO KEY UPDATE)
UPDATE chatrooms SET name = CASE WHEN room.name = '' THEN %(title)s ELSE room.name END, archived_at = NULL,
                     updated_at = %(at)s
FROM room WHERE chatrooms.id = room.id AND (room.name = '' AND %(title)s <> '' OR room.archived_at IS NOT NULL)
RETURNING CASE WHEN room.name = '' THEN NULLIF(%(title)s, '') END AS title
"""
# Counts up to the limit only. LIMIT inside of LATERAL: chatroom by chatroom through the index, whatever the statistics
# say.
MESSAGES_OF_USER = """SELECT count(*) FROM (
    SELECT 1 FROM chatrooms CROSS JOIN LATERAL (
        SELECT 1 FROM messages WHERE messages.chatroom_id = chatrooms.id LIMIT %(user_messages)s) AS theirs
    WHERE chatrooms.user_id = %(user_id)s LIMIT %(user_messages)s) AS kept"""
ADD_MESSAGE = """
INSERT INTO messages (id, chatroom_id, content, created_at)
VALUES (%(id)s, %(chatroom_id)s, %(content)s, %(created_at)s)
"""
# The lock of the chatroom also keeps replies from being added to one that is being deleted.
LOCK_MESSAGE_OF = """
SELECT m.id, m.chatroom_id, m.content, m.created_at
FROM messages m
JOIN chatrooms c ON c.id = m.chatroom_id AND c.user_id = %(user_id)s
JOIN users u ON u.id = c.user_id
WHERE m.id = COALESCE((SELECT message_id FROM replies WHERE id = %(entry_id)s), %(entry_id)s)
FOR KEY SHARE OF u FOR KEY SHARE OF c FOR UPDATE OF m
"""
NEWEST_REPLY = """
SELECT id, state, bool_or(state = 'done' OR (state = 'cancelled' AND content IS NOT NULL)) OVER () AS answered
FROM replies WHERE message_id = %(message_id)s ORDER BY sequence DESC LIMIT 1
"""


class SqlChatrooms(Chatrooms):
    def __init__(self, cursor: BoundedCursor) -> None:
        self._cursor = cursor

    def add(self, chatroom: Chatroom, *, limit: int) -> None:
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
                    "limit": limit,
                },
            )
        except ForeignKeyViolation:
            raise TokenInvalid from None  # the driver's text would quote the chatroom's name
        if not self._cursor.rowcount:
            raise TooManyChatrooms(limit)

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
                "pinned_at": chatroom.pinned_at,
                "archived_at": chatroom.archived_at,
            },
        )

    def check_pinned(self, user_id: UserId, *, limit: int) -> None:
        self._cursor.execute(PINNED_OF_USER, {"user_id": user_id})
        row = self._cursor.fetchone()
        assert row is not None  # noqa: S101 - a count is always a row
        if row[0] >= limit:
            raise TooManyPinned(limit)

    def note_message(self, chatroom_id: ChatroomId, title: str, *, at: datetime) -> str | None:
        self._cursor.execute(NOTE_MESSAGE, {"id": chatroom_id, "title": title, "at": at})
        row = self._cursor.fetchone()
        return row[0] if row else None

    def remove(self, chatroom: Chatroom, *, limit: int = ROWS_PER_BATCH) -> Sequence[ReplyId]:
        # The chatroom is locked, and adding a reply needs a lock of it, too.
        unfinished = delete_unfinished(self._cursor, [chatroom.id])
        purged, left = delete_contents(self._cursor, [chatroom.id], limit=limit)
        if left:
            self._cursor.execute(DETACH, {"rooms": list(left)})
        return [*unfinished, *purged.with_stream]

    def purge_removed(self, *, limit: int) -> Purged:
        self._cursor.execute(REMOVED_ROOMS, {"limit": limit})
        rooms = [row[0] for row in self._cursor.fetchall()]
        purged, _ = delete_contents(self._cursor, rooms, limit=limit)
        return purged


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

    def check_kept(self, user_id: UserId, *, limit: int) -> None:
        self._cursor.execute(MESSAGES_OF_USER, {"user_id": user_id, "user_messages": limit})
        row = self._cursor.fetchone()
        assert row is not None  # noqa: S101 - a count is always a row
        if row[0] >= limit:
            raise TooManyMessages(limit)

    def of(self, user_id: UserId, entry_id: MessageId | ReplyId) -> AnsweredMessage | None:
        self._cursor.execute(LOCK_MESSAGE_OF, {"user_id": user_id, "entry_id": entry_id})
        row = self._cursor.fetchone()
        if row is None:
            return None
        message_id, chatroom_id, content, created_at = row
        # Read after the lock was acquired: another unit of work may have added a reply before.
        self._cursor.execute(NEWEST_REPLY, {"message_id": message_id})
        newest = self._cursor.fetchone()
        assert newest is not None  # noqa: S101 - a message is never without a reply
        reply_id, state, answered = newest
        message = Message(message_id, chatroom_id, user_id, content, created_at)
        return AnsweredMessage(message, reply_id, ReplyState(state), answered)
