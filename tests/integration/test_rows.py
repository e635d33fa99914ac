"""Columns have the names of the fields that they become, in the same order: rows are mapped by position."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql import (
    audit,
    billing,
    chat,
    idempotency,
    ledger,
    reader,
    refresh_tokens,
    replies,
    search,
    usage,
    users,
)
from adapters.sql.export import ROOM, TURNS
from adapters.sql.reply_files import FAILED, FIND, RATED
from application.ports.billing_work import Customer, KeptCheckout, KeptEvent
from application.ports.export import ExportedRoom, ExportedTurn
from application.ports.idempotency import Accepted
from application.ports.language_model import Exchange
from application.ports.ledger import ChargedPrompt, DayOfUse, EventLine, MoneyLine
from application.ports.payments import Order
from application.ports.reader import ChatroomSummary, Entry, MessageEntry, ReplyEntry, SessionSummary, Turn
from application.ports.replies import Finished
from application.ports.reply_files import ReplyFile, ReplyLine
from application.ports.search import FoundEntry, Unsearchable
from domain.accounts import Principal, Session, User
from domain.billing import PaymentEvent, Subscription, SubscriptionRecord
from domain.chat import Chatroom, Message
from domain.feedback import Feedback
from domain.plans import DailyQuota
from domain.replies import Charge, Claim, ClaimedReply, EndedReply
from tests.servers import new_database


class Values(dict[str, Any]):
    """Values of a statement: NULL where the type does not matter."""

    def __missing__(self, name: str) -> None:
        return None


VALUES = Values(
    days=1,
    limit=0,
    max_attempts=1,
    user_concurrency=1,
    window=1,
    basic_first=1,
    ids=[],
    among=[],
    lease=timedelta(1),
    waits=[timedelta(1)],
    kept_for=timedelta(1),
    may_have_bought=timedelta(1),
)


def names(row_type: type, *, without: str = "") -> tuple[str, ...]:
    """The names of the fields of a dataclass or a named tuple."""
    found = getattr(row_type, "_fields", None) or tuple(field.name for field in fields(row_type))
    return tuple(name for name in found if name not in without.split())


CHARGE = names(Charge)
ENDED = (*names(EndedReply, without="charge"), *CHARGE)
DAY = names(DailyQuota, without="limit plan")
TURN = (*names(Turn, without="feedback"), *names(Feedback))
ROOM_OF_PAGE = ("name", "system_prompt", "created_at", "updated_at", "pinned", "archived")
REPLY = (*names(ReplyEntry, without="feedback"), *names(Feedback))
SUBSCRIPTION, RECORD = names(Subscription), names(SubscriptionRecord)
PROFILE = ("id", "phone", "name", "email", "created_at", *DAY, "is_pro")
EVENT = ("event_id", *names(PaymentEvent, without="id money"), "money_kind", "amount", "currency", "object_id")

STATEMENTS = [
    (replies.CLAIM_DUE, (*names(Claim), *names(ClaimedReply, without="claim"))),
    (replies.FINISH, names(Finished)),
    (replies.FAIL, CHARGE),
    (replies.STOP, CHARGE),
    (replies.CANCEL_QUEUED, ENDED),
    (replies.GIVE_UP, ENDED),
    (replies.FAIL_EXPIRED, ENDED),
    (replies.FAIL_EXPIRED_AMONG, ENDED),
    (FAILED, names(ReplyLine)),
    (RATED, names(ReplyLine)),
    (FIND, (*names(ReplyFile, without="line"), *names(ReplyLine))),
    (ROOM, (*names(ExportedRoom, without="turns"), "newest")),
    (TURNS, ("sequence", *names(ExportedTurn))),
    (reader.PRINCIPAL, names(Principal, without="session_id")),
    (reader.SESSIONS, names(SessionSummary)),
    (reader.PROFILE, PROFILE),
    (reader.PRINCIPAL_WITH_PROFILE, ("method", "started_at", *PROFILE)),
    (reader.PRINCIPAL_WITH_LIST_VERSION, (*names(Principal, without="session_id"), "version")),
    (reader.PLAN_STATUS, (*DAY, "granted_until", *SUBSCRIPTION)),
    (reader.ROOMS, names(ChatroomSummary)),
    (search.ENTRIES, names(FoundEntry)),
    (search.CHATROOMS, names(ChatroomSummary)),
    (search.UNSEARCHABLE, names(Unsearchable)),
    (reader.ARCHIVED_ROOMS, names(ChatroomSummary)),
    (reader.CONVERSATION, (*ROOM_OF_PAGE, *TURN, "is_full")),
    (reader.PRINCIPAL_WITH_CONVERSATION, (*names(Principal, without="session_id"), *ROOM_OF_PAGE, *TURN, "is_long")),
    (reader.ENTRIES_AFTER, (*names(MessageEntry), *REPLY[1:], "is_full")),
    (reader.REPLIES, ("chatroom_id", *REPLY, "is_full")),
    (reader.ENTRY, (*names(Entry, without="turn"), *TURN)),
    (reader.HISTORY, names(Exchange)),
    (chat.CHATROOM, names(Chatroom)),
    (chat.NOTE_MESSAGE, ("title",)),
    (chat.LOCK_MESSAGE_OF, names(Message, without="user_id")),
    (usage.PLAN_OF, ("granted_until", *SUBSCRIPTION)),
    (usage.SPEND, DAY),
    (usage.USED_TODAY, DAY),
    (users.USER_BY_ID, names(User)),
    (users.USER_BY_PHONE, names(User)),
    (refresh_tokens.FIND, (*names(Session), "used_at")),
    (
        idempotency.RECALL,
        ("fingerprint", *names(Accepted, without="quota"), *(f"quota_{name}" for name in names(DailyQuota))),
    ),
    (idempotency.RECALL_REFERENCE, ("fingerprint", "reference")),
    (audit.NEWEST, ("id", "at", "what", "user_id", "session_id", "phone_digest", "address", "device", "note")),
    (billing.TAKE_UNRECONCILED, names(Customer)),
    (billing.CHECKOUT_OF, (*names(Order), *names(KeptCheckout, without="order"))),
    (billing.GET_SUBSCRIPTION, ("version", *RECORD)),
    (billing.FIND_EVENT, (*names(KeptEvent, without="event"), *EVENT)),
    (billing.TAKE_PENDING, ("state", *EVENT)),
    (billing.REOPEN_EVENT, EVENT),
    (ledger.DAYS, names(DayOfUse)),
    (ledger.PROMPTS, names(ChargedPrompt)),
    (ledger.BILLING_FILE, ("customer_id", "version", "synced_at", *RECORD)),
    (ledger.MONEY, names(MoneyLine)),
    (ledger.LAST_EVENTS, names(EventLine)),
]


@pytest.fixture(scope="module")
def cursor(database_server: str) -> Iterator[Cursor]:
    """A database with nothing in it but the tables."""
    with new_database(database_server) as url:
        connection = psycopg2.connect(url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
        connection.close()


@pytest.mark.parametrize(("statement", "expected"), STATEMENTS)
def test_columns_are_named_after_the_fields_in_their_order(
    cursor: Cursor, statement: str, expected: tuple[str, ...]
) -> None:
    cursor.execute(statement, VALUES)
    assert tuple(column.name for column in cursor.description or ()) == expected
