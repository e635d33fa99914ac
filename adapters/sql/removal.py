"""Deleting what is in chatrooms, in batches of bounded size.

A removed chatroom is one without a user: every statement that serves users asks for theirs, so from that commit on it
is in no list, its messages are found by no id, and it counts against no limit.
"""

from collections.abc import Sequence

from adapters.sql.database import BoundedCursor
from adapters.sql.replies import BY_ROOM
from application.ports.chatrooms import Purged
from application.ports.reply_stream import STREAM_GONE_AFTER
from domain.chat import ChatroomId
from domain.replies import ReplyId

# With the text that users gave it. The caller has locked it FOR UPDATE, which keeps messages and replies out.
DETACH = "UPDATE chatrooms SET user_id = NULL, name = '', system_prompt = NULL WHERE id = ANY(%(rooms)s)"
# So workers stop writing them, and none can be claimed. A user has few of them.
DELETE_UNFINISHED = f"""
DELETE FROM replies WHERE chatroom_id = ANY(%(rooms)s) AND {BY_ROOM} RETURNING id
"""  # noqa: S608 - a condition, no values
# Those that another worker is deleting from are passed over.
REMOVED_ROOMS = "SELECT id FROM chatrooms WHERE user_id IS NULL ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED"
# Newest first: those are the ones whose replies may still have a stream.
NEWEST_MESSAGES = """
SELECT newest.id FROM unnest(%(rooms)s::uuid[]) AS room (id) CROSS JOIN LATERAL (
    SELECT id FROM messages WHERE chatroom_id = room.id ORDER BY sequence DESC LIMIT %(limit)s
) AS newest LIMIT %(limit)s
"""
# There is no bound on how often a message is asked again, so the replies have their own.
DELETE_REPLIES = """
DELETE FROM replies WHERE id = ANY(ARRAY(
    SELECT id FROM replies WHERE message_id = ANY(%(messages)s) LIMIT %(limit)s))
RETURNING id, finished_at IS NULL OR finished_at > now() - %(stream_gone_after)s
"""
DELETE_MESSAGES = """
DELETE FROM messages WHERE id = ANY(%(messages)s)
  AND NOT EXISTS (SELECT 1 FROM replies WHERE replies.message_id = messages.id)
"""
DELETE_EMPTY_ROOMS = """
DELETE FROM chatrooms WHERE id = ANY(%(rooms)s)
  AND NOT EXISTS (SELECT 1 FROM messages WHERE messages.chatroom_id = chatrooms.id) RETURNING id
"""


def delete_unfinished(cursor: BoundedCursor, rooms: Sequence[ChatroomId]) -> list[ReplyId]:
    """Delete the unfinished replies of rooms that are locked."""
    cursor.execute(DELETE_UNFINISHED, {"rooms": list(rooms)})
    return [row[0] for row in cursor.fetchall()]


def delete_contents(
    cursor: BoundedCursor, rooms: Sequence[ChatroomId], *, limit: int
) -> tuple[Purged, set[ChatroomId]]:
    """Delete at most ``limit`` messages and as many replies of rooms that are locked, and those that are empty then.

    Returns the rooms that are left, too.
    """
    if not rooms:
        return Purged(0, 0, 0, []), set()
    cursor.execute(NEWEST_MESSAGES, {"rooms": list(rooms), "limit": limit})
    messages = [row[0] for row in cursor.fetchall()]
    cursor.execute(DELETE_REPLIES, {"messages": messages, "limit": limit, "stream_gone_after": STREAM_GONE_AFTER})
    replies = cursor.fetchall()
    cursor.execute(DELETE_MESSAGES, {"messages": messages})
    deleted_messages = cursor.rowcount
    cursor.execute(DELETE_EMPTY_ROOMS, {"rooms": list(rooms)})
    gone = {row[0] for row in cursor.fetchall()}
    with_stream = [reply_id for reply_id, may_have_stream in replies if may_have_stream]
    return Purged(len(gone), deleted_messages, len(replies), with_stream), set(rooms) - gone
