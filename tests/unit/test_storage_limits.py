"""What one user may keep is bounded."""

from dataclasses import replace

import pytest

from domain.errors import TooManyChatrooms, TooManyMessages
from domain.replies import ReplyPolicy
from tests.builders import ASHA, RAVI, House


def test_chatrooms_of_one_user():
    house = House(max_chatrooms=2)
    asha, ravi = house.user(ASHA), house.user(RAVI)
    room = house.room(asha)
    house.room(asha)
    with pytest.raises(TooManyChatrooms):
        house.room(asha)
    house.room(ravi)
    house.use_cases.chat.remove_chatroom(user_id=asha.user_id, chatroom_id=room)
    house.room(asha)


def test_messages_of_one_user_in_all_chatrooms_together():
    house = House(reply_policy=replace(ReplyPolicy(), user_messages=2))
    asha = house.user(ASHA)
    room, other = house.room(asha), house.room(asha)
    house.say(asha, room, "one")
    house.say(asha, other, "two")
    with pytest.raises(TooManyMessages):
        house.say(asha, other, "three")
    assert house.used(asha) == 2
    house.use_cases.chat.remove_chatroom(user_id=asha.user_id, chatroom_id=room)
    house.say(asha, other, "three")
