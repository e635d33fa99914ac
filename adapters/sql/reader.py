"""Reads PostgreSQL for the entry points, with one statement for each question, outside of transactions.

Columns have the names of the fields they become, in the same order (tests/integration/test_rows.py).
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any
from uuid import UUID

from adapters.sql.database import Database, PreparedStatement
from adapters.sql.feedback import FEEDBACK_COLUMNS, feedback_of
from adapters.sql.replies import overdue
from adapters.sql.subscriptions import GRANTED_UNTIL, IS_PRO, SUBSCRIPTION_COLUMNS, subscription_from
from adapters.sql.usage import TODAY
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
from domain.accounts import LoginMethod, Principal, SessionId, UserId
from domain.billing import plan_of
from domain.chat import ChatroomId, MessageId
from domain.plans import Allowances, DailyQuota, Plan
from domain.replies import FailureReason, ReplyId, ReplyState

# Stands for NULL, from where the first page begins: with an OR for NULL the plan could not start in the index.
AFTER_ALL = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"

BEFORE_ALL = UUID(int=0)

PRINCIPAL = """
SELECT user_id, method, started_at FROM sessions
WHERE id = %(id)s AND ended_at IS NULL AND expires_at > now()
"""
PRINCIPAL_WITH_LIST_VERSION = """
SELECT login.user_id, login.method, login.started_at, COALESCE(list.version, 0) AS version
FROM sessions login LEFT JOIN chatroom_lists list ON list.user_id = login.user_id
WHERE login.id = %(id)s AND login.ended_at IS NULL AND login.expires_at > now()
"""
IS_LOCKED = "SELECT EXISTS (SELECT 1 FROM users WHERE id = %(id)s AND locked_at IS NOT NULL)"
SESSIONS = """
SELECT id, method, device, started_at, COALESCE(last_used_at, started_at) AS last_used_at, expires_at FROM sessions
WHERE user_id = %(user_id)s AND ended_at IS NULL AND expires_at > now()
ORDER BY id DESC LIMIT 100
"""
PROFILE_COLUMNS = f"""u.id, u.phone, u.name, u.email, u.created_at, today.day, COALESCE(d.used, 0) AS used,
       COALESCE({IS_PRO}, false) OR COALESCE(u.pro_until > now(), false) AS is_pro"""
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
SELECT today.day, COALESCE(d.used, 0) AS used, {GRANTED_UNTIL}, {SUBSCRIPTION_COLUMNS}
FROM (SELECT {TODAY} AS day) AS today
LEFT JOIN daily_usage d ON d.user_id = %(id)s AND d.day = today.day
LEFT JOIN subscriptions s ON s.user_id = %(id)s
LEFT JOIN users u ON u.id = %(id)s
"""  # noqa: S608 - columns, no values
ROOM_COLUMNS = """id, name, created_at, updated_at, pinned_at IS NOT NULL AS pinned,
       archived_at IS NOT NULL AS archived"""
