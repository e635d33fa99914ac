"""Searching in PostgreSQL: its full text search, with words of our own.

What a text can be found by is decided by ``domain.search``: PostgreSQL's parser takes Devanagari words apart at their
marks, leaves emoji out, and takes a sentence of Chinese or Thai for one word. So no configuration of it is used, and no
extension is needed. Each lexeme begins with four characters of its owner's id: a search reads the index entries of that
user alone, or nearly, however many users there are. What is found is the user's own all the same: the chatroom says so.
"""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg2.errors import QueryCanceled

from adapters.sql.database import Database
from adapters.sql.queue_state import first_id_of
from adapters.sql.reader import AFTER_ALL, ROOM_COLUMNS
from application.ports.reader import ChatroomSummary
from application.ports.search import (
    SETTLED_AFTER,
    EntryId,
    FoundEntry,
    FoundPage,
    Search,
    Searchable,
    SearchIndex,
    Unsearchable,
)
from domain.accounts import UserId
from domain.errors import SearchTooBroad
from domain.search import SEARCHED_CHARACTERS, SearchQuery, Term

SEARCH_SECONDS = 2
# So many workers share what is not searchable yet; more do some of it twice.
AMONG_BATCHES = 8

# With the statement as one message, which PostgreSQL takes as one transaction. A plan that reads whole tables is never
# the better one here, whatever the statistics say.
BOUNDED = f"SET LOCAL statement_timeout = '{SEARCH_SECONDS}s'; SET LOCAL enable_seqscan = off;"
# The condition on the id comes after the index of words: before it, the plan might read all ids instead.
ENTRIES = f"""
WITH found AS MATERIALIZED (
    SELECT id, chatroom_id, false AS is_reply FROM messages WHERE words @@ %(words)s::tsquery
    UNION ALL
    SELECT id, chatroom_id, true FROM replies WHERE words @@ %(words)s::tsquery
), mine AS MATERIALIZED (
    SELECT found.id, found.chatroom_id, c.name, found.is_reply
    FROM found JOIN chatrooms c ON c.id = found.chatroom_id
    WHERE c.user_id = %(user_id)s AND found.id < COALESCE(%(before)s::uuid, {AFTER_ALL})
    ORDER BY found.id DESC LIMIT %(limit)s
)
SELECT mine.id, mine.chatroom_id, mine.name AS chatroom_name, mine.is_reply,
       left(COALESCE(m.content, r.content), {SEARCHED_CHARACTERS}) AS content,
       COALESCE(m.created_at, r.created_at) AS created_at
FROM mine LEFT JOIN messages m ON m.id = mine.id LEFT JOIN replies r ON r.id = mine.id
ORDER BY mine.id DESC
"""  # noqa: S608 - constants, no values
# The oldest stand first in the index, in which the order has them looked for. A reply may end long after it was queued.
IS_COMPLETE = """
SELECT NOT EXISTS (SELECT 1 FROM (
    SELECT id FROM messages WHERE words IS NULL ORDER BY id LIMIT 1) AS first WHERE id < %(settled_id)s)
   AND NOT EXISTS (SELECT 1 FROM (
    SELECT id, finished_at FROM replies WHERE words IS NULL AND content IS NOT NULL ORDER BY id LIMIT 100) AS first
    WHERE id < %(settled_id)s AND finished_at < now() - %(settled_after)s)
"""
CHATROOMS = f"""
SELECT {ROOM_COLUMNS} FROM chatrooms WHERE user_id = %(user_id)s ORDER BY id DESC LIMIT %(limit)s
"""  # noqa: S608 - columns, no values
# Of the newest, some at random: workers that look at the same moment would make the same ones searchable otherwise.
PICKED = {
    table: f"""ARRAY(
    SELECT id FROM (SELECT id FROM {table} WHERE {missing} ORDER BY id DESC LIMIT %(limit)s * {AMONG_BATCHES}) AS newest
    ORDER BY random() LIMIT %(limit)s)"""  # noqa: S608 - constants, no values
    for table, missing in (("messages", "words IS NULL"), ("replies", "words IS NULL AND content IS NOT NULL"))
}
UNSEARCHABLE = f"""
(SELECT m.id, false AS is_reply, c.user_id AS owner, left(m.content, {SEARCHED_CHARACTERS}) AS content
 FROM messages m JOIN chatrooms c ON c.id = m.chatroom_id WHERE m.id = ANY({PICKED["messages"]}))
UNION ALL
(SELECT r.id, true, c.user_id, left(r.content, {SEARCHED_CHARACTERS})
 FROM replies r JOIN chatrooms c ON c.id = r.chatroom_id WHERE r.id = ANY({PICKED["replies"]}))
"""  # noqa: S608 - constants, no values
# Skips rows that are locked, so that it waits for no other transaction.
ADD = {
    table: f"""
UPDATE {table} SET words = searchable.words::tsvector
FROM unnest(%(ids)s::uuid[], %(words)s::text[]) AS searchable (id, words)
WHERE {table}.id = searchable.id AND {table}.id = ANY(ARRAY(
    SELECT id FROM {table} WHERE id = ANY(%(ids)s::uuid[]) AND words IS NULL FOR NO KEY UPDATE SKIP LOCKED))
"""  # noqa: S608 - names of tables, no values
    for table in ("messages", "replies")
}


