"""``application.chat.acceptance.accept_message`` in one statement: its round trips would cost more than its work.

The rule stands there; change it there first. ``tests/contract/test_acceptance.py`` holds this twin to it.
"""

import time
from collections import OrderedDict
from datetime import date
from threading import Lock

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql.chat import MESSAGES_OF_USER
from adapters.sql.database import PreparedStatement
from adapters.sql.replies import BACKLOG_OF_ALL, BACKLOG_OF_USER
from adapters.sql.subscriptions import IS_PRO
from application.ports.acceptance import Acceptance, AcceptedMessage
from domain.accounts import UserId
from domain.chat import Message
from domain.errors import BacklogFull, ChatroomNotFound, TooManyMessages, TooManyUnfinishedReplies
from domain.plans import Allowances, DailyQuota, Plan
from domain.replies import ReplyId, ReplyPolicy

# Each part depends on the ones before it, so nothing is written once one of them refuses. FOR KEY SHARE keeps user and
# chatroom from being deleted meanwhile, and the row of the day makes concurrent charges take turns. The chatroom is
# changed before the message is added, since the trigger that numbers the message changes its row again. A name that
# another transaction is giving wins: ``chatrooms.name`` is looked at again under the lock.
ACCEPT = f"""
WITH room AS MATERIALIZED (
    SELECT c.id, user_id, c.name, archived_at, COALESCE(pro_until > now(), false) AS granted
    FROM chatrooms c JOIN users u ON u.id = user_id
    WHERE c.id = %(chatroom_id)s AND user_id = %(user_id)s FOR KEY SHARE OF u FOR KEY SHARE OF c
), backlogs (mine, everybodys, kept) AS MATERIALIZED (
    SELECT ({BACKLOG_OF_USER}), CASE WHEN %(count_all)s THEN ({BACKLOG_OF_ALL}) ELSE 0 END,
           COALESCE(%(kept)s::bigint, ({MESSAGES_OF_USER}))
), plan AS MATERIALIZED (
    SELECT COALESCE((SELECT {IS_PRO} FROM subscriptions WHERE user_id = %(user_id)s), false)
        OR COALESCE((SELECT granted FROM room), false) AS is_pro
), allowed AS MATERIALIZED (
    SELECT CASE WHEN is_pro THEN %(pro_limit)s::integer ELSE %(basic_limit)s::integer END AS prompts FROM plan
), spent AS (
    INSERT INTO daily_usage (user_id, day, used)
    SELECT room.user_id, (now() AT TIME ZONE 'utc')::date, 1 FROM room, backlogs, allowed
    WHERE kept < %(user_messages)s AND mine < %(user_backlog)s AND everybodys < %(backlog)s
      AND (prompts IS NULL OR prompts > 0)
    ON CONFLICT (user_id, day) DO UPDATE SET used = daily_usage.used + 1
    WHERE (SELECT prompts IS NULL OR daily_usage.used < prompts FROM allowed)
    RETURNING user_id, day, used
), noted AS (
    UPDATE chatrooms SET name = CASE WHEN chatrooms.name = '' THEN %(title)s ELSE chatrooms.name END,
                         archived_at = NULL, updated_at = %(created_at)s::timestamptz
    FROM room, spent
    WHERE chatrooms.id = room.id AND (room.name = '' AND %(title)s <> '' OR room.archived_at IS NOT NULL)
      AND (chatrooms.name = '' AND %(title)s <> '' OR chatrooms.archived_at IS NOT NULL)
    RETURNING CASE WHEN room.name = '' AND chatrooms.name = %(title)s THEN NULLIF(chatrooms.name, '') END AS title
), message AS (
    INSERT INTO messages (id, chatroom_id, content, created_at)
    SELECT %(message_id)s::uuid, room.id, %(content)s, %(created_at)s::timestamptz
    FROM room CROSS JOIN spent LEFT JOIN noted ON true
    RETURNING id, chatroom_id, created_at
), reply AS (
    INSERT INTO replies (id, message_id, chatroom_id, user_id, state, priority, available_at, deadline, charged_on,
                         created_at)
    SELECT %(reply_id)s::uuid, message.id, message.chatroom_id, spent.user_id, 'queued',
           CASE WHEN is_pro THEN 0 ELSE 1 END, now(), now() + %(answer_within)s::interval, spent.day, message.created_at
    FROM message, spent, plan
)
SELECT EXISTS (SELECT 1 FROM room), kept, mine, everybodys, is_pro, (now() AT TIME ZONE 'utc')::date, spent.used,
       noted.title
FROM backlogs CROSS JOIN plan LEFT JOIN spent ON true LEFT JOIN noted ON true
"""  # noqa: S608 - parts of statements, no values
USED_ON = "SELECT COALESCE((SELECT used FROM daily_usage WHERE user_id = %(user_id)s AND day = %(day)s), 0)"
ACCEPT_PREPARED = PreparedStatement("accept_message", ACCEPT)

COUNT_AGAIN_AFTER_SECONDS = 0.25
RECOUNT_AFTER_SECONDS = 60.0
RECOUNT_FULL_AFTER_SECONDS = 1.0
ESTIMATED_USERS = 10_000


