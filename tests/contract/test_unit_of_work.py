"""The contract of the unit of work: all of it, or nothing."""

import pytest

from domain.errors import ChatroomNotFound, DependencyDown, PhoneTaken
from domain.replies import ReplyId
from tests.contract.world import (
    ALLOWANCES,
    POLICY,
    MemoryWorld,
    SqlWorld,
    World,
    a_message,
    a_room,
    a_session,
    a_user,
    new_id,
)


class UnitOfWorkContract:
    def test_what_is_committed_is_there(self, world: World) -> None:
        user = a_user()
        room = a_room(user)
        session = a_session(user)
        with world.unit_of_work() as work:
            work.users.add(user)
            work.sessions.add(session)
            work.chatrooms.add(room)
            work.usage.spend(user.id, allowances=ALLOWANCES)
            work.commit()
        assert world.reader.profile(user.id, allowances=ALLOWANCES) is not None
        assert world.reader.principal(session.id) is not None
        assert len(world.reader.rooms(user.id, limit=10, before=None).rooms) == 1
        assert world.used(user.id) == 1

    def test_leaving_without_commit_leaves_nothing(self, world: World) -> None:
        user = world.user()
        room = world.room(user)
        newcomer = a_user()
        session = a_session(user)
        with world.unit_of_work() as work:
            work.users.add(newcomer)
            work.sessions.add(session)
            work.chatrooms.add(a_room(user))
            work.messages.add(a_message(room))
            work.usage.spend(user.id, allowances=ALLOWANCES)
            work.users.set_password(user.id, "changed")
        assert world.reader.profile(newcomer.id, allowances=ALLOWANCES) is None
        assert world.reader.principal(session.id) is None
        assert [line.id for line in world.reader.rooms(user.id, limit=10, before=None).rooms] == [room.id]
        conversation = world.reader.conversation(user.id, room.id, turns=10, before=None)
        assert conversation is not None
        assert conversation.turns == []
        assert world.used(user.id) == 0
        with world.unit_of_work() as work:
            assert work.users.get(user.id) == user

    def test_an_exception_rolls_back_and_goes_on(self, world: World) -> None:
        newcomer = a_user()

        def write() -> None:
            with world.unit_of_work() as work:
                work.users.add(newcomer)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            write()
        with world.unit_of_work() as work:
            assert work.users.by_phone(newcomer.phone) is None

    def test_a_refusal_rolls_back_what_came_before_it(self, world: World) -> None:
        taken = world.user()
        newcomer = a_user()

        def write() -> None:
            with world.unit_of_work() as work:
                work.users.add(newcomer)
                work.users.add(a_user(phone=taken.phone))
                work.commit()

        with pytest.raises(PhoneTaken):
            write()
        with world.unit_of_work() as work:
            assert work.users.get(newcomer.id) is None

    def test_only_it_sees_its_own_writes(self, world: World) -> None:
        user = a_user()
        with world.unit_of_work() as work:
            work.users.add(user)
            assert work.users.by_phone(user.phone) == user
            assert world.reader.profile(user.id, allowances=ALLOWANCES) is None
            work.commit()
        assert world.reader.profile(user.id, allowances=ALLOWANCES) is not None

    def test_what_comes_after_the_commit_is_not_part_of_it(self, world: World) -> None:
        user, late = a_user(), a_user()
        with world.unit_of_work() as work:
            work.users.add(user)
            work.commit()
            work.users.add(late)
        with world.unit_of_work() as work:
            assert work.users.get(user.id) == user
            assert work.users.get(late.id) is None

    def test_a_commit_that_fails_leaves_nothing_and_says_so(self, world: World) -> None:
        user = world.user()
        newcomer = a_user()

        def write() -> None:
            with world.unit_of_work() as work:
                work.users.add(newcomer)
                work.usage.spend(user.id, allowances=ALLOWANCES)
                world.break_commit(work)
                work.commit()

        with pytest.raises(DependencyDown) as down:
            write()
        assert down.value.dependency == "database"
        assert world.used(user.id) == 0
        with world.unit_of_work() as work:
            assert work.users.get(newcomer.id) is None

    def test_the_next_one_begins_clean(self, world: World) -> None:
        first, second = a_user(), a_user()
        with world.unit_of_work() as work:
            work.users.add(first)
        with world.unit_of_work() as work:
            work.users.add(second)
            work.commit()
        with world.unit_of_work() as work:
            assert work.users.get(first.id) is None
            assert work.users.get(second.id) == second

    # --- Autocommit ---

    def test_what_is_written_in_autocommit_is_there_without_a_commit(self, world: World) -> None:
        user = a_user()
        with world.unit_of_work.autocommit() as work:
            work.users.add(user)
            assert world.reader.profile(user.id, allowances=ALLOWANCES) is not None
            assert work.users.get(user.id) == user

    def test_autocommit_refuses_a_second_write_and_keeps_the_first(self, world: World) -> None:
        first, second = a_user(), a_user()

        def write_twice() -> None:
            with world.unit_of_work.autocommit() as work:
                assert work.users.by_phone(first.phone) is None
                work.users.add(first)
                work.users.add(second)

        with pytest.raises(RuntimeError):
            write_twice()
        with world.unit_of_work() as work:
            assert work.users.get(first.id) == first
            assert work.users.get(second.id) is None

    def test_a_write_that_is_refused_in_autocommit_leaves_nothing(self, world: World) -> None:
        room, stranger = world.room(), world.user()
        message = a_message(room, user_id=stranger.id)
        with pytest.raises(ChatroomNotFound), world.unit_of_work.autocommit() as work:
            work.acceptance.accept(message, ReplyId(new_id()), allowances=ALLOWANCES, policy=POLICY)
        assert world.used(stranger.id) == 0
        assert world.claim() == []


class TestMemoryUnitOfWork(UnitOfWorkContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlUnitOfWork(UnitOfWorkContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world
