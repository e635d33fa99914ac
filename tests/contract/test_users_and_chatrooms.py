"""The contract of what may be changed of users and chatrooms; countries and passwords that are refused."""

from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.crypto.common_passwords import LIST, ListedCommonPasswords
from adapters.otp_delivery.phone_numbers import ServedCountries
from application.ports.reply_stream import STREAM_GONE_AFTER, STREAM_KEPT_FOR
from domain.accounts import PhoneNumber, UserId
from domain.chat import ChatroomId
from domain.errors import ChatroomNotFound
from domain.replies import ReplyId
from tests.contract.world import MOMENT, MemoryWorld, SqlWorld, World, a_room, new_id


class ChangesContract:
    @pytest.mark.parametrize(("name", "email"), [("Asha ☀", "asha@example.org"), (None, None), ("", "")])
    def test_what_users_say_of_themselves_changes_and_nothing_else(
        self, world: World, name: str | None, email: str | None
    ) -> None:
        user, other = world.user(), world.user()
        with world.unit_of_work() as work:
            work.users.set_profile(user.id, name=name, email=email)
            work.commit()
        with world.unit_of_work() as work:
            assert work.users.get(user.id) == replace(user, name=name, email=email)
            assert work.users.get(other.id) == other

    def test_a_chatroom_is_found_by_its_owner_alone(self, world: World) -> None:
        room, stranger = world.room(system_prompt="Be brief."), world.user()
        with world.unit_of_work() as work:
            assert work.chatrooms.owned(room.id, by=room.user_id) == room
            for chatroom_id, by in [(room.id, stranger.id), (ChatroomId(new_id()), room.user_id)]:
                with pytest.raises(ChatroomNotFound):
                    work.chatrooms.owned(chatroom_id, by=by)

    @pytest.mark.parametrize("prompt", ["Be brief.", None, "☃" * 4_000])
    def test_a_chatroom_changes_and_no_other_does(self, world: World, prompt: str | None) -> None:
        user = world.user()
        room, other = world.room(user), world.room(user)
        changed = room.changed(name="Poems", system_prompt=prompt, at=MOMENT + timedelta(microseconds=1))
        with world.unit_of_work() as work:
            work.chatrooms.change(changed)
            work.commit()
        with world.unit_of_work() as work:
            assert work.chatrooms.owned(room.id, by=user.id) == changed
            assert work.chatrooms.owned(other.id, by=user.id) == other

    def test_a_chatroom_goes_with_what_was_said_in_it(self, world: World) -> None:
        user = world.user()
        room, other = world.room(user), world.room(user)
        world.ask(room)
        world.ask(other)
        with world.unit_of_work() as work:
            work.chatrooms.remove(work.chatrooms.owned(room.id, by=user.id))
            work.commit()
        assert world.reader.conversation(user.id, room.id, turns=5, before=None) is None
        kept = world.reader.conversation(user.id, other.id, turns=5, before=None)
        assert kept is not None
        assert len(kept.turns) == 1
        [claimed] = world.claim()
        assert claimed.prompt == "Why?"

    def test_the_replies_that_go_with_a_chatroom_are_named(self, world: World) -> None:
        user = world.user()
        room, other = world.room(user), world.room(user)
        asked = world.ask(room)
        world.ask(other)
        replies = {asked.id, world.ask_again(asked).id, world.ask(room).id}
        empty = world.room(user)
        with world.unit_of_work() as work:
            named = work.chatrooms.remove(work.chatrooms.owned(room.id, by=user.id))
            nothing = work.chatrooms.remove(work.chatrooms.owned(empty.id, by=user.id))
            work.commit()
        assert (set(named), len(named), list(nothing)) == (replies, 3, [])

    def test_of_the_replies_only_those_are_named_that_may_still_have_listeners(self, world: World) -> None:
        room = world.room()
        world.end_three(room)
        world.pass_time(STREAM_GONE_AFTER + timedelta(seconds=1))
        just_ended = world.ask(room)
        assert world.finish(world.claim_one().claim)
        world.pass_time(STREAM_KEPT_FOR)
        running, queued = world.ask(room), world.ask(room)
        assert world.claim_one().claim.reply_id == running.id
        with world.unit_of_work() as work:
            named = work.chatrooms.remove(work.chatrooms.owned(room.id, by=room.user_id))
            work.commit()
        assert sorted(named) == [just_ended.id, running.id, queued.id]

    def test_a_removed_chatroom_is_gone_before_its_rows_are(self, world: World) -> None:
        user = world.user()
        room, other = world.room(user), world.room(user)
        asked = [world.ask(room) for _ in range(5)]
        world.answer_all()
        kept, unfinished = world.ask(other), world.ask(room)
        with world.unit_of_work() as work:
            named = work.chatrooms.remove(work.chatrooms.owned(room.id, by=user.id), limit=2)
            work.commit()
        assert set(named) == {unfinished.id, asked[-1].id}  # their messages are the newest two
        assert [one.id for one in world.reader.rooms(user.id, limit=10, before=None).rooms] == [other.id]
        assert world.reader.conversation(user.id, room.id, turns=5, before=None) is None
        for entry_id in (asked[0].message_id, asked[0].id):
            assert world.reader.entry(user.id, entry_id) is None
            with world.unit_of_work() as work:
                assert work.messages.of(user.id, entry_id) is None
        with world.unit_of_work() as work, pytest.raises(ChatroomNotFound):
            work.chatrooms.assert_owned(room.id, by=user.id)
        assert set(world.to_be_stopped([unfinished.id, kept.id])) == {unfinished.id}
        assert [one.reply_id for one in (claimed.claim for claimed in world.claim())] == [kept.id]

    def test_what_is_left_of_removed_chatrooms_is_deleted_batch_by_batch(self, world: World) -> None:
        user = world.user()
        rooms = [world.room(user) for _ in range(2)]
        asked = [world.ask(room) for room in rooms for _ in range(4)]
        world.answer_all()
        kept = world.ask(world.room(user))
        for room in rooms:
            with world.unit_of_work() as work:
                work.chatrooms.remove(work.chatrooms.owned(room.id, by=user.id), limit=1)
                work.commit()
        gone: list[ReplyId] = []
        while (purged := world.purge_removed(limit=2)).messages:
            assert (purged.messages, purged.replies) == (2, 2)
            gone += purged.with_stream
        assert sorted(gone) == sorted(one.id for one in asked if one not in (asked[3], asked[7]))
        assert purged == (0, 0, 0, [])
        assert [claimed.claim.reply_id for claimed in world.claim()] == [kept.id]

    def test_what_is_removed_counts_against_no_limit(self, world: World) -> None:
        user = world.user()
        room = world.room(user)
        for _ in range(3):
            world.ask(room)
        world.answer_all()
        with world.unit_of_work() as work:
            work.chatrooms.remove(work.chatrooms.owned(room.id, by=user.id), limit=1)
            work.chatrooms.add(a_room(user), limit=1)
            work.messages.check_kept(user.id, limit=1)
            work.commit()

    def test_only_its_owner_removes_a_chatroom_and_only_once(self, world: World) -> None:
        room, stranger = world.room(), world.user()
        with world.unit_of_work() as work:
            for chatroom_id, by in [(room.id, stranger.id), (ChatroomId(new_id()), room.user_id)]:
                with pytest.raises(ChatroomNotFound):
                    work.chatrooms.owned(chatroom_id, by=by)
            work.chatrooms.remove(work.chatrooms.owned(room.id, by=room.user_id))
            with pytest.raises(ChatroomNotFound):
                work.chatrooms.owned(room.id, by=room.user_id)
            work.commit()

    def test_what_is_rolled_back_is_still_there(self, world: World) -> None:
        room = world.room()
        with world.unit_of_work() as work:
            work.chatrooms.remove(work.chatrooms.owned(room.id, by=room.user_id))
        with world.unit_of_work() as work:
            assert work.chatrooms.owned(room.id, by=room.user_id) == room

    def test_changing_who_is_not_there_changes_nothing(self, world: World) -> None:
        user = world.user()
        try:
            with world.unit_of_work() as work:
                work.users.set_profile(UserId(new_id()), name="Nobody", email=None)
                work.commit()
        except KeyError:
            pass  # in memory: the use case looks first, under the lock
        with world.unit_of_work() as work:
            assert work.users.get(user.id) == user


