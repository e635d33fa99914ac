"""The contract of erasing a user and of the export of all that is theirs, and of the trail that stays."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.memory.audit import MemoryAuditReader
from adapters.memory.export import MemoryExport
from adapters.memory.tables import Tables
from adapters.sql.audit import SqlAuditReader
from adapters.sql.erasure import ERASURES
from adapters.sql.export import PARTS, SqlExport
from adapters.sql.tables import metadata
from application.ports.audit import AuditEvent, AuditEventType, AuditReader
from application.ports.erasure import Erased
from application.ports.export import Export
from application.ports.reply_stream import STREAM_GONE_AFTER, STREAM_KEPT_FOR
from domain.accounts import Origin, SessionId, User, UserId
from domain.errors import TokenInvalid
from domain.feedback import Feedback, FeedbackReason, Rating
from tests.contract.world import (
    ACTIVE,
    ALLOWANCES,
    MAX_CHATROOMS,
    MOMENT,
    MemoryWorld,
    SqlWorld,
    World,
    a_room,
    a_session,
    new_id,
)

DIGEST = "0123456789abcdef01234567"
HERE = Origin("203.0.113.7", "A phone ☎")


def an_event(what: AuditEventType = AuditEventType.LOGGED_IN, **changes: Any) -> AuditEvent:
    return AuditEvent(new_id(), MOMENT, what, None, None, None, HERE)._replace(**changes)


def note(world: World, *events: AuditEvent) -> None:
    with world.unit_of_work() as work:
        for event in events:
            work.audit.add(event)
        work.commit()


class KnownAddressContract:
    def test_an_address_is_known_by_a_login_from_there(self, world: World) -> None:
        user, other = world.user(), world.user()
        note(world, an_event(user_id=user.id), an_event(AuditEventType.LOGIN_FAILED, user_id=other.id))
        asked = [(user, "203.0.113.7", MOMENT), (user, "203.0.113.8", MOMENT), (other, "203.0.113.7", MOMENT)]
        asked.append((user, "203.0.113.7", MOMENT + timedelta(seconds=1)))
        with world.unit_of_work() as work:
            known = [work.audit.has_logged_in_from(who.id, where, since=since) for who, where, since in asked]
        assert known == [True, False, False, False]


class TestMemoryKnownAddress(KnownAddressContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlKnownAddress(KnownAddressContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world


def purge_before(world: World, moment: datetime, limit: int = 10) -> int:
    with world.unit_of_work() as work:
        forgotten = work.audit.purge_before(moment, limit=limit)
        work.commit()
    return forgotten


def lives_a_life(world: World) -> User:
    """A user who has something in every table."""
    user = world.user()
    world.subscribe(user.id, ACTIVE)
    for name in ("Physics", "Poems"):
        room = world.room(user, name=name)
        for _ in range(2):
            world.ask(room)
    session = a_session(user, device="A phone")
    with world.unit_of_work() as work:
        work.usage.spend(user.id, allowances=ALLOWANCES)
        work.sessions.add(session)
        work.refresh_chains.start(session.id, str(user.id).encode(), at=MOMENT)
        work.audit.add(an_event(user_id=user.id, session_id=session.id))
        work.commit()
    return user


EVERYTHING = {
    "replies": 4,
    "messages": 4,
    "chatrooms": 2,
    "daily_usage": 1,
    "subscriptions": 1,
    "refresh_tokens": 1,
    "sessions": 1,
    "audit_events": 1,
    "users": 1,
    # Lives without: these are tested where they are made.
    "idempotency_keys": 0,
    "customers": 0,
    "checkouts": 0,
    "payment_events": 0,
    "payment_entries": 0,
}


# Deleted by the statements of adapters/sql/removal.py.
IN_CHATROOMS = ("chatrooms", "messages", "replies")


def erase_batch(world: World, user_id: UserId, **options: Any) -> Erased:
    with world.unit_of_work() as work:
        erased = work.erasure.erase(user_id, phone_digest=DIGEST, **options)
        work.commit()
    return erased


def erase(world: World, user_id: UserId) -> dict[str, int]:
    return dict(erase_batch(world, user_id).rows)


class LeavingContract:
    def test_everything_of_the_user_is_erased_and_counted(self, world: World, export: Export) -> None:
        user = lives_a_life(world)
        assert erase(world, user.id) == EVERYTHING
        assert list(export(user.id)) == []
        assert world.used(user.id) == 0
        with world.unit_of_work() as work:
            assert work.users.get(user.id) is None
            assert work.refresh_chains.find(str(user.id).encode()) is None

    def test_nothing_of_anybody_else_is(self, world: World, export: Export) -> None:
        user, other = lives_a_life(world), lives_a_life(world)
        before = list(export(other.id))
        erase(world, user.id)
        assert list(export(other.id)) == before
        assert erase(world, other.id) == EVERYTHING

    def test_the_replies_that_are_gone_are_named(self, world: World) -> None:
        user, other = world.user(), world.user()
        room = world.room(user)
        asked = world.ask(room)
        world.claim_one()
        replies = {asked.id, world.ask_again(asked).id, world.ask(world.room(user)).id}
        world.ask(world.room(other))
        with world.unit_of_work() as work:
            named = work.erasure.erase(user.id, phone_digest=DIGEST).replies
            work.commit()
        assert (set(named), len(named)) == (replies, 3)

    def test_replies_that_can_have_no_listener_are_counted_and_not_named(self, world: World) -> None:
        user = world.user()
        room = world.room(user)
        world.end_three(room)
        world.pass_time(STREAM_GONE_AFTER + timedelta(seconds=1))
        just_ended = world.ask(room)
        assert world.finish(world.claim_one().claim)
        world.pass_time(STREAM_KEPT_FOR)
        running, queued = world.ask(room), world.ask(room)
        assert world.claim_one().claim.reply_id == running.id
        with world.unit_of_work() as work:
            erased = work.erasure.erase(user.id, phone_digest=DIGEST)
            work.commit()
        assert sorted(erased.replies) == [just_ended.id, running.id, queued.id]
        assert erased.rows["replies"] == 6

    def test_erasing_twice_finds_nothing(self, world: World) -> None:
        user = lives_a_life(world)
        erase(world, user.id)
        assert set(erase(world, user.id).values()) == {0}

    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_what_is_too_much_for_one_batch_is_erased_in_several(
        self, world: World, export: Export, limit: int
    ) -> None:
        user, other = lives_a_life(world), lives_a_life(world)
        with world.unit_of_work() as work:
            for _ in range(3):
                session = a_session(user)
                work.sessions.add(session)
                work.refresh_chains.start(session.id, str(session.id).encode(), at=MOMENT)
                work.audit.add(an_event(user_id=user.id))
            work.commit()
        kept = list(export(other.id))
        rows: Counter[str] = Counter()
        finished = False
        while not finished:
            with world.unit_of_work() as work:
                assert work.users.get(user.id) is not None  # the user goes last
            erased = erase_batch(world, user.id, limit=limit)
            bounded = {"messages", "sessions", "refresh_tokens", "audit_events"}
            assert all(erased.rows[table] <= limit for table in bounded)
            rows.update(erased.rows)
            finished = erased.finished
        more = {"sessions": 4, "refresh_tokens": 4, "audit_events": 4}
        assert dict(rows) == {**EVERYTHING, **more}
        assert list(export(user.id)) == []
        assert list(export(other.id)) == kept

    def test_messages_may_be_left_out_of_reach(self, world: World, export: Export) -> None:
        user = lives_a_life(world)
        world.answer_all()
        other = lives_a_life(world)
        kept = list(export(other.id))
        erased = erase_batch(world, user.id, limit=3, leave_messages=True)
        assert (erased.finished, erased.left) == (True, 1)
        assert {table: erased.rows[table] for table in IN_CHATROOMS} == {"chatrooms": 2, "messages": 3, "replies": 3}
        assert list(export(user.id)) == []
        assert world.purge_removed(limit=10)[:3] == (1, 1, 1)
        assert world.purge_removed(limit=10)[:3] == (0, 0, 0)
        assert list(export(other.id)) == kept

    def test_an_erasure_that_is_rolled_back_is_none(self, world: World, export: Export) -> None:
        user = lives_a_life(world)
        before = list(export(user.id))
        with world.unit_of_work() as work:
            work.erasure.erase(user.id, phone_digest=DIGEST)
        assert list(export(user.id)) == before

    def test_who_is_gone_opens_no_chatroom(self, world: World) -> None:
        user = world.user()
        erase(world, user.id)
        with world.unit_of_work() as work, pytest.raises(TokenInvalid):
            work.chatrooms.add(a_room(user), limit=MAX_CHATROOMS)

    def test_a_reply_that_was_being_written_is_of_no_user(self, world: World) -> None:
        user = world.user()
        world.ask(world.room(user))
        claimed = world.claim_one()
        erase(world, user.id)
        with world.unit_of_work() as work:
            assert not work.replies.postpone(claimed.claim, delay=timedelta(), counted=False)

    # The trail

    def test_events_are_read_newest_first(self, world: World, audit: AuditReader) -> None:
        user = world.user()
        events = [
            an_event(AuditEventType.SIGNED_UP, user_id=user.id, phone_digest=DIGEST),
            an_event(AuditEventType.LOGGED_IN, user_id=user.id, session_id=SessionId(new_id())),
            an_event(AuditEventType.LOGIN_FAILED, phone_digest=DIGEST, origin=Origin(None, None)),
        ]
        note(world, *events)
        every = list(audit(user_id=None, phone_digests=[], what=None, limit=10))
        assert every == events[::-1]
        assert list(audit(user_id=None, phone_digests=[], what=None, limit=2)) == every[:2]
        assert list(audit(user_id=user.id, phone_digests=[], what=None, limit=10)) == every[1:]
        assert list(audit(user_id=None, phone_digests=["x", DIGEST], what=None, limit=10)) == [every[0], every[2]]
        assert list(audit(user_id=None, phone_digests=[], what=AuditEventType.LOGGED_IN, limit=10)) == [every[1]]
        assert list(audit(user_id=UserId(new_id()), phone_digests=[], what=None, limit=10)) == []

    def test_what_is_rolled_back_did_not_happen(self, world: World, audit: AuditReader) -> None:
        with world.unit_of_work() as work:
            work.audit.add(an_event())
        assert list(audit(user_id=None, phone_digests=[], what=None, limit=10)) == []

    def test_the_oldest_are_forgotten_some_at_a_time(self, world: World, audit: AuditReader) -> None:
        days = [400, 300, 200, 100, 0]
        events = [an_event(at=MOMENT - timedelta(days=days_ago)) for days_ago in days]
        note(world, *events)

        def left() -> list[AuditEvent]:
            return list(audit(user_id=None, phone_digests=[], what=None, limit=10))[::-1]

        assert purge_before(world, MOMENT - timedelta(days=400)) == 0
        assert left() == events
        assert [purge_before(world, MOMENT - timedelta(days=99), limit=3) for _ in range(3)] == [3, 1, 0]
        assert left() == events[-1:]
        assert purge_before(world, MOMENT) == 0

    def test_what_is_forgotten_and_rolled_back_is_not(self, world: World, audit: AuditReader) -> None:
        note(world, event := an_event())
        with world.unit_of_work() as work:
            assert work.audit.purge_before(MOMENT + timedelta(days=1), limit=10) == 1
        assert list(audit(user_id=None, phone_digests=[], what=None, limit=10)) == [event]

    def test_of_who_left_only_what_happened_stays(self, world: World, audit: AuditReader) -> None:
        user, other = world.user(), world.user()
        note(
            world,
            an_event(AuditEventType.LOGIN_FAILED, phone_digest=DIGEST),
            an_event(AuditEventType.LOGGED_IN, user_id=user.id, session_id=SessionId(new_id())),
            others := an_event(AuditEventType.LOGGED_OUT, user_id=other.id),
        )
        assert erase(world, user.id)["audit_events"] == 2
        events = list(audit(user_id=None, phone_digests=[], what=None, limit=10))
        assert events[0] == others
        assert [event.what for event in events[1:]] == [AuditEventType.LOGGED_IN, AuditEventType.LOGIN_FAILED]
        for event in events[1:]:
            assert (event.user_id, event.session_id, event.phone_digest) == (None, None, None)
            assert event.origin == Origin(None, None)

    # The export

    def test_the_export_holds_everything(self, world: World, export: Export) -> None:
        user = lives_a_life(world)
        lives_a_life(world)
        records = list(export(user.id))
        assert records[0] == {
            "type": "account",
            "id": user.id,
            "mobileNumber": user.phone.e164,
            "name": user.name,
            "email": user.email,
            "createdAt": user.created_at,
            "verifiedAt": user.verified_at,
            "proGrantedUntil": user.pro_until,
        }
        assert types_of(records) == {
            "account": 1,
            "subscription": 1,
            "usage": 1,
            "session": 1,
            "securityEvent": 1,
            "chatroom": 2,
            "message": 4,
            "reply": 4,
        }
        message = next(record for record in records if record["type"] == "message")
        assert (message["content"], message["createdAt"]) == ("Why?", MOMENT)
        assert "password" not in repr(records).lower()

    def test_the_export_holds_what_the_user_thinks_of_replies(self, world: World, export: Export) -> None:
        room = world.room()
        rated, other = world.ask(room), world.ask(room)
        world.answer_all()
        world.feedback.put(room.user_id, rated.id, Feedback(Rating.DOWN, (FeedbackReason.OTHER,), "Hm 🌤", MOMENT))
        names = ("rating", "ratingReasons", "ratingComment", "ratedAt")
        found = {
            one["id"]: tuple(one[name] for name in names) for one in export(room.user_id) if one["type"] == "reply"
        }
        assert found == {rated.id: ("down", ["other"], "Hm 🌤", MOMENT), other.id: (None, None, None, None)}

    def test_of_an_unknown_user_it_is_empty(self, world: World, export: Export) -> None:
        assert list(export(UserId(new_id()))) == []

    def test_of_who_has_nothing_it_is_the_account(self, world: World, export: Export) -> None:
        assert types_of(export(world.user().id)) == {"account": 1}


def types_of(records: Iterable[Any]) -> dict[str, int]:
    return dict(Counter(record["type"] for record in records))


class TestMemoryLeaving(LeavingContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world

    @pytest.fixture
    def export(self, memory_world: MemoryWorld) -> Export:
        return MemoryExport(memory_world._database)

    @pytest.fixture
    def audit(self, memory_world: MemoryWorld) -> AuditReader:
        return MemoryAuditReader(memory_world._database)


class TestSqlLeaving(LeavingContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world

    @pytest.fixture
    def export(self, real_world: SqlWorld) -> Export:
        # Small pages, so that there are several.
        return SqlExport(real_world.database, rows_per_page=3)

    @pytest.fixture
    def audit(self, real_world: SqlWorld) -> AuditReader:
        return SqlAuditReader(real_world.database)

    def test_events_that_are_being_forgotten_are_passed_over_not_waited_for(self, real_world: SqlWorld) -> None:
        note(real_world, an_event(), an_event())
        later = MOMENT + timedelta(days=1)
        with real_world.unit_of_work() as one, real_world.unit_of_work() as other:
            assert one.audit.purge_before(later, limit=1) == 1
            assert other.audit.purge_before(later, limit=10) == 1

    def test_pages_join_without_a_seam(self, real_world: SqlWorld) -> None:
        user = real_world.user()
        room = real_world.room(user)
        asked = [real_world.ask(room, str(number)) for number in range(7)]
        for rows in (1, 2, 7, 500):
            records = list(SqlExport(real_world.database, rows_per_page=rows)(user.id))
            assert [record["content"] for record in records if record["type"] == "message"] == list("0123456")
            assert [record["id"] for record in records if record["type"] == "reply"] == [reply.id for reply in asked]

    def test_no_connection_is_held_while_the_client_reads(self, real_world: SqlWorld) -> None:
        user = lives_a_life(real_world)
        records = SqlExport(real_world.database, rows_per_page=1)(user.id)
        next(records)
        next(records)
        assert real_world.database.connections()[0] == 0


def leads_to_users() -> set[str]:
    """Every table that has a column ``user_id``, or whose foreign keys end at the users; but that of erased users."""
    found = {"users"} | {name for name, table in metadata.tables.items() if "user_id" in table.columns}
    found -= {"leavers"}
    while True:
        more = {
            name
            for name, table in metadata.tables.items()
            if any(key.column.table.name in found for key in table.foreign_keys)
        }
        if more <= found:
            return found
        found |= more


def test_no_table_with_a_users_id_is_forgotten() -> None:
    # Another one needs a statement in adapters/sql/erasure.py. Only a version and a count goes with its user.
    assert leads_to_users() == {*ERASURES, *IN_CHATROOMS, "users", "chatroom_lists"}


def test_memory_forgets_no_table_either() -> None:
    # Columns of the sessions, of the daily usage, of the subscriptions, of messages and replies.
    of_others = {"last_used", "ended_sessions", "daily_refunds", "subscription_records", "sequences", "search_terms"}
    # Of a number and a day, of customers that were erased, of the operator: not of a user.
    of_others |= {"erased_usage", "synced_at", "erased_customers", "refunds_owed", "provider_accounts"}
    # It names only who is erased, until the payment provider was searched for them.
    of_others |= {"leavers"}
    # Versions of lists go with their users when a transaction commits.
    of_others |= {"list_versions"}
    ours = set(Tables.__dataclass_fields__) - of_others - {"removed_messages", "removed_replies"}
    assert ours == {*ERASURES, *IN_CHATROOMS, "users"}


def test_no_table_is_missing_from_the_export() -> None:
    # Digests of tokens and of requests are of no use to a reader. A new table is entered here under which type it is
    # exported.
    exported = {
        "users": "account",
        "subscriptions": "subscription",
        "daily_usage": "usage",
        "sessions": "session",
        "audit_events": "securityEvent",
        "chatrooms": "chatroom",
        "messages": "message",
        "replies": "reply",
        "customers": "customer",
        "payment_entries": "payment",
    }
    # What the provider sent is in what was paid, a checkout in what became of it, a list of chatrooms in these.
    not_exported = {"refresh_tokens", "idempotency_keys", "checkouts", "payment_events", "chatroom_lists"}
    assert set(exported) == leads_to_users() - not_exported
    assert set(exported.values()) == {part.type for part in PARTS}
