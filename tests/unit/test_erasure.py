"""Users change what they say of themselves, take what is theirs, and leave; chatrooms change and go."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.crypto.hmac_phone_digest import HmacPhoneDigest
from application.operations.audit import ReadAudit
from application.ports.audit import AuditEventType
from application.ports.language_model import Stop
from domain.accounts import Origin, PhoneNumber, Principal
from domain.chat import ChatroomId
from domain.errors import (
    ChatroomNotFound,
    DependencyDown,
    InvalidValue,
    OtpInvalid,
    QuotaExhausted,
    RateLimited,
    TokenInvalid,
)
from domain.replies import ReplyPolicy, ReplyState
from tests.builders import ASHA, AUDIT_RETENTION, RAVI, House


def test_a_profile_changes_what_was_given_and_nothing_else():
    house = House()
    asha = house.user(ASHA)
    change = house.use_cases.auth.change_profile
    assert change(principal=asha, name="Asha").name == "Asha"
    profile = change(principal=asha, email="asha@example.org")
    assert (profile.name, profile.email, profile.phone) == ("Asha", "asha@example.org", ASHA)
    assert change(principal=asha).email == "asha@example.org"
    assert change(principal=asha, name=None).name is None


def test_who_was_erased_changes_nothing():
    house = House()
    asha = house.user(ASHA)
    house.use_cases.auth.erase_account(principal=asha)
    for use_case in (
        lambda: house.use_cases.auth.change_profile(principal=asha, name="Asha"),
        lambda: house.use_cases.auth.erase_account(principal=asha),
        lambda: house.use_cases.auth.export_account(principal=asha),
        lambda: house.use_cases.chat.open_chatroom(user_id=asha.user_id, name="Room"),
    ):
        with pytest.raises(TokenInvalid):
            use_case()


def test_an_erased_user_is_gone_at_once_and_may_sign_up_as_a_new_one():
    house = House()
    token = house.token(ASHA)
    asha = house.use_cases.auth.authenticate(token)
    house.subscribe(asha)
    room = house.room(asha)
    house.say(asha, room, "hi")
    house.work()
    erased = house.use_cases.auth.erase_account(principal=asha).rows
    assert (erased["users"], erased["chatrooms"], erased["messages"], erased["replies"]) == (1, 1, 1, 1)
    assert erased["subscriptions"] == erased["sessions"] == erased["daily_usage"] == 1
    assert house.erasure_hook.called_for == [asha.user_id]
    with pytest.raises(TokenInvalid):
        house.use_cases.auth.authenticate(token)
    again = house.user(ASHA)
    assert again.user_id != asha.user_id
    assert house.used(again) == 1  # what the number used today counts on


def test_nothing_of_anybody_else_goes():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    room = house.room(ravi)
    house.say(ravi, room, "hi")
    house.use_cases.auth.erase_account(principal=asha)
    house.work()
    assert house.conversation(ravi, room) == [("user", "hi"), ("bot", "echo: hi")]


def test_where_the_subscription_cannot_be_cancelled_nothing_is_erased():
    house = House()
    asha = house.user(ASHA)
    house.erasure_hook.failure = DependencyDown("stripe")
    before = house.database.tables.copy()
    with pytest.raises(DependencyDown):
        house.use_cases.auth.erase_account(principal=asha)
    assert house.database.tables == before
    house.erasure_hook.failure = None
    house.use_cases.auth.erase_account(principal=asha)


def test_a_reply_that_is_being_written_is_thrown_away():
    house = House()
    asha = house.user(ASHA)
    house.say(asha, house.room(asha), "hi")
    claimed = house.claim_one()
    house.use_cases.auth.erase_account(principal=asha)
    assert house.write(claimed) is None
    assert house.work() == []


def leave(house: House, who: Principal, room: ChatroomId) -> None:
    house.use_cases.auth.erase_account(principal=who)


def take_away(house: House, who: Principal, room: ChatroomId) -> None:
    house.use_cases.chat.remove_chatroom(user_id=who.user_id, chatroom_id=room)


@pytest.mark.parametrize("go", [leave, take_away])
def test_what_was_published_of_the_replies_goes_at_once(go: Callable[[House, Principal, ChatroomId], None]):
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    room, theirs = house.room(asha), house.room(ravi)
    answered, waiting = house.say(asha, room, "hi"), house.say(asha, room, "there")
    foreign = house.say(ravi, theirs, "?")
    for claimed in house.claim():
        house.write(claimed)
    assert house.stream.published(answered.reply_id)
    go(house, asha, room)
    assert house.stream.published(answered.reply_id) == house.stream.published(waiting.reply_id) == []
    assert house.stream.published(foreign.reply_id)


@pytest.mark.parametrize("go", [leave, take_away])
def test_a_worker_that_is_just_writing_stops_and_nothing_of_it_is_kept(
    go: Callable[[House, Principal, ChatroomId], None],
):
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    sent = house.say(asha, room, "hi")
    claimed, stop = house.claim_one(), Stop()

    def look() -> None:
        assert list(house.replying.find_stops([sent.reply_id])) == [sent.reply_id]
        stop.request()

    house.model.will(["Once ", lambda: go(house, asha, room), "upon ", look, "never said"])
    assert house.write(claimed, stop=stop) is None
    assert house.stream.published(sent.reply_id) == []
    assert sent.reply_id not in house.database.tables.replies


def test_what_stays_in_the_trail_is_that_it_happened():
    house = House()
    asha = house.user_with_password(ASHA, "the password of Asha")
    house.use_cases.auth.erase_account(principal=asha)
    events = list(house.database.tables.audit_events.values())
    assert AuditEventType.ACCOUNT_ERASED in [event.what for event in events]
    for event in events:
        assert (event.user_id, event.session_id, event.phone_digest) == (None, None, None)


def test_the_export_is_everything_and_says_so_before_the_first_record():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha, "Physics")
    house.say(asha, room, "hi")
    house.work()
    records = list(house.use_cases.auth.export_account(principal=asha))
    assert [record["type"] for record in records[:1]] == ["account"]
    assert {"account", "usage", "session", "securityEvent", "chatroom", "message", "reply"} == {
        record["type"] for record in records
    }
    assert [record["content"] for record in records if "content" in record] == ["hi", "echo: hi"]


def test_ten_exports_an_hour_are_enough():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    for _ in range(10):
        house.use_cases.auth.export_account(principal=asha)
    with pytest.raises(RateLimited):
        house.use_cases.auth.export_account(principal=asha)
    house.use_cases.auth.export_account(principal=ravi)


def test_an_operator_finds_what_happened_to_a_number():
    house = House()
    house.user(ASHA)
    house.user(RAVI)
    recorder = house.use_cases.auth.log_out.recorder
    request_code = house.use_cases.auth.request_code

    def read(*, user_id, phone_digests, what, limit):
        from adapters.memory.audit import MemoryAuditReader  # noqa: PLC0415

        return MemoryAuditReader(house.database)(user_id=user_id, phone_digests=phone_digests, what=what, limit=limit)

    audit = ReadAudit(read, request_code.read_phone_number, [recorder.phone_digest])
    assert [event.what for event in audit(mobile_number="98765 43210")] == [AuditEventType.CODE_SENT]
    assert len(audit(limit=3)) == 3
    assert [event.what for event in audit(what=AuditEventType.LOGGED_IN)] == [AuditEventType.LOGGED_IN] * 2
    with pytest.raises(InvalidValue):
        audit(mobile_number="not a number")


def test_events_are_forgotten_when_they_have_been_kept_long_enough():
    house = House()
    house.user(ASHA)
    house.clock.advance(AUDIT_RETENTION)
    house.user(RAVI)
    assert house.replying.purge_expired() == 1  # the session, which ended long before
    assert house.replying.purge_expired() == 0
    house.clock.advance(timedelta(seconds=1))
    assert house.replying.purge_expired() == 2
    assert house.replying.purge_expired() == 0
    left = house.database.tables.audit_events.values()
    assert [event.what for event in left] == [AuditEventType.CODE_SENT, AuditEventType.LOGGED_IN]
    assert {house.clock() - event.at for event in left} == {timedelta(seconds=1)}


# --- Chatrooms ---


def test_a_chatroom_is_renamed_and_the_list_shows_it():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha, "Old")
    chat = house.use_cases.chat

    def names() -> bytes:
        return chat.list_chatrooms(
            user_id=asha.user_id,
            version=house.list_version(asha),
            render=lambda page: " ".join(line.name for line in page.rooms).encode(),
        ).page

    assert names() == b"Old"
    house.clock.advance(timedelta(seconds=1))
    changed = chat.change_chatroom(user_id=asha.user_id, chatroom_id=room, name=" New ")
    assert (changed.name, changed.updated_at) == ("New", house.clock())
    assert changed.created_at < changed.updated_at
    assert names() == b"New"


def test_what_is_not_given_stays_and_none_takes_away():
    house = House()
    asha = house.user(ASHA)
    room = house.use_cases.chat.open_chatroom(user_id=asha.user_id, name="Room", system_prompt="Be brief.").chatroom.id
    change = house.use_cases.chat.change_chatroom
    assert change(user_id=asha.user_id, chatroom_id=room, name="Other").system_prompt == "Be brief."
    changed = change(user_id=asha.user_id, chatroom_id=room, system_prompt=None)
    assert (changed.name, changed.system_prompt) == ("Other", None)


@pytest.mark.parametrize("wrong", [{"name": " "}, {"name": "x" * 101}, {"system_prompt": " "}])
def test_texts_that_no_chatroom_may_have(wrong: dict[str, Any]):
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    with pytest.raises(InvalidValue):
        house.use_cases.chat.change_chatroom(user_id=asha.user_id, chatroom_id=room, **wrong)


def test_a_chatroom_goes_with_everything_in_it():
    house = House()
    asha = house.user(ASHA)
    room, other = house.room(asha), house.room(asha)
    house.say(asha, room, "hi")
    house.say(asha, other, "there")
    house.use_cases.chat.remove_chatroom(user_id=asha.user_id, chatroom_id=room)
    with pytest.raises(ChatroomNotFound):
        house.conversation(asha, room)
    assert house.work() == [ReplyState.DONE]
    assert len(house.database.tables.messages) == 1


def test_foreign_and_missing_chatrooms_are_alike():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    room = house.room(asha)
    for chatroom_id in (room, ChatroomId(ravi.user_id)):
        with pytest.raises(ChatroomNotFound):
            house.use_cases.chat.change_chatroom(user_id=ravi.user_id, chatroom_id=chatroom_id, name="Mine")
        with pytest.raises(ChatroomNotFound):
            house.use_cases.chat.remove_chatroom(user_id=ravi.user_id, chatroom_id=chatroom_id)
    assert house.conversation(asha, room) == []


def test_signing_up_again_gives_no_new_prompts_on_the_same_day():
    house = House(basic_daily_prompts=5, reply_policy=ReplyPolicy(user_backlog=100))
    for number in range(3):
        asha = house.user(ASHA)
        room = house.room(asha)
        if number == 0:
            for _ in range(5):
                house.say(asha, room, "hi")
        with pytest.raises(QuotaExhausted):
            house.say(asha, room, "one more")
        house.use_cases.auth.erase_account(principal=asha)
    house.clock.advance(timedelta(days=1))
    asha = house.user(ASHA)
    house.say(asha, house.room(asha), "hi")
    house.replying.purge_expired()
    assert not house.database.tables.erased_usage


def test_what_is_kept_of_the_day_names_nobody():
    house = House()
    asha = house.user(ASHA)
    house.say(asha, house.room(asha), "hi")
    house.use_cases.auth.erase_account(principal=asha)
    [((digest, day), used)] = house.database.tables.erased_usage.items()
    assert (day, used) == (house.clock().date(), 1)
    assert ASHA[1:] not in digest
    ravi = house.user(RAVI)
    assert house.used(ravi) == 0


def test_events_under_a_secret_that_was_replaced_are_forgotten_too():
    house = House()
    older = HmacPhoneDigest(b"a key that was replaced")
    auth = house.use_cases.auth
    recorder = replace(auth.log_in.recorder, phone_digest=older)
    recorder.record_alone(
        AuditEventType.LOGIN_FAILED, phone=PhoneNumber(ASHA), origin=Origin("203.0.113.7", "Phone 13")
    )
    auth.erase_account(principal=house.user(ASHA))
    assert all(
        (event.phone_digest, event.origin.address, event.origin.device) == (None, None, None)
        for event in house.database.tables.audit_events.values()
    )


def test_a_code_that_was_sent_before_makes_no_new_account():
    house = House()
    asha = house.user(ASHA)
    code = house.code(ASHA)
    house.use_cases.auth.erase_account(principal=asha)
    with pytest.raises(OtpInvalid):
        house.use_cases.auth.verify_code(mobile_number=ASHA, code=code)