class TestMemoryChanges(ChangesContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlChanges(ChangesContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world


INDIA, GERMANY, CANADA, USA = "+919876543210", "+4915112345678", "+16135550123", "+12025550123"


@pytest.mark.parametrize(
    ("regions", "served"),
    [
        ((), {INDIA, GERMANY, CANADA, USA}),
        (("IN",), {INDIA}),
        (("DE", "US"), {GERMANY, USA}),
        (("CA",), {CANADA}),
    ],
)
def test_countries_that_codes_are_sent_to(regions: tuple[str, ...], served: set[str]) -> None:
    is_served = ServedCountries(regions)
    assert {number for number in (INDIA, GERMANY, CANADA, USA) if is_served(PhoneNumber(number))} == served


@pytest.mark.parametrize("number", ["+911234567890", "+99912345678", "+88213123456"])
def test_numbers_that_belong_to_no_country(number: str) -> None:
    assert ServedCountries(())(PhoneNumber(number))
    assert ServedCountries(("IN",))(PhoneNumber(number)) == number.startswith("+91")


@pytest.mark.parametrize("regions", [("XX",), ("IN", "in"), ("Germany",), ("001",)])
def test_a_region_that_is_none_is_refused(regions: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="OTP_COUNTRIES"):
        ServedCountries(regions)


@pytest.mark.parametrize("password", ["password", "12345678", "PASSWORD", "Password1", "qwertyuiop", "iloveyou"])
def test_common_passwords_are_known(password: str) -> None:
    assert ListedCommonPasswords()(password)


@pytest.mark.parametrize(
    "password", ["", "correct horse battery staple", "what Asha told nobody", "\ud800" * 8, "पासवर्ड१२"]
)
def test_others_are_not(password: str) -> None:
    assert not ListedCommonPasswords()(password)


def test_the_list_is_shipped() -> None:
    assert 10_000 < LIST.stat().st_size < 100_000