class SqlSearch(Search):
    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(self, user_id: UserId, query: SearchQuery, *, limit: int, before: EntryId | None) -> FoundPage:
        words = " & ".join(_wanted(user_id, term) for term in query.terms)
        values = {"words": words, "user_id": user_id, "before": before, "limit": limit + 1}
        with self._database.read() as cursor:
            try:
                cursor.execute(BOUNDED + ENTRIES, values)
            except QueryCanceled:
                raise SearchTooBroad from None  # the driver's text would quote what was looked for
            rows = cursor.fetchall()
            settled_id = first_id_of(datetime.now(UTC) - SETTLED_AFTER)
            cursor.execute(IS_COMPLETE, {"settled_id": settled_id, "settled_after": SETTLED_AFTER})
            complete: Any = cursor.fetchone()
        entries = [FoundEntry._make(row) for row in rows[:limit]]
        return FoundPage(entries, entries[-1].id if len(rows) > limit else None, complete[0])

    def chatrooms(self, user_id: UserId, *, limit: int) -> Sequence[ChatroomSummary]:
        rows = self._database.rows(CHATROOMS, {"user_id": user_id, "limit": limit})
        return [ChatroomSummary._make(row) for row in rows]


class SqlSearchIndex(SearchIndex):
    def __init__(self, database: Database) -> None:
        self._database = database

    def unsearchable(self, *, limit: int) -> Sequence[Unsearchable]:
        return [Unsearchable._make(row) for row in self._database.rows(UNSEARCHABLE, {"limit": limit})]

    def add(self, entries: Sequence[Searchable]) -> None:
        with self._database.transaction() as transaction:
            for table, are_replies in (("messages", False), ("replies", True)):
                those = [entry for entry in entries if entry.is_reply is are_replies]
                if those:
                    words = [_words(entry) for entry in those]
                    transaction.execute(ADD[table], {"ids": [entry.id for entry in those], "words": words})
            transaction.commit()


# Terms have letters, marks, digits and symbols only: nothing that ends a quoted lexeme.


def _words(entry: Searchable) -> str:
    """A tsvector. Of a removed chatroom an empty one, so that its entries do not come up again."""
    if entry.owner is None:
        return ""
    prefix = _prefix(entry.owner)
    return " ".join(f"'{prefix}{term}'" for term in entry.terms)


def _wanted(user_id: UserId, term: Term) -> str:
    return f"'{_prefix(user_id)}{term.text}'{':*' if term.begins else ''}"


def _prefix(user_id: UserId) -> str:
    return urlsafe_b64encode(user_id.bytes[-3:]).decode()
