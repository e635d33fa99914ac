"""The contract of the refresh tokens as they are kept, of one session's end, and of the list of sessions."""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from domain.accounts import LoginMethod, Session, SessionId, User, UserId
from tests.concurrency import together
from tests.contract.world import MOMENT, THREADS, MemoryWorld, SqlWorld, World, a_session, new_id


def begun(world: World, user: User | None = None, digest: bytes = b"first", **changes: object) -> Session:
    """A session that is stored, with its first token."""
    session = a_session(user or world.user(), **changes)
    with world.unit_of_work() as work:
        work.sessions.add(session)
        work.refresh_chains.start(session.id, digest, at=MOMENT)
        work.commit()
    return session


def follow(world: World, digest: bytes, successor: bytes) -> None:
    with world.unit_of_work() as work:
        work.refresh_chains.follow(digest, successor, at=MOMENT)
        work.commit()


def is_unused(world: World, digest: bytes) -> bool:
    with world.unit_of_work() as work:
        return work.refresh_chains.is_unused(digest)


def found(world: World, *digests: bytes) -> list[bool]:
    with world.unit_of_work() as work:
        return [work.refresh_chains.find(digest) is not None for digest in digests]


def purge_tokens(world: World, moment: datetime, limit: int = 10) -> int:
    with world.unit_of_work() as work:
        purged = work.refresh_chains.purge_used_before(moment, limit=limit)
        work.commit()
    return purged


def purge_sessions(world: World, moment: datetime, limit: int = 10) -> int:
    with world.unit_of_work() as work:
        purged = work.sessions.purge_ended_before(moment, limit=limit)
        work.commit()
    return purged


