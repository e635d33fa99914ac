"""Users take a chatroom along as a document."""

from datetime import timedelta

import pytest

from application.chat.export_chatroom import ExportedChatroom
from domain.accounts import Principal
from domain.chat import ChatroomId
from domain.errors import ChatroomNotFound, RateLimited
from domain.replies import AnswerFailed, FailureReason
from tests.builders import ASHA, NOW, RAVI, House


def export(house: House, principal: Principal, room: ChatroomId) -> ExportedChatroom:
    return house.use_cases.chat.export_chatroom(user_id=principal.user_id, chatroom_id=room)


def test_what_the_chatroom_shows_oldest_first():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha, "Physics", system_prompt="Be short.")
    house.say(asha, room, "one")
    house.work()
    house.model.will(AnswerFailed(FailureReason.REFUSED))
    house.say(asha, room, "two")
    house.work()
    house.clock.advance(timedelta(hours=1))
    exported = export(house, asha, room)
    assert (exported.name, exported.system_prompt) == ("Physics", "Be short.")
    assert (exported.opened_at, exported.exported_at) == (NOW, NOW + timedelta(hours=1))
    assert [(turn.content, turn.reply_content, turn.failure) for turn in exported.turns] == [
        ("one", "echo: one", None),
        ("two", None, FailureReason.REFUSED),
    ]


def test_thirty_exports_an_hour_are_enough():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    room, other = house.room(asha), house.room(ravi)
    for _ in range(30):
        export(house, asha, room)
    with pytest.raises(RateLimited):
        export(house, asha, room)
    export(house, ravi, other)


def test_those_of_others_are_not_found():
    house = House()
    room = house.room(house.user(ASHA))
    with pytest.raises(ChatroomNotFound):
        export(house, house.user(RAVI), room)
