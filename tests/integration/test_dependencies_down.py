"""What still works when a server is away, and that it works again when the server is back."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from threading import Barrier

import psycopg2
import pytest

from adapters.sql import pool as pool_module
from adapters.sql.database import Database, make_pool
from application.ports.health import Fault, Part
from application.use_cases import UseCases
from domain.accounts import SessionId
from domain.chat import ChatroomId
from domain.errors import DependencyDown
from domain.one_time_password import Purpose
from tests.concurrency import together
from tests.contract.world import SqlWorld, World, a_user, new_id, sql_world
from tests.integration.conftest import BuildUseCases
from tests.integration.people import a_mobile_number, log_in
from tests.redis_doubles import DOWN

CONNECTIONS = 6


@pytest.mark.parametrize("down", DOWN)
class TestWithoutRedis:
    @pytest.fixture
    def cut_off(
        self,
        down: Callable[[], AbstractContextManager[str]],
        build_use_cases: BuildUseCases,
        clean_database: str,
    ) -> Iterator[UseCases]:
        with down() as redis_url:
            yield build_use_cases(clean_database, redis_url)

    def test_tokens_rooms_and_messages_work(self, cut_off: UseCases, use_cases: UseCases) -> None:
        logged_in = log_in(use_cases, a_mobile_number())  # before Redis went away
        user_id = cut_off.auth.authenticate(token=logged_in.token).user_id
        assert user_id == logged_in.user.id
        assert cut_off.auth.show_profile(user_id=user_id).id == user_id

        room = cut_off.chat.open_chatroom(user_id=user_id, name="room").chatroom
        _, version = cut_off.auth.authenticate_with_list_version(logged_in.token)
        for from_cache in (False, True):  # that of the process
            listed = cut_off.chat.list_chatrooms(
                user_id=user_id, version=version, render=lambda page: repr(page).encode()
            )
            assert listed.from_cache == from_cache
            assert str(room.id).encode() in listed.page

        sent = cut_off.chat.send_message(sender=user_id, chatroom_id=room.id, text="Why?")
        assert sent.quota.used == 1
        conversation = cut_off.chat.read_chatroom(user_id=user_id, chatroom_id=room.id)
        assert [turn.reply_id for turn in conversation.turns] == [sent.reply_id]

    def test_one_time_passwords_fail_closed(self, cut_off: UseCases) -> None:
        number = a_mobile_number()
        for purpose in Purpose:
            with pytest.raises(DependencyDown) as refusal:
                cut_off.auth.request_code(mobile_number=number, purpose=purpose)
            assert refusal.value.dependency == "otp_store"
        with pytest.raises(DependencyDown):
            cut_off.auth.verify_code(mobile_number=number, code="123456")

    def test_readiness_says_so_and_stays(self, cut_off: UseCases) -> None:
        readiness = cut_off.check_readiness()
        assert readiness.ready
        assert readiness.faults == {Part.REDIS: Fault.UNREACHABLE}


class TestWithoutPostgres:
    @pytest.fixture
    def closed_database(self) -> Iterator[str]:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            yield f"postgresql://somebody:secret@127.0.0.1:{taken.getsockname()[1]}/nowhere?sslmode=disable"

    def test_everything_that_needs_it_says_so(
        self, build_use_cases: BuildUseCases, closed_database: str, clean_redis: str
    ) -> None:
        cut_off = build_use_cases(closed_database, clean_redis)
        user_id = a_user().id
        room_id = ChatroomId(new_id())
        for attempt in (
            partial(cut_off.chat.send_message, sender=user_id, chatroom_id=room_id, text="Why?"),
            partial(cut_off.chat.open_chatroom, user_id=user_id, name="room"),
            partial(cut_off.chat.read_chatroom, user_id=user_id, chatroom_id=room_id),
            partial(cut_off.chat.list_chatrooms, user_id=user_id, version=0, render=lambda page: repr(page).encode()),
            partial(cut_off.auth.show_profile, user_id=user_id),
            partial(cut_off.auth.sign_up, mobile_number=a_mobile_number()),
            partial(log_in, cut_off, a_mobile_number()),
        ):
            with pytest.raises(DependencyDown) as refusal:
                attempt()
            assert refusal.value.dependency == "database"
            assert "secret" not in f"{refusal.value!r} {refusal.value.__cause__!r}"
        readiness = cut_off.check_readiness()
        assert not readiness.ready
        assert readiness.faults[Part.DATABASE] is Fault.UNREACHABLE


class TestWhenConnectionsAreCut:
    @pytest.fixture
    def database(self, clean_database: str) -> Iterator[Database]:
        database = Database(make_pool(clean_database, size=CONNECTIONS, application_name="to-be-cut"))
        yield database
        database.close()

    @pytest.fixture
    def world(self, database: Database) -> World:
        return SqlWorld(database)

    @pytest.fixture
    def cut(self, database: Database, clean_database: str) -> Callable[[], None]:
        """Fills the pool, then ends all its connections."""

        def cut() -> None:
            start = Barrier(CONNECTIONS)

            def use_one() -> None:
                with database.read() as cursor:
                    start.wait(30)
                    cursor.execute("SELECT 1")

            together([use_one] * CONNECTIONS)
            connection = psycopg2.connect(clean_database)
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND application_name = 'to-be-cut'"
                    )
                    assert cursor.fetchall() == [(True,)] * CONNECTIONS
            finally:
                connection.close()

        return cut

    def test_the_first_is_noticed_and_all_are_replaced(self, world: World, cut: Callable[[], None]) -> None:
        for ask in (self._read, self._write):
            cut()
            noticed: list[str] = []
            for _ in range(4 * CONNECTIONS):
                try:
                    ask(world)
                except DependencyDown as down:
                    noticed.append(down.dependency)
            assert len(noticed) <= 1
            assert set(noticed) <= {"database"}
            for _ in range(2 * CONNECTIONS):
                ask(world)

    def test_one_that_has_rested_is_replaced_without_anybody_noticing(
        self, world: World, cut: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool_module, "PING_AFTER_SECONDS", 0.0)
        for ask in (self._read, self._write):
            cut()
            for _ in range(2 * CONNECTIONS):
                ask(world)

    def test_a_connection_in_a_transaction_takes_its_work_with_it(
        self, world: World, database: Database, cut: Callable[[], None], clean_database: str
    ) -> None:
        lost = a_user()

        def write() -> None:
            with world.unit_of_work() as work:
                work.users.add(lost)
                world.break_commit(work)
                work.users.add(a_user())

        with pytest.raises(DependencyDown):
            write()
        with sql_world(clean_database) as other, other.unit_of_work() as work:
            assert work.users.get(lost.id) is None
        self._write(world)

    def test_a_full_pool_says_so(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pool_module, "WAIT_SECONDS", 0.05)
        start = Barrier(CONNECTIONS + 1)
        done = Barrier(CONNECTIONS + 1)

        def keep_one() -> str:
            with database.read() as cursor:
                cursor.execute("SELECT 1")
                start.wait(30)
                done.wait(30)
            return "kept"

        def ask_for_one_more() -> str:
            start.wait(30)
            try:
                with pytest.raises(DependencyDown) as refusal, database.read():
                    pass
                return refusal.value.dependency
            finally:
                done.wait(30)

        outcomes = together([keep_one] * CONNECTIONS + [ask_for_one_more])
        assert outcomes == ["kept"] * CONNECTIONS + ["database"]
        self._select(database)

    def test_all_waits_are_bounded(self, database: Database) -> None:
        with database.read() as cursor:
            for setting, value in {
                "statement_timeout": "5s",
                "lock_timeout": "3s",
                "idle_in_transaction_session_timeout": "10s",
                "TimeZone": "UTC",
                "application_name": "to-be-cut",
            }.items():
                cursor.execute("SELECT current_setting(%s)", (setting,))
                assert cursor.fetchone() == (value,)

    def test_a_statement_that_takes_too_long_leaves_a_good_connection(self, database: Database) -> None:
        for _ in range(2 * CONNECTIONS):
            with pytest.raises(DependencyDown), database.transaction() as cursor:
                cursor.execute("SET LOCAL statement_timeout = '5ms'; SELECT pg_sleep(5)")
        self._select(database)

    @staticmethod
    def _select(database: Database) -> None:
        with database.read() as cursor:
            cursor.execute("SELECT 1")

    @staticmethod
    def _read(world: World) -> None:
        assert world.reader.principal(SessionId(new_id())) is None

    @staticmethod
    def _write(world: World) -> None:
        world.user()