class RefreshChainsContract:
    def test_a_new_token_is_found_with_its_session(self, world: World) -> None:
        session = begun(world, device="A phone ☎")
        with world.unit_of_work() as work:
            kept = work.refresh_chains.find(b"first")
        assert kept is not None
        assert (kept.session, kept.used_at) == (session, None)

    @pytest.mark.parametrize("digest", [b"", b"second", b"\x00" * 32, b"FIRST"])
    def test_another_one_is_not(self, world: World, digest: bytes) -> None:
        begun(world)
        with world.unit_of_work() as work:
            assert work.refresh_chains.find(digest) is None

    def test_what_was_used_says_since_when_and_its_successor_is_there(self, world: World) -> None:
        session = begun(world)
        follow(world, b"first", b"second")
        with world.unit_of_work() as work:
            used, fresh = work.refresh_chains.find(b"first"), work.refresh_chains.find(b"second")
        assert used is not None
        assert fresh is not None
        assert (used.used_at, fresh.used_at) == (MOMENT, None)
        assert used.session == fresh.session == session

    def test_a_token_is_unused_until_it_is_followed(self, world: World) -> None:
        begun(world)
        follow(world, b"first", b"second")
        assert [is_unused(world, one) for one in (b"first", b"second", b"another")] == [False, True, False]

    def test_of_a_session_that_ended_none_is_found(self, world: World) -> None:
        session = begun(world)
        follow(world, b"first", b"second")
        with world.unit_of_work() as work:
            assert work.sessions.end(session.id, of=session.user_id)
            work.commit()
        with world.unit_of_work() as work:
            assert work.refresh_chains.find(b"first") is None
            assert work.refresh_chains.find(b"second") is None

    def test_of_a_session_that_is_over_none_is_found(self, world: World) -> None:
        begun(world)
        world.pass_time(timedelta(days=1, hours=1))
        with world.unit_of_work() as work:
            assert work.refresh_chains.find(b"first") is None

    def test_what_is_rolled_back_was_not_used(self, world: World) -> None:
        begun(world)
        with world.unit_of_work() as work:
            work.refresh_chains.follow(b"first", b"second", at=MOMENT)
        with world.unit_of_work() as work:
            kept = work.refresh_chains.find(b"first")
            assert kept is not None
            assert kept.used_at is None
            assert work.refresh_chains.find(b"second") is None

    def test_of_many_who_show_it_at_once_one_finds_it_unused(self, world: World) -> None:
        begun(world)

        def show(number: int) -> bool:
            with world.unit_of_work() as work:
                kept = work.refresh_chains.find(b"first")
                assert kept is not None
                if kept.used_at is not None:
                    return False
                work.refresh_chains.follow(b"first", b"second %d" % number, at=MOMENT)
                work.commit()
                return True

        assert together(partial(show, number) for number in range(THREADS)).count(True) == 1

    def test_of_many_who_refresh_at_once_each_gets_the_same_successor(self, world: World) -> None:
        begun(world)

        def show() -> bool:
            with world.unit_of_work() as work:
                kept = work.refresh_chains.find(b"first")
                assert kept is not None
                if kept.used_at is None:
                    work.refresh_chains.follow(b"first", b"second", at=MOMENT)
                else:
                    assert work.refresh_chains.is_unused(b"second")
                work.commit()
                return kept.used_at is None

        assert together([show] * 20).count(True) == 1
        assert found(world, b"first", b"second") == [True, True]

    # One session ends, or goes on

    def test_ending_one_session_leaves_the_others(self, world: World) -> None:
        user = world.user()
        mine, other = begun(world, user), begun(world, user, b"other")
        with world.unit_of_work() as work:
            assert work.sessions.end(mine.id, of=user.id)
            work.commit()
        assert world.reader.principal(mine.id) is None
        assert world.reader.principal(other.id) is not None

    def test_a_session_ends_once_and_only_its_owners(self, world: World) -> None:
        session, stranger = begun(world), world.user()
        with world.unit_of_work() as work:
            assert not work.sessions.end(session.id, of=stranger.id)
            assert not work.sessions.end(SessionId(new_id()), of=session.user_id)
            assert work.sessions.end(session.id, of=session.user_id)
            assert not work.sessions.end(session.id, of=session.user_id)

    def test_a_session_that_is_over_does_not_end(self, world: World) -> None:
        session = begun(world)
        world.pass_time(timedelta(days=1, hours=1))
        with world.unit_of_work() as work:
            assert not work.sessions.end(session.id, of=session.user_id)

    def test_a_session_that_is_used_goes_on(self, world: World) -> None:
        session = begun(world)
        used_at = datetime.now(UTC)
        with world.unit_of_work() as work:
            work.sessions.prolong(session.id, at=used_at, expires_at=used_at + timedelta(days=30))
            work.commit()
        world.pass_time(timedelta(days=29))
        assert world.reader.principal(session.id) is not None
        [line] = world.reader.sessions(session.user_id)
        assert line.last_used_at == used_at

    def test_the_list_holds_what_is_going_on_newest_first(self, world: World) -> None:
        user = world.user()
        sessions = [begun(world, user, digest, device=device) for digest, device in [(b"a", "A"), (b"b", None)]]
        ended = begun(world, user, b"c", method=LoginMethod.PASSWORD)
        begun(world, None, b"d")
        with world.unit_of_work() as work:
            work.sessions.end(ended.id, of=user.id)
            work.commit()
        lines = world.reader.sessions(user.id)
        assert [line.id for line in lines] == [session.id for session in reversed(sessions)]
        assert [line.device for line in lines] == [None, "A"]
        first = lines[-1]
        assert (first.method, first.started_at, first.last_used_at, first.expires_at) == (
            LoginMethod.OTP,
            sessions[0].started_at,
            sessions[0].started_at,
            sessions[0].expires_at,
        )

    def test_who_has_none_has_an_empty_list(self, world: World) -> None:
        assert list(world.reader.sessions(UserId(new_id()))) == []

    # --- Retention ---

    def test_tokens_that_were_used_long_ago_are_purged_some_at_a_time(self, world: World) -> None:
        begun(world)
        tokens = [b"first", b"second", b"third", b"fourth"]
        for day, (used, successor) in enumerate(pairwise(tokens)):
            with world.unit_of_work() as work:
                work.refresh_chains.follow(used, successor, at=MOMENT + timedelta(days=day))
                work.commit()
        assert purge_tokens(world, MOMENT) == 0
        assert purge_tokens(world, MOMENT + timedelta(days=2), limit=1) == 1
        assert found(world, *tokens) == [False, True, True, True]
        assert [purge_tokens(world, MOMENT + timedelta(days=2), limit=1) for _ in range(2)] == [1, 0]
        assert found(world, *tokens) == [False, False, True, True]

    def test_sessions_that_ended_long_ago_are_purged_some_at_a_time(self, world: World) -> None:
        user, now = world.user(), datetime.now(UTC)
        alive = begun(world, user)
        ended = begun(world, user, b"ended")
        for number in range(2):
            begun(world, user, b"over %d" % number, expires_at=MOMENT + timedelta(days=number))
        with world.unit_of_work() as work:
            work.sessions.end(ended.id, of=user.id)
            work.commit()
        assert purge_sessions(world, MOMENT) == 0
        assert [purge_sessions(world, MOMENT + timedelta(days=2), limit=1) for _ in range(3)] == [1, 1, 0]
        assert purge_sessions(world, now - timedelta(minutes=1)) == 0
        assert purge_sessions(world, now + timedelta(minutes=1)) == 1
        assert [line.id for line in world.reader.sessions(user.id)] == [alive.id]
        assert found(world, b"first", b"ended", b"over 0") == [True, False, False]


class TestMemoryRefreshChains(RefreshChainsContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlRefreshChains(RefreshChainsContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world

    def test_purged_sessions_take_their_tokens_with_them(self, real_world: SqlWorld) -> None:
        user = real_world.user()
        begun(real_world, user)
        begun(real_world, user, b"over", expires_at=MOMENT)
        assert purge_sessions(real_world, MOMENT + timedelta(seconds=1)) == 1
        with real_world.database.read() as cursor:
            cursor.execute("SELECT convert_from(digest, 'utf8') FROM refresh_tokens")
            assert cursor.fetchall() == [("first",)]

    def test_what_another_one_purges_is_passed_over_and_not_waited_for(self, real_world: SqlWorld) -> None:
        for number in range(2):
            begun(real_world, None, b"over %d" % number, expires_at=MOMENT)
            follow(real_world, b"over %d" % number, b"next %d" % number)
        later = MOMENT + timedelta(seconds=1)
        with real_world.unit_of_work() as one, real_world.unit_of_work() as other:
            assert one.refresh_chains.purge_used_before(later, limit=1) == 1
            assert other.refresh_chains.purge_used_before(later, limit=9) == 1
        with real_world.unit_of_work() as one, real_world.unit_of_work() as other:
            assert one.sessions.purge_ended_before(later, limit=1) == 1
            assert other.sessions.purge_ended_before(later, limit=9) == 1
