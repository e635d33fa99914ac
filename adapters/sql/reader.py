"""Reads PostgreSQL for the entry points, with one statement for each question, outside of transactions.

Columns have the names of the fields they become, in the same order (tests/integration/test_rows.py).
"""

from collections.abc import Sequence
from typing import Any

from adapters.sql.database import Database, PreparedStatement
from adapters.sql.subscriptions import SUBSCRIPTION_COLUMNS, plan_of, subscription_from
from adapters.sql.usage import TODAY
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
from domain.accounts import LoginMethod, Principal, SessionId, UserId
from domain.chat import ChatroomId, MessageId
from domain.plans import Allowances, DailyQuota
from domain.replies import FailureReason, ReplyId, ReplyState

# Stands for NULL, from where the first page begins: with an OR for NULL the plan could not start in the index.
AFTER_ALL = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"

PRINCIPAL = """
SELECT user_id, id AS session_id, method, started_at FROM sessions
WHERE id = %(id)s AND ended_at IS NULL AND expires_at > now()
"""
SESSIONS = """
SELECT id, method, device, started_at, COALESCE(last_used_at, started_at) AS last_used_at, expires_at FROM sessions
WHERE user_id = %(user_id)s AND ended_at IS NULL AND expires_at > now()
ORDER BY id DESC LIMIT 100
"""
PROFILE_COLUMNS = f"""u.id, u.phone, u.name, u.email, u.created_at, today.day, COALESCE(d.used, 0) AS used,
       {SUBSCRIPTION_COLUMNS}"""
USE_AND_SUBSCRIPTION = f"""CROSS JOIN (SELECT {TODAY} AS day) AS today
LEFT JOIN daily_usage d ON d.user_id = u.id AND d.day = today.day
LEFT JOIN subscriptions s ON s.user_id = u.id"""
PROFILE = f"""
SELECT {PROFILE_COLUMNS}
FROM users u
{USE_AND_SUBSCRIPTION}
WHERE u.id = %(id)s
"""  # noqa: S608 - columns, no values
PRINCIPAL_WITH_PROFILE = f"""
SELECT login.method, login.started_at, {PROFILE_COLUMNS}
FROM sessions login
JOIN users u ON u.id = login.user_id
{USE_AND_SUBSCRIPTION}
WHERE login.id = %(id)s AND login.ended_at IS NULL AND login.expires_at > now()
"""  # noqa: S608 - columns, no values
PLAN_STATUS = f"""
SELECT today.day, COALESCE(d.used, 0) AS used, {SUBSCRIPTION_COLUMNS}
FROM (SELECT {TODAY} AS day) AS today
LEFT JOIN daily_usage d ON d.user_id = %(id)s AND d.day = today.day
LEFT JOIN subscriptions s ON s.user_id = %(id)s
"""  # noqa: S608 - columns, no values
ROOMS = f"""
SELECT id, name, created_at, updated_at FROM chatrooms
WHERE user_id = %(user_id)s AND id < COALESCE(%(before)s::uuid, {AFTER_ALL})
ORDER BY id DESC LIMIT %(limit)s
"""  # noqa: S608 - a constant, no values
TURN_COLUMNS = """t.id AS message_id, t.content, t.created_at AS sent_at,
       r.id AS reply_id, r.state AS reply_state, r.run AS generation, r.content AS reply_content,
       r.created_at AS reply_created_at, r.finished_at, r.model, r.failure, r.truncated,
       r.input_tokens, r.output_tokens"""