class EverybodysBacklog:
    """An estimate, shared by the threads of a process, of how many replies are unfinished: counting takes long.

    They are counted again every quarter of a second, and whenever the messages accepted here since the last count
    could have filled the backlog. So a process exceeds the limit by no more than the messages it accepts at the same
    moment, and several processes by what the others accept within that quarter of a second.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._expected: int | None = None
        self._count_again_at = 0.0

    def must_be_counted(self, *, limit: int) -> bool:
        """Whether the next message has to count. If not, it is added to the estimate."""
        with self._lock:
            if self._expected is None or self._expected >= limit:
                return True
            if time.monotonic() > self._count_again_at:
                # One thread counts; the others use the last count meanwhile.
                self._count_again_at = time.monotonic() + COUNT_AGAIN_AFTER_SECONDS
                return True
            self._expected += 1
            return False

    def was_counted(self, count: int) -> None:
        """Sets the estimate to ``count`` and the message that was accepted with it."""
        with self._lock:
            self._expected = count + 1
            self._count_again_at = time.monotonic() + COUNT_AGAIN_AFTER_SECONDS


class KeptMessages:
    """Estimates, shared by the threads of a process, of how many messages users have: counting many takes long.

    A user's are counted again after a minute, and after a second while there are too many. So a user exceeds the limit
    by no more than what other processes accept of theirs within that minute.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        # The number, and when it was counted; the user who sent last comes last.
        self._users: OrderedDict[UserId, tuple[int, float]] = OrderedDict()

    def estimate(self, user_id: UserId, *, limit: int) -> int | None:
        """None: they have to be counted."""
        with self._lock:
            count, counted_at = self._users.get(user_id, (0, float("-inf")))
        good_for = RECOUNT_FULL_AFTER_SECONDS if count >= limit else RECOUNT_AFTER_SECONDS
        return count if time.monotonic() - counted_at < good_for else None

    def were_counted(self, user_id: UserId, count: int) -> None:
        with self._lock:
            self._users[user_id] = count, time.monotonic()
            self._users.move_to_end(user_id)
            if len(self._users) > ESTIMATED_USERS:
                self._users.popitem(last=False)

    def one_more(self, user_id: UserId) -> None:
        with self._lock:
            if user_id in self._users:
                count, counted_at = self._users[user_id]
                self._users[user_id] = count + 1, counted_at


class SqlAcceptance(Acceptance):
    def __init__(self, cursor: Cursor, everybodys: EverybodysBacklog, kept_messages: KeptMessages) -> None:
        self._cursor = cursor
        self._everybodys = everybodys
        self._kept_messages = kept_messages

    def accept(
        self, message: Message, reply_id: ReplyId, *, allowances: Allowances, policy: ReplyPolicy
    ) -> AcceptedMessage:
        count_all = self._everybodys.must_be_counted(limit=policy.backlog)
        estimate = self._kept_messages.estimate(message.user_id, limit=policy.user_messages)
        ACCEPT_PREPARED.execute(
            self._cursor,
            {
                "user_id": message.user_id,
                "chatroom_id": message.chatroom_id,
                "message_id": message.id,
                "reply_id": reply_id,
                "content": message.content,
                "title": message.title,
                "created_at": message.created_at,
                "answer_within": policy.deadline,
                "user_backlog": policy.user_backlog,
                "backlog": policy.backlog,
                "user_messages": policy.user_messages,
                "kept": estimate,
                "count_all": count_all,
                "basic_limit": allowances[Plan.BASIC].daily_prompts,
                "pro_limit": allowances[Plan.PRO].daily_prompts,
            },
        )
        row = self._cursor.fetchone()
        assert row is not None  # noqa: S101 - the backlogs are always a row
        owned, kept, mine, everybodys, is_pro, today, used, title = row
        if count_all:
            self._everybodys.was_counted(everybodys)
        if estimate is None:
            self._kept_messages.were_counted(message.user_id, kept)
        if not owned:
            raise ChatroomNotFound
        if kept >= policy.user_messages:
            raise TooManyMessages(policy.user_messages)
        if mine >= policy.user_backlog:
            raise TooManyUnfinishedReplies(limit=policy.user_backlog)
        if everybodys >= policy.backlog:
            raise BacklogFull
        plan = Plan.PRO if is_pro else Plan.BASIC
        refused = used is None
        if refused:
            used = self._used_on(today, message.user_id)
        quota = DailyQuota(today, used, allowances[plan].daily_prompts, plan)
        if refused:
            raise quota.exhausted()
        self._kept_messages.one_more(message.user_id)
        return AcceptedMessage(quota, title)

    def _used_on(self, day: date, user_id: UserId) -> int:
        # A new statement: the refused one has a snapshot from before the charges that it lost to.
        self._cursor.execute(USED_ON, {"user_id": user_id, "day": day})
        row = self._cursor.fetchone()
        assert row is not None  # noqa: S101 - a select without FROM always has a row
        used: int = row[0]
        return used
