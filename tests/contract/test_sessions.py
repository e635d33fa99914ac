"""The contract of the sessions, and of the reader's question who a session belongs to."""

from datetime import timedelta

import pytest

from domain.accounts import LoginMethod, Principal, Session, SessionId, User
from tests.contract.world import MemoryWorld, SqlWorld, World, a_session, new_id


def begin_session(world: World, user: User, **changes: object) -> Session:
    session = a_session(user, **changes)
    with world.unit_of_work() as work:
        work.sessions.add(session)
        work.commit()
    return session


class SessionsContract:
    @pytest.mark.parametrize("method", LoginMethod)
    def test_tells_who_it_belongs_to(self, world: World, method: LoginMethod) -> None:
        user = world.user()
        session = begin_session(world, user, method=method)
        principal = world.reader.principal(session.id)
        assert principal == Principal(user.id, session.id, method, session.started_at)
        assert principal.started_at.utcoffset() == timedelta(0)

    def test_one_that_never_was_belongs_to_no_user(self, world: World) -> None:
        begin_session(world, world.user())
        assert world.reader.principal(SessionId(new_id())) is None

    def test_it_ends_by_itself(self, world: World) -> None:
        session = begin_session(world, world.user())
        world.pass_time(timedelta(hours=23))
        assert world.reader.principal(session.id) is not None
        world.pass_time(timedelta(hours=2))
        assert world.reader.principal(session.id) is None

    def test_all_of_a_user_end_and_no_others(self, world: World) -> None:
        user, other = world.user(), world.user()
        mine = [begin_session(world, user) for _ in range(3)]
        theirs = begin_session(world, other)
        with world.unit_of_work() as work:
            work.sessions.end_all(user.id)
            work.commit()
        assert [world.reader.principal(session.id) for session in mine] == [None] * 3
        assert world.reader.principal(theirs.id) is not None

    def test_the_one_that_asks_may_be_spared(self, world: World) -> None:
        user = world.user()
        mine = [begin_session(world, user) for _ in range(3)]
        with world.unit_of_work() as work:
            work.sessions.end_all(user.id, but=mine[1].id)
            work.commit()
        assert [world.reader.principal(session.id) is not None for session in mine] == [False, True, False]

    def test_sparing_a_session_of_another_user_spares_nothing_of_ones_own(self, world: World) -> None:
        user, other = world.user(), world.user()
        mine, theirs = begin_session(world, user), begin_session(world, other)
        with world.unit_of_work() as work:
            work.sessions.end_all(user.id, but=theirs.id)
            work.commit()
        assert world.reader.principal(mine.id) is None
        assert world.reader.principal(theirs.id) is not None

    def test_an_end_that_is_rolled_back_is_none(self, world: World) -> None:
        user = world.user()
        session = begin_session(world, user)
        with world.unit_of_work() as work:
            work.sessions.end_all(user.id)
        assert world.reader.principal(session.id) is not None

    def test_ending_twice_and_beginning_anew(self, world: World) -> None:
        user = world.user()
        begin_session(world, user)
        for _ in range(2):
            with world.unit_of_work() as work:
                work.sessions.end_all(user.id)
                work.commit()
        assert world.reader.principal(begin_session(world, user).id) is not None


class TestMemorySessions(SessionsContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlSessions(SessionsContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world