NEWEST_REPLY = "(SELECT * FROM replies WHERE replies.message_id = t.id ORDER BY replies.id DESC LIMIT 1) r"
# The chatroom's columns come with every turn. This saves a round trip, and a chatroom without turns still has a row.
CONVERSATION = f"""
SELECT c.name, c.system_prompt, c.created_at, c.updated_at, {TURN_COLUMNS}
FROM chatrooms c
LEFT JOIN LATERAL (
    SELECT m.id, m.content, m.created_at FROM messages m
    WHERE m.chatroom_id = c.id AND m.id < COALESCE(%(before)s::uuid, {AFTER_ALL})
    ORDER BY m.id DESC LIMIT %(limit)s
) t ON true
LEFT JOIN LATERAL {NEWEST_REPLY} ON true
WHERE c.id = %(chatroom_id)s AND c.user_id = %(user_id)s
ORDER BY t.id DESC
"""  # noqa: S608 - columns, no values
TURNS_FROM = f"""
SELECT {TURN_COLUMNS}
FROM chatrooms c
LEFT JOIN LATERAL (
    SELECT m.id, m.content, m.created_at FROM messages m
    WHERE m.chatroom_id = c.id
      AND m.id >= COALESCE((SELECT message_id FROM replies WHERE id = %(entry_id)s), %(entry_id)s)
    ORDER BY m.id LIMIT %(limit)s
) t ON true
LEFT JOIN LATERAL {NEWEST_REPLY} ON true
WHERE c.id = %(chatroom_id)s AND c.user_id = %(user_id)s
ORDER BY t.id
"""  # noqa: S608 - columns, no values
# With the id of a reply, that reply; with the id of a message, its newest reply.
ENTRY = f"""
SELECT t.chatroom_id, ARRAY(SELECT id FROM replies WHERE message_id = t.id ORDER BY id) AS replies, {TURN_COLUMNS}
FROM messages t
JOIN chatrooms c ON c.id = t.chatroom_id AND c.user_id = %(user_id)s
JOIN LATERAL (
    SELECT * FROM replies WHERE replies.message_id = t.id ORDER BY (replies.id = %(entry_id)s) DESC, replies.id DESC
    LIMIT 1
) r ON true
WHERE t.id = COALESCE((SELECT message_id FROM replies WHERE id = %(entry_id)s), %(entry_id)s)
"""  # noqa: S608 - columns, no values
HISTORY = """
SELECT m.content AS prompt, r.content AS answer FROM messages m
JOIN LATERAL (
    SELECT content FROM replies
    WHERE replies.message_id = m.id AND (state = 'done' OR (state = 'cancelled' AND content <> ''))
    ORDER BY (state = 'done') DESC, replies.id DESC LIMIT 1
) r ON true
WHERE m.chatroom_id = %(chatroom_id)s AND m.id < %(before)s
ORDER BY m.id DESC LIMIT %(limit)s
"""

# Looking a value up here costs a fifth of a call of the enumeration.
STATES = {state.value: state for state in ReplyState}
FAILURES: dict[str | None, FailureReason | None] = {None: None, **{reason.value: reason for reason in FailureReason}}
REPLY_STATE, FAILURE = Turn._fields.index("reply_state"), Turn._fields.index("failure")

ASK_PRINCIPAL = PreparedStatement("principal", PRINCIPAL)
ASK_PROFILE = PreparedStatement("profile", PROFILE)
ASK_PRINCIPAL_WITH_PROFILE = PreparedStatement("principal_with_profile", PRINCIPAL_WITH_PROFILE)
ASK_ROOMS = PreparedStatement("rooms", ROOMS)
ASK_CONVERSATION = PreparedStatement("conversation", CONVERSATION)


