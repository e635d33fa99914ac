"""The contract of the users."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest

from domain.accounts import PhoneNumber, User, UserId
from domain.errors import PhoneTaken
from domain.plans import Plan
from tests.concurrency import at_once, together
from tests.contract.world import ALLOWANCES, MOMENT, THREADS, MemoryWorld, SqlWorld, World, a_user, new_id


class UsersContract:
    def test_sign_ups_that_were_never_verified_are_purged_some_at_a_time(self, world: World) -> None:
        verified = world.user(created_at=MOMENT, verified_at=MOMENT)
        old = [world.user(created_at=MOMENT + timedelta(days=day), verified_at=None) for day in range(3)]

        def purge(limit: int) -> int:
            with world.unit_of_work() as work:
                purged = work.users.purge_unproven_before(MOMENT + timedelta(days=2), limit=limit)
                work.commit()
            return purged

        assert [purge(1) for _ in range(3)] == [1, 1, 0]
        with world.unit_of_work() as work:
            left = [work.users.get(user.id) is not None for user in (verified, *old)]
        assert left == [True, False, False, True]

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"name": None, "email": None, "password_hash": None},
            {"name": "", "email": "", "password_hash": ""},
            {"name": "अनुष्का Ünïcödé 👩🏽‍🚀 \u200d\u202e", "email": "ü@exämple.org"},
            {"name": "'; DROP TABLE users; -- %s %(id)s \\"},
            {"verified_at": MOMENT + timedelta(microseconds=1)},
            {"created_at": MOMENT.replace(year=1970)},
        ],
    )
    def test_comes_back_unchanged(self, world: World, changes: dict[str, object]) -> None:
        user = world.user(**changes)
        with world.unit_of_work() as work:
            found = work.users.get(user.id)
            assert found == user
            assert work.users.by_phone(user.phone) == user
        assert isinstance(found, User)
        assert found.created_at.utcoffset() == timedelta(0)

    def test_it_is_locked_and_unlocked(self, world: World) -> None:
        user, other = world.user(), world.user()
        for at in (MOMENT, None):
            with world.unit_of_work() as work:
                work.users.set_locked(user.id, at=at)
                work.commit()
            with world.unit_of_work() as work:
                assert work.users.get(user.id) == replace(user, locked_at=at)
            assert world.reader.is_locked(user.id) is (at is not None)
            assert not world.reader.is_locked(other.id)
        assert not world.reader.is_locked(UserId(new_id()))

    def test_pro_is_granted_and_withdrawn(self, world: World) -> None:
        user, other = world.user(), world.user()
        for until in (datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(days=1), None):
            with world.unit_of_work() as work:
                work.users.grant_pro(user.id, until=until)
                work.commit()
            with world.unit_of_work() as work:
                assert work.users.get(user.id) == replace(user, pro_until=until)
            holds = until is not None and until > datetime.now(UTC)
            status = world.reader.plan_status(user.id, allowances=ALLOWANCES)
            profile = world.reader.profile(user.id, allowances=ALLOWANCES)
            assert profile is not None
            assert status.granted_until == (until if holds else None)
            assert {status.plan, status.quota.plan, profile.plan} == {Plan.PRO if holds else Plan.BASIC}
            assert world.reader.plan_status(other.id, allowances=ALLOWANCES).plan is Plan.BASIC

    def test_a_moment_of_another_zone_stays_that_moment(self, world: World) -> None:
        india = timezone(timedelta(hours=5, minutes=30))
        user = world.user(created_at=MOMENT.astimezone(india))
        with world.unit_of_work() as work:
            found = work.users.get(user.id)
        assert found is not None
        assert found.created_at == MOMENT

    def test_an_unknown_user_is_not_found(self, world: World) -> None:
        world.user()
        with world.unit_of_work() as work:
            assert work.users.get(UserId(new_id())) is None
            assert work.users.by_phone(PhoneNumber("+4915112345678")) is None

    def test_a_number_has_one_account(self, world: World) -> None:
        first = world.user()
        with pytest.raises(PhoneTaken), world.unit_of_work() as work:
            work.users.add(a_user(phone=first.phone, name="another"))
        with world.unit_of_work() as work:
            assert work.users.by_phone(first.phone) == first

    def test_of_many_with_one_number_exactly_one_gets_it(self, world: World) -> None:
        phone = a_user().phone
        candidates = [a_user(phone=phone) for _ in range(THREADS)]

        def sign_up(user: User) -> UserId:
            with world.unit_of_work() as work:
                work.users.add(user)
                work.commit()
            return user.id

        results = at_once(partial(sign_up, user) for user in candidates)
        winners = [result for result in results if not isinstance(result, PhoneTaken)]
        assert len(winners) == 1
        with world.unit_of_work() as work:
            found = work.users.by_phone(phone)
        assert found is not None
        assert [found.id] == winners

    def test_a_number_given_up_by_a_rollback_can_be_had(self, world: World) -> None:
        phone = a_user().phone
        with world.unit_of_work() as work:
            work.users.add(a_user(phone=phone))
        assert world.user(phone=phone).phone == phone

    def test_verified_is_noted(self, world: World) -> None:
        user, other = world.user(), world.user()
        with world.unit_of_work() as work:
            work.users.mark_verified(user.id, at=MOMENT)
            work.commit()
        with world.unit_of_work() as work:
            found = work.users.get(user.id)
            assert work.users.get(other.id) == other
        assert found is not None
        assert found.verified_at == MOMENT

    @pytest.mark.parametrize("password_hash", ["$2b$12$…", "", None])
    def test_the_password_is_replaced_or_taken_away(self, world: World, password_hash: str | None) -> None:
        user, other = world.user(), world.user()
        with world.unit_of_work() as work:
            work.users.set_password(user.id, password_hash)
            work.commit()
        with world.unit_of_work() as work:
            found = work.users.get(user.id)
            assert work.users.get(other.id) == other
        assert found is not None
        assert found.password_hash == password_hash

    @pytest.mark.parametrize("by_phone", [True, False])
    def test_who_is_found_is_locked_so_no_change_is_lost(self, world: World, by_phone: bool) -> None:
        user = world.user(password_hash="")

        def append() -> None:
            with world.unit_of_work() as work:
                found = work.users.by_phone(user.phone) if by_phone else work.users.get(user.id)
                assert found is not None
                work.users.set_password(user.id, f"{found.password_hash}x")
                work.commit()

        together([append] * THREADS)
        with world.unit_of_work() as work:
            found = work.users.get(user.id)
        assert found is not None
        assert found.password_hash == "x" * THREADS


class TestMemoryUsers(UsersContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlUsers(UsersContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world