# Each part through an index, and no further than the page goes.
# Where the table was never analyzed, the planner believes of IS NULL that it holds for few, and would sort all rooms of
# a user; of an inequality it believes that it holds for a third.
ROOMS = f"""
SELECT * FROM (
    (SELECT {ROOM_COLUMNS} FROM chatrooms
     WHERE user_id = %(user_id)s AND pinned_at IS NOT NULL AND id < COALESCE(%(pinned_before)s::uuid, {AFTER_ALL})
     ORDER BY id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT {ROOM_COLUMNS} FROM chatrooms
     WHERE user_id = %(user_id)s AND num_nonnulls(pinned_at, archived_at) < 1
       AND id < COALESCE(%(before)s::uuid, {AFTER_ALL})
     ORDER BY id DESC LIMIT %(limit)s)
) AS listed ORDER BY pinned DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608 - parts of statements, no values
ARCHIVED_ROOMS = f"""
SELECT {ROOM_COLUMNS} FROM chatrooms
WHERE user_id = %(user_id)s AND archived_at IS NOT NULL AND id < COALESCE(%(before)s::uuid, {AFTER_ALL})
ORDER BY id DESC LIMIT %(limit)s
"""  # noqa: S608 - parts of statements, no values
# Where a page is full (application.ports.reader.PAGE_MAX_BYTES), texts are left out, and the last column says so.
# PostgreSQL knows the size of a text without reading it.
IS_FULL = f"""COALESCE(sum(octet_length({{content}})) OVER (
        ORDER BY {{order}} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) >= {PAGE_MAX_BYTES}"""
# That costs a tenth of the statement, so the one that is asked all the time only marks long texts and leaves them out;
# the page is then read again. A page has at most fifty turns, which do not fill it without a long one.
LONG_BYTES = PAGE_MAX_BYTES // 50
IS_LONG = f"COALESCE(octet_length(r.content) > {LONG_BYTES}, false)"


def _turn_columns(content: str) -> str:
    return f"""t.id AS message_id, t.content, t.created_at AS sent_at,
       r.id AS reply_id, r.state AS reply_state, r.run AS generation, {content} AS reply_content,
       r.created_at AS reply_created_at, r.finished_at, r.model, r.failure, r.truncated,
       r.input_tokens, r.output_tokens, latest.id AS latest_id, latest.state AS latest_state,
       latest.failure AS latest_failure, {overdue("r")} OR COALESCE(latest.overdue, false) AS overdue,
       {FEEDBACK_COLUMNS}"""


def _left_out(content: str, *, where: str) -> str:
    return f"CASE WHEN NOT {where} THEN {content} END"


TURN_COLUMNS = _turn_columns("r.content")
STOPPED_WITH_TEXT = "(state = 'cancelled' AND content IS NOT NULL)"
# Of the replies to a message, the one that shows in the conversation comes first.
SHOWN_FIRST = f"(state = 'done') DESC, {STOPPED_WITH_TEXT} DESC, sequence DESC"
SHOWN_REPLY = f"""(
    SELECT * FROM replies WHERE replies.message_id = t.id ORDER BY {SHOWN_FIRST} LIMIT 1
) r"""  # noqa: S608 - parts of statements, no values
LATEST_REPLY = f"""(
    SELECT id, state, failure, {overdue("replies")} AS overdue FROM replies
    WHERE replies.message_id = t.id AND replies.sequence > r.sequence
    ORDER BY replies.sequence DESC LIMIT 1
) latest"""  # noqa: S608 - a condition, no values
# Of a reply, that of its message, and what stands with it.
BEFORE = """COALESCE(
    (SELECT sequence FROM messages WHERE id = %(before)s AND chatroom_id = %(chatroom_id)s),
    (SELECT m.sequence + 1 FROM replies r JOIN messages m ON m.id = r.message_id
     WHERE r.id = %(before)s AND m.chatroom_id = %(chatroom_id)s),
    9223372036854775807)"""
AFTER = """COALESCE(
    (SELECT sequence FROM messages WHERE id = %(entry_id)s AND chatroom_id = %(chatroom_id)s),
    (SELECT sequence FROM replies WHERE id = %(entry_id)s AND chatroom_id = %(chatroom_id)s),
    GREATEST((SELECT max(sequence) FROM messages WHERE chatroom_id = %(chatroom_id)s AND id < %(entry_id)s),
             (SELECT max(sequence) FROM replies WHERE chatroom_id = %(chatroom_id)s AND id < %(entry_id)s)),
    0)"""
ROOM_OF_PAGE = """c.name, c.system_prompt, c.created_at, c.updated_at,
           c.pinned_at IS NOT NULL AS pinned, c.archived_at IS NOT NULL AS archived"""
TURNS = f"""LEFT JOIN LATERAL (
    SELECT m.id, m.content, m.created_at, m.sequence, row_number() OVER (ORDER BY m.sequence DESC) AS place
    FROM messages m
    WHERE m.chatroom_id = c.id AND m.sequence < {BEFORE}
    ORDER BY m.sequence DESC LIMIT %(limit)s
) t ON true
LEFT JOIN LATERAL {SHOWN_REPLY} ON true
LEFT JOIN LATERAL {LATEST_REPLY} ON true"""  # noqa: S608 - columns, no values
CONVERSATION_IS_FULL = IS_FULL.format(content="r.content", order="t.sequence DESC")
# The chatroom's columns come with the first turn. That saves a round trip, and a chatroom without turns has a row, too.
CONVERSATION = f"""
SELECT head.*, {_turn_columns(_left_out("r.content", where=CONVERSATION_IS_FULL))}, {CONVERSATION_IS_FULL} AS is_full
FROM chatrooms c
{TURNS}
LEFT JOIN LATERAL (SELECT {ROOM_OF_PAGE} WHERE COALESCE(t.place, 1) = 1) head ON true
WHERE c.id = %(chatroom_id)s AND c.user_id = %(user_id)s
ORDER BY t.sequence DESC
"""  # noqa: S608 - columns, no values
# A session without such a chatroom has a row, too.
PRINCIPAL_WITH_CONVERSATION = f"""
SELECT head.*, {_turn_columns(_left_out("r.content", where=IS_LONG))}, {IS_LONG} AS is_long
FROM sessions login
LEFT JOIN chatrooms c ON c.id = %(chatroom_id)s AND c.user_id = login.user_id
{TURNS}
LEFT JOIN LATERAL (
    SELECT login.user_id, login.method, login.started_at, {ROOM_OF_PAGE} WHERE COALESCE(t.place, 1) = 1
) head ON true
WHERE login.id = %(id)s AND login.ended_at IS NULL AND login.expires_at > now()
ORDER BY t.sequence DESC
"""  # noqa: S608 - columns, no values
ENTRIES_ARE_FULL = IS_FULL.format(content="e.reply_content", order="e.sequence")
# Of either table as many as are asked for, each through its index, and then the first of both.
ENTRIES_AFTER = f"""
SELECT e.message_id, e.content, e.sent_at, e.reply_id, e.reply_state, e.generation,
       {_left_out("e.reply_content", where=ENTRIES_ARE_FULL)} AS reply_content,
       e.reply_created_at, e.finished_at, e.model, e.failure, e.truncated, e.input_tokens, e.output_tokens,
       e.overdue, e.rating, e.reasons, e.comment, e.given_at, {ENTRIES_ARE_FULL} AS is_full
FROM chatrooms c
LEFT JOIN LATERAL (
    (SELECT m.sequence, m.id AS message_id, m.content, m.created_at AS sent_at, NULL::uuid AS reply_id,
            NULL AS reply_state, NULL::integer AS generation, NULL AS reply_content,
            NULL::timestamptz AS reply_created_at, NULL::timestamptz AS finished_at, NULL AS model, NULL AS failure,
            NULL::boolean AS truncated, NULL::bigint AS input_tokens, NULL::bigint AS output_tokens,
            NULL::boolean AS overdue, NULL AS rating, NULL::text[] AS reasons, NULL AS comment,
            NULL::timestamptz AS given_at
     FROM messages m WHERE m.chatroom_id = c.id AND m.sequence > {AFTER}
     ORDER BY m.sequence LIMIT %(limit)s)
    UNION ALL
    (SELECT r.sequence, r.message_id, NULL, NULL, r.id, r.state, r.run, r.content, r.created_at, r.finished_at, r.model,
            r.failure, r.truncated, r.input_tokens, r.output_tokens, {overdue("r")}, {FEEDBACK_COLUMNS}
     FROM replies r WHERE r.chatroom_id = c.id AND r.sequence > {AFTER}
     ORDER BY r.sequence LIMIT %(limit)s)
    ORDER BY sequence LIMIT %(limit)s
) e ON true
WHERE c.id = %(chatroom_id)s AND c.user_id = %(user_id)s
ORDER BY e.sequence
"""  # noqa: S608 - parts of statements, no values
REPLIES_ARE_FULL = IS_FULL.format(content="r.content", order="r.sequence")
# The chatroom's id comes with every reply, and a page behind the last reply still has a row.
REPLIES = f"""
SELECT t.chatroom_id, t.id AS message_id, r.id AS reply_id, r.state AS reply_state, r.run AS generation,
       {_left_out("r.content", where=REPLIES_ARE_FULL)} AS reply_content, r.created_at AS reply_created_at,
       r.finished_at, r.model, r.failure, r.truncated, r.input_tokens, r.output_tokens, {overdue("r")} AS overdue,
       {FEEDBACK_COLUMNS}, {REPLIES_ARE_FULL} AS is_full
FROM messages t
JOIN chatrooms c ON c.id = t.chatroom_id AND c.user_id = %(user_id)s
LEFT JOIN LATERAL (
    SELECT * FROM replies WHERE replies.message_id = t.id AND replies.sequence > COALESCE(
        (SELECT sequence FROM replies WHERE id = %(after)s AND message_id = t.id), 0)
    ORDER BY replies.sequence LIMIT %(limit)s
) r ON true
WHERE t.id = COALESCE((SELECT message_id FROM replies WHERE id = %(entry_id)s), %(entry_id)s)
ORDER BY r.sequence
"""  # noqa: S608 - a condition, no values
# With the id of a reply, that reply; with the id of a message, its newest reply.
ENTRY = f"""
SELECT t.chatroom_id, ARRAY(SELECT id FROM replies WHERE message_id = t.id ORDER BY sequence) AS replies,
       {TURN_COLUMNS}
FROM messages t
JOIN chatrooms c ON c.id = t.chatroom_id AND c.user_id = %(user_id)s
JOIN LATERAL (
    SELECT * FROM replies WHERE replies.message_id = t.id
    ORDER BY (replies.id = %(entry_id)s) DESC, replies.sequence DESC LIMIT 1
) r ON true
LEFT JOIN LATERAL {LATEST_REPLY} ON true
WHERE t.id = COALESCE((SELECT message_id FROM replies WHERE id = %(entry_id)s), %(entry_id)s)
"""  # noqa: S608 - columns, no values
HISTORY = f"""
SELECT m.content AS prompt, r.content AS answer FROM messages m
JOIN LATERAL (
    SELECT content FROM replies
    WHERE replies.message_id = m.id AND (state = 'done' OR {STOPPED_WITH_TEXT})
    ORDER BY {SHOWN_FIRST} LIMIT 1
) r ON true
WHERE m.chatroom_id = %(chatroom_id)s AND m.sequence < {BEFORE}
ORDER BY m.sequence DESC LIMIT %(limit)s
"""  # noqa: S608 - parts of statements, no values

# Looking a value up here costs a fifth of a call of the enumeration.
STATES = {state.value: state for state in ReplyState}
FAILURES: dict[str | None, FailureReason | None] = {None: None, **{reason.value: reason for reason in FailureReason}}
REPLY_STATE, FAILURE = Turn._fields.index("reply_state"), Turn._fields.index("failure")
REPLY_ID = ReplyEntry._fields.index("reply_id")
LATEST_STATE, LATEST_FAILURE = Turn._fields.index("latest_state"), Turn._fields.index("latest_failure")

ASK_PRINCIPAL = PreparedStatement("principal", PRINCIPAL)
ASK_PROFILE = PreparedStatement("profile", PROFILE)
ASK_PRINCIPAL_WITH_PROFILE = PreparedStatement("principal_with_profile", PRINCIPAL_WITH_PROFILE)
ASK_PRINCIPAL_WITH_LIST_VERSION = PreparedStatement("principal_with_list_version", PRINCIPAL_WITH_LIST_VERSION)
ASK_ROOMS = PreparedStatement("rooms", ROOMS)
ASK_PRINCIPAL_WITH_CONVERSATION = PreparedStatement("principal_with_conversation", PRINCIPAL_WITH_CONVERSATION)
ASK_HISTORY = PreparedStatement("history", HISTORY)


class SqlReader(Reader):
    def __init__(self, database: Database) -> None:
        self._database = database

    def principal(self, session_id: SessionId) -> Principal | None:
        row = self._one(ASK_PRINCIPAL, {"id": session_id})
        if row is None:
            return None
        user_id, method, started_at = row
        return Principal(user_id, session_id, LoginMethod(method), started_at)

    def is_locked(self, user_id: UserId) -> bool:
        row = self._one(IS_LOCKED, {"id": user_id})
        return bool(row and row[0])

    def sessions(self, user_id: UserId) -> Sequence[SessionSummary]:
        rows = self._database.rows(SESSIONS, {"user_id": user_id})
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

    def principal_with_list_version(self, session_id: SessionId) -> tuple[Principal, int] | None:
        row = self._one(ASK_PRINCIPAL_WITH_LIST_VERSION, {"id": session_id})
        if row is None:
            return None
        user_id, method, started_at, version = row
        return Principal(user_id, session_id, LoginMethod(method), started_at), version

    def principal_with_conversation(
        self, session_id: SessionId, *, chatroom_id: ChatroomId, turns: int, before: MessageId | None
    ) -> tuple[Principal, Conversation | None] | None:
        values = {"id": session_id, "chatroom_id": chatroom_id, "before": before, "limit": turns + 1}
        rows = self._database.rows(ASK_PRINCIPAL_WITH_CONVERSATION, values)
        if not rows:
            return None
        user_id, method, started_at, name, *_ = rows[0]
        principal = Principal(user_id, session_id, LoginMethod(method), started_at)
        if name is None:
            return principal, None
        if any(is_long for *_, is_long in rows):
            return principal, self.conversation(user_id, chatroom_id, turns=turns, before=before)
        return principal, _conversation(chatroom_id, [row[3:] for row in rows], turns)

    def plan_status(self, user_id: UserId, *, allowances: Allowances) -> PlanStatus:
        row = self._one(PLAN_STATUS, {"id": user_id})
        assert row is not None  # noqa: S101 - a select from a constant row always has a row
        day, used, granted_until, *columns = row
        subscription = subscription_from(columns)
        plan = plan_of(subscription, granted=granted_until is not None)
        quota = DailyQuota(day, used, allowances[plan].daily_prompts, plan)
        return PlanStatus(plan, subscription, quota, granted_until)

    def rooms(
        self, user_id: UserId, *, limit: int, before: RoomCursor | None = None, archived: bool = False
    ) -> RoomPage:
        # One more than asked for shows whether there is a next page.
        values = {"user_id": user_id, "limit": limit + 1, **_behind(before)}
        rows = self._database.rows(ARCHIVED_ROOMS if archived else ASK_ROOMS, values)
        rooms = [ChatroomSummary._make(row) for row in rows[:limit]]
        return RoomPage(rooms, RoomCursor(rooms[-1].id, rooms[-1].pinned) if len(rows) > limit else None)

    def conversation(
        self, user_id: UserId, chatroom_id: ChatroomId, *, turns: int, before: MessageId | None
    ) -> Conversation | None:
        rows = self._database.rows(
            CONVERSATION,
            {"user_id": user_id, "chatroom_id": chatroom_id, "before": before, "limit": turns + 1},
        )
        return _conversation(chatroom_id, rows, turns) if rows else None

    def entries_after(
        self, user_id: UserId, chatroom_id: ChatroomId, *, entry_id: MessageId | ReplyId, limit: int
    ) -> Sequence[MessageEntry | ReplyEntry] | None:
        rows = self._database.rows(
            ENTRIES_AFTER, {"user_id": user_id, "chatroom_id": chatroom_id, "entry_id": entry_id, "limit": limit}
        )
        return [_entry(row) for *row, _ in _that_fit(rows) if row[0] is not None] if rows else None

    def entry(self, user_id: UserId, entry_id: MessageId | ReplyId) -> Entry | None:
        row = self._one(ENTRY, {"user_id": user_id, "entry_id": entry_id})
        if row is None:
            return None
        chatroom_id, replies, *columns = row
        return Entry(chatroom_id, _turn(columns), replies)

    def replies(
        self, user_id: UserId, entry_id: MessageId | ReplyId, *, limit: int, after: ReplyId | None
    ) -> ReplyPage | None:
        # One more than asked for shows whether there is a next page.
        values = {"user_id": user_id, "entry_id": entry_id, "after": after, "limit": limit + 1}
        rows = self._database.rows(REPLIES, values)
        if not rows:
            return None
        page = [_reply(columns) for _, *columns, _ in _that_fit(rows)[:limit] if columns[REPLY_ID] is not None]
        return ReplyPage(rows[0][0], page, page[-1].reply_id if page and len(rows) > len(page) else None)

    def history(self, chatroom_id: ChatroomId, *, before: MessageId, turns: int) -> Sequence[Exchange]:
        rows = self._database.rows(ASK_HISTORY, {"chatroom_id": chatroom_id, "before": before, "limit": turns})
        return [Exchange._make(row) for row in rows]

    def _one(self, statement: PreparedStatement | str, values: dict[str, Any]) -> tuple[Any, ...] | None:
        rows = self._database.rows(statement, values)
        return rows[0] if rows else None


def _behind(cursor: RoomCursor | None) -> dict[str, UUID | None]:
    if cursor is None:
        return {"pinned_before": None, "before": None}
    if cursor.pinned:
        return {"pinned_before": cursor.id, "before": None}
    return {"pinned_before": BEFORE_ALL, "before": cursor.id}


def _profile(columns: Sequence[Any], allowances: Allowances) -> Profile:
    user_id, phone, name, email, created_at, day, used, is_pro = columns
    plan = Plan.PRO if is_pro else Plan.BASIC
    quota = DailyQuota(day, used, allowances[plan].daily_prompts, plan)
    return Profile(user_id, phone, name, email, created_at, plan, quota)


def _conversation(chatroom_id: ChatroomId, rows: Sequence[Sequence[Any]], turns: int) -> Conversation:
    """The page of rows of CONVERSATION; one more than the page has shows that there is an older turn."""
    name, system_prompt, created_at, updated_at, pinned, archived, *first = rows[0]
    page = [_turn(turn) for _, _, _, _, _, _, *turn, _ in _that_fit(rows)[:turns]] if first[0] is not None else []
    next_before = page[-1].message_id if page and len(rows) > len(page) else None
    page.reverse()
    return Conversation(chatroom_id, name, system_prompt, created_at, updated_at, pinned, archived, page, next_before)


def _that_fit(rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """The rows of a page before it is full."""
    return list(takewhile(lambda row: not row[-1], rows))


def _turn(columns: Sequence[Any]) -> Turn:
    """The turn of TURN_COLUMNS."""
    *turn, rating, reasons, comment, given_at = columns
    turn[REPLY_STATE] = STATES[turn[REPLY_STATE]]
    turn[FAILURE] = FAILURES[turn[FAILURE]]
    turn[LATEST_STATE] = STATES.get(turn[LATEST_STATE])
    turn[LATEST_FAILURE] = FAILURES[turn[LATEST_FAILURE]]
    turn.append(feedback_of(rating, reasons, comment, given_at))
    return Turn._make(turn)


def _entry(columns: Sequence[Any]) -> MessageEntry | ReplyEntry:
    message_id, content, sent_at, reply_id, *others = columns
    if reply_id is None:
        return MessageEntry(message_id, content, sent_at)
    return _reply([message_id, reply_id, *others])


def _reply(columns: Sequence[Any]) -> ReplyEntry:
    """The reply of columns that are named after its fields."""
    *others, rating, reasons, comment, given_at = columns
    entry = ReplyEntry._make([*others, feedback_of(rating, reasons, comment, given_at)])
    return entry._replace(reply_state=STATES[entry.reply_state], failure=FAILURES[entry.failure])