class SqlReader(Reader):
    def __init__(self, database: Database) -> None:
        self._database = database

    def principal(self, session_id: SessionId) -> Principal | None:
        row = self._one(ASK_PRINCIPAL, {"id": session_id})
        if row is None:
            return None
        user_id, found_id, method, started_at = row
        return Principal(user_id, found_id, LoginMethod(method), started_at)

    def sessions(self, user_id: UserId) -> Sequence[SessionSummary]:
        with self._database.read() as cursor:
            cursor.execute(SESSIONS, {"user_id": user_id})
            rows = cursor.fetchall()
        return [SessionSummary(found_id, LoginMethod(method), *rest) for found_id, method, *rest in rows]

    def profile(self, user_id: UserId, *, allowances: Allowances) -> Profile | None:
        row = self._one(ASK_PROFILE, {"id": user_id})
        return None if row is None else _profile(row, allowances)

    def principal_with_profile(
        self, session_id: SessionId, *, allowances: Allowances
    ) -> tuple[Principal, Profile] | None:
        row = self._one(ASK_PRINCIPAL_WITH_PROFILE, {"id": session_id})
        if row is None:
            return None
        method, started_at, *columns = row
        profile = _profile(columns, allowances)
        return Principal(profile.id, session_id, LoginMethod(method), started_at), profile

    def plan_status(self, user_id: UserId, *, allowances: Allowances) -> PlanStatus:
        row = self._one(PLAN_STATUS, {"id": user_id})
        assert row is not None  # noqa: S101 - a select from a constant row always has a row
        day, used, *columns = row
        subscription = subscription_from(columns)
        plan = plan_of(subscription)
        return PlanStatus(plan, subscription, DailyQuota(day, used, allowances[plan].daily_prompts, plan))

    def rooms(self, user_id: UserId, *, limit: int, before: ChatroomId | None) -> RoomPage:
        with self._database.read() as cursor:
            # One more than asked for shows whether there is a next page.
            ASK_ROOMS.execute(cursor, {"user_id": user_id, "before": before, "limit": limit + 1})
            rows = cursor.fetchall()
        rooms = [ChatroomSummary._make(row) for row in rows[:limit]]
        return RoomPage(rooms, rooms[-1].id if len(rows) > limit else None)

    def conversation(
        self, user_id: UserId, chatroom_id: ChatroomId, *, turns: int, before: MessageId | None
    ) -> Conversation | None:
        with self._database.read() as cursor:
            ASK_CONVERSATION.execute(
                cursor,
                {
                    "user_id": user_id,
                    "chatroom_id": chatroom_id,
                    "before": before,
                    "limit": turns + 1,
                },
            )
            rows = cursor.fetchall()
        if not rows:
            return None
        name, system_prompt, created_at, updated_at, *first = rows[0]
        page = [_turn(columns) for _, _, _, _, *columns in rows[:turns]] if first[0] is not None else []
        next_before = page[-1].message_id if len(rows) > turns else None
        page.reverse()
        return Conversation(chatroom_id, name, system_prompt, created_at, updated_at, page, next_before)

    def turns_from(
        self, user_id: UserId, chatroom_id: ChatroomId, *, entry_id: MessageId | ReplyId, turns: int
    ) -> Sequence[Turn] | None:
        with self._database.read() as cursor:
            cursor.execute(
                TURNS_FROM,
                {"user_id": user_id, "chatroom_id": chatroom_id, "entry_id": entry_id, "limit": turns},
            )
            rows = cursor.fetchall()
        return [_turn([*row]) for row in rows if row[0] is not None] if rows else None

    def entry(self, user_id: UserId, entry_id: MessageId | ReplyId) -> Entry | None:
        row = self._one(ENTRY, {"user_id": user_id, "entry_id": entry_id})
        if row is None:
            return None
        chatroom_id, replies, *columns = row
        return Entry(chatroom_id, _turn(columns), replies)

    def history(self, chatroom_id: ChatroomId, *, before: MessageId, turns: int) -> Sequence[Exchange]:
        with self._database.read() as cursor:
            cursor.execute(HISTORY, {"chatroom_id": chatroom_id, "before": before, "limit": turns})
            return [Exchange._make(row) for row in cursor.fetchall()]

    def _one(self, statement: PreparedStatement | str, values: dict[str, Any]) -> tuple[Any, ...] | None:
        with self._database.read() as cursor:
            if isinstance(statement, PreparedStatement):
                statement.execute(cursor, values)
            else:
                cursor.execute(statement, values)
            return cursor.fetchone()


def _profile(columns: Sequence[Any], allowances: Allowances) -> Profile:
    user_id, phone, name, email, created_at, day, used, *subscription = columns
    plan = plan_of(subscription_from(subscription))
    quota = DailyQuota(day, used, allowances[plan].daily_prompts, plan)
    return Profile(user_id, phone, name, email, created_at, plan, quota)


def _turn(columns: list[Any]) -> Turn:
    """The turn of TURN_COLUMNS."""
    columns[REPLY_STATE] = STATES[columns[REPLY_STATE]]
    columns[FAILURE] = FAILURES[columns[FAILURE]]
    return Turn._make(columns)
