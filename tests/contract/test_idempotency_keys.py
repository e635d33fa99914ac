"""The contract of the idempotency keys."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from uuid import uuid4

import pytest

from application.ports.idempotency import Accepted
from domain.accounts import UserId
from domain.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from domain.plans import DailyQuota, Plan
from domain.replies import QueuedReply
from tests.concurrency import at_once
from tests.contract.world import THREADS, MemoryWorld, SqlWorld, World, shown

BODY, OTHER_BODY = b"\x00\xff" * 16, b"\x01" * 32
A_DAY = timedelta(hours=24)


def accepted_with(world: World, reply: QueuedReply, *, plan: Plan = Plan.BASIC) -> Accepted:
    quota = DailyQuota(world.today(), 3, 5 if plan is Plan.BASIC else None, plan)
    return Accepted(reply.message_id, reply.id, quota, "Why? 🌤")


def recall(world: World, user_id: UserId, key: str = "key", fingerprint: bytes = BODY) -> Accepted | None:
    with world.unit_of_work() as work:
        return work.idempotency_keys.recall(user_id, key, fingerprint=fingerprint)


def remember(world: World, accepted: Accepted, user_id: UserId, key: str = "key", fingerprint: bytes = BODY) -> None:
    with world.unit_of_work() as work:
        assert work.idempotency_keys.recall(user_id, key, fingerprint=fingerprint) is None
        work.idempotency_keys.remember(user_id, key, fingerprint=fingerprint, accepted=accepted)
        work.commit()


def purge_expired(world: World, limit: int = 100) -> int:
    with world.unit_of_work() as work:
        count = work.idempotency_keys.purge_expired(limit=limit)
        work.commit()
    return count


class IdempotencyKeysContract:
    @pytest.fixture
    def reply(self, world: World) -> QueuedReply:
        return world.ask(world.room())

    @pytest.mark.parametrize("plan", Plan)
    @pytest.mark.parametrize("key", ["key", "!", "x" * 255, "'; DROP TABLE idempotency_keys; -- %s\\"], ids=shown)
    def test_what_was_remembered_is_recalled_unchanged(
        self, world: World, reply: QueuedReply, key: str, plan: Plan
    ) -> None:
        accepted = accepted_with(world, reply, plan=plan)
        remember(world, accepted, reply.user_id, key)
        for _ in range(2):
            assert recall(world, reply.user_id, key) == accepted

    @pytest.mark.parametrize("key", ["open key", "x" * 255], ids=shown)
    def test_a_reference_is_recalled_unchanged_and_is_no_answer_to_a_message(self, world: World, key: str) -> None:
        user_id = world.user().id
        for reference in ("cs_test_1", "another"):
            with world.unit_of_work() as work:
                known = work.idempotency_keys.recall_reference(user_id, key, fingerprint=BODY)
                assert known == (None if reference == "cs_test_1" else "cs_test_1")
                work.idempotency_keys.remember_reference(user_id, key, fingerprint=BODY, reference=reference)
                work.commit()
        assert recall(world, user_id, key) is None
        with world.unit_of_work() as work:
            assert work.idempotency_keys.recall_reference(user_id, key, fingerprint=BODY) == "another"
            with pytest.raises(IdempotencyKeyReused):
                work.idempotency_keys.recall_reference(user_id, key, fingerprint=OTHER_BODY)
        world.pass_time(A_DAY)
        with world.unit_of_work() as work:
            assert work.idempotency_keys.recall_reference(user_id, key, fingerprint=OTHER_BODY) is None
        assert purge_expired(world) == 1

    def test_of_a_user_who_was_erased_no_reference_is_remembered(self, world: World) -> None:
        nobody = UserId(uuid4())
        with world.unit_of_work() as work:
            work.idempotency_keys.remember_reference(nobody, "key", fingerprint=BODY, reference="cs_test_1")
            work.commit()
        with world.unit_of_work() as work:
            assert work.idempotency_keys.recall_reference(nobody, "key", fingerprint=BODY) is None

    def test_a_key_goes_with_the_chatroom_of_its_message(self, world: World) -> None:
        room = world.room()
        replies = [world.ask(room) for _ in range(2)]
        world.answer_all()
        for number, reply in enumerate(replies):
            remember(world, accepted_with(world, reply), room.user_id, str(number))
        with world.unit_of_work() as work:
            work.chatrooms.remove(work.chatrooms.owned(room.id, by=room.user_id), limit=1)
            work.commit()
        assert [recall(world, room.user_id, key) for key in ("0", "1")] == [None, None]

    def test_a_new_key_is_none(self, world: World, reply: QueuedReply) -> None:
        assert recall(world, reply.user_id) is None
        remember(world, accepted_with(world, reply), reply.user_id)
        for key in ("another", "KEY", "key ", ""):
            assert recall(world, reply.user_id, key) is None

    def test_users_do_not_share_keys(self, world: World, reply: QueuedReply) -> None:
        remember(world, accepted_with(world, reply), reply.user_id)
        other = world.ask(world.room())
        assert recall(world, other.user_id, fingerprint=OTHER_BODY) is None
        accepted = accepted_with(world, other)
        remember(world, accepted, other.user_id, fingerprint=OTHER_BODY)
        assert recall(world, other.user_id, fingerprint=OTHER_BODY) == accepted

    def test_a_key_with_another_body_is_refused(self, world: World, reply: QueuedReply) -> None:
        accepted = accepted_with(world, reply)
        remember(world, accepted, reply.user_id)
        with pytest.raises(IdempotencyKeyReused):
            recall(world, reply.user_id, fingerprint=OTHER_BODY)
        assert recall(world, reply.user_id) == accepted

    def test_what_is_rolled_back_was_never_remembered(self, world: World, reply: QueuedReply) -> None:
        with world.unit_of_work() as work:
            work.idempotency_keys.recall(reply.user_id, "key", fingerprint=BODY)
            work.idempotency_keys.remember(reply.user_id, "key", fingerprint=BODY, accepted=accepted_with(world, reply))
        assert recall(world, reply.user_id, fingerprint=OTHER_BODY) is None

    def test_after_24_hours_a_key_is_new_whether_it_was_forgotten_or_not(
        self, world: World, reply: QueuedReply
    ) -> None:
        accepted = accepted_with(world, reply)
        remember(world, accepted, reply.user_id)
        world.pass_time(A_DAY - timedelta(minutes=1))
        assert recall(world, reply.user_id) == accepted
        world.pass_time(timedelta(minutes=2))
        again = accepted_with(world, world.ask_again(reply))
        remember(world, again, reply.user_id, fingerprint=OTHER_BODY)
        assert recall(world, reply.user_id, fingerprint=OTHER_BODY) == again
        assert purge_expired(world) == 0
        with pytest.raises(IdempotencyKeyReused):
            recall(world, reply.user_id)

    def test_old_ones_are_forgotten_some_at_a_time(self, world: World, reply: QueuedReply) -> None:
        accepted = accepted_with(world, reply)
        for number in range(5):
            remember(world, accepted, reply.user_id, f"old {number}")
        assert purge_expired(world) == 0
        world.pass_time(A_DAY)
        remember(world, accepted, reply.user_id, "young")
        assert [purge_expired(world, limit=2) for _ in range(4)] == [2, 2, 1, 0]
        assert recall(world, reply.user_id, "young") == accepted
        assert recall(world, reply.user_id, "old 0") is None

    def test_of_many_with_one_key_at_once_exactly_one_is_the_first(self, world: World, reply: QueuedReply) -> None:
        accepted = accepted_with(world, reply)

        def once() -> str:
            with world.unit_of_work() as work:
                earlier = work.idempotency_keys.recall(reply.user_id, "key", fingerprint=BODY)
                if earlier is not None:
                    assert earlier == accepted
                    return "repeated"
                work.idempotency_keys.remember(reply.user_id, "key", fingerprint=BODY, accepted=accepted)
                work.commit()
            return "first"

        outcomes = at_once([once] * THREADS)
        assert outcomes.count("first") == 1
        others = [outcome for outcome in outcomes if outcome not in {"first", "repeated"}]
        assert all(isinstance(outcome, IdempotencyKeyInUse) for outcome in others)


class TestMemoryIdempotencyKeys(IdempotencyKeysContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlIdempotencyKeys(IdempotencyKeysContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world

    def test_a_key_is_in_use_until_the_other_unit_of_work_has_ended(
        self, real_world: SqlWorld, reply: QueuedReply
    ) -> None:
        other = real_world.user()
        with real_world.unit_of_work() as work:
            assert work.idempotency_keys.recall(reply.user_id, "key", fingerprint=BODY) is None
            for fingerprint in (BODY, OTHER_BODY):
                with pytest.raises(IdempotencyKeyInUse):
                    recall(real_world, reply.user_id, fingerprint=fingerprint)
            # Not of another user.
            assert recall(real_world, reply.user_id, "another") is None
            assert recall(real_world, other.id) is None
        assert recall(real_world, reply.user_id) is None

    def test_a_key_that_is_being_recalled_is_in_use_as_well(self, real_world: SqlWorld, reply: QueuedReply) -> None:
        accepted = accepted_with(real_world, reply)
        remember(real_world, accepted, reply.user_id)
        with real_world.unit_of_work() as work:
            assert work.idempotency_keys.recall(reply.user_id, "key", fingerprint=BODY) == accepted
            with pytest.raises(IdempotencyKeyInUse):
                recall(real_world, reply.user_id)
        assert recall(real_world, reply.user_id) == accepted

    def test_one_whose_connection_is_cut_uses_its_key_no_longer(self, real_world: SqlWorld, reply: QueuedReply) -> None:
        taken, cut = Event(), Event()

        def be_cut() -> None:
            with real_world.unit_of_work() as work:
                work.idempotency_keys.recall(reply.user_id, "key", fingerprint=BODY)
                real_world.break_commit(work)
                taken.set()
                assert cut.wait(30)

        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(be_cut)
            assert taken.wait(30)
            assert recall(real_world, reply.user_id) is None
            cut.set()
            done.exception(30)

    def test_keys_that_are_being_forgotten_are_passed_over_not_waited_for(
        self, real_world: SqlWorld, reply: QueuedReply
    ) -> None:
        for key in ("one", "two"):
            remember(real_world, accepted_with(real_world, reply), reply.user_id, key)
        real_world.pass_time(A_DAY)
        with real_world.unit_of_work() as one, real_world.unit_of_work() as other:
            assert one.idempotency_keys.purge_expired(limit=1) == 1
            assert other.idempotency_keys.purge_expired(limit=10) == 1

    def test_a_key_goes_with_its_chatroom(self, real_world: SqlWorld, reply: QueuedReply) -> None:
        remember(real_world, accepted_with(real_world, reply), reply.user_id)
        real_world._run("DELETE FROM chatrooms WHERE id = %(id)s", id=reply.chatroom_id)
        assert recall(real_world, reply.user_id) is None

    def test_no_key_can_be_chosen_that_locks_what_is_ours(self, real_world: SqlWorld, reply: QueuedReply) -> None:
        # PostgreSQL keeps locks of one number and of two apart (pg_locks.objsubid: 1 and 2).
        with real_world.unit_of_work() as work:
            work.idempotency_keys.recall(reply.user_id, "a key", fingerprint=b"")
            assert real_world._rows("SELECT objsubid FROM pg_locks WHERE locktype = 'advisory'") == [(2,)]
