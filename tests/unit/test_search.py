"""Users find what they said and were told, and nothing of others."""

from datetime import timedelta

import pytest

from application.chat.search import CHATROOMS_SHOWN, SEARCHES, Found
from domain.accounts import Principal
from domain.errors import InvalidValue, RateLimited
from domain.replies import Answer
from tests.builders import ASHA, RAVI, House


def search(house: House, who: Principal, text: str, **page) -> Found:
    """What is found once everything is searchable."""
    while house.replying.index_entries():
        pass
    return house.use_cases.chat.search(user_id=who.user_id, text=text, **page)


def test_names_prompts_and_answers_are_found_with_the_place_of_the_match():
    house = House()
    asha = house.user(ASHA)
    room, other = house.room(asha, "Tides"), house.room(asha, "Stars")
    house.model.will(Answer("Because of the Moon, tides rise.", "scripted"))
    sent = house.say(asha, room, "Why?")
    asked = house.say(asha, other, "Are there tides on Mars?")
    house.work()
    found = search(house, asha, "tide")
    assert [(named.room.id, named.name) for named in found.chatrooms] == [(room, ("Tides", [(0, 4)]))]
    shown = {one.entry.id: (one.entry.chatroom_name, one.passage) for one in found.entries}
    assert shown[sent.reply_id] == ("Tides", ("Because of the Moon, tides rise.", [(21, 25)]))
    assert shown[asked.message.id] == ("Stars", ("Are there tides on Mars?", [(10, 14)]))
    assert (found.next_before, found.complete) == (None, True)


def test_nothing_of_others_is_found():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    house.say(ravi, house.room(ravi, "Tides"), "tides")
    house.work()
    found = search(house, asha, "tides")
    assert (found.chatrooms, found.entries) == ([], [])


def test_what_is_not_searchable_yet_is_said_to_be_missing():
    house = House()
    asha = house.user(ASHA)
    house.say(asha, house.room(asha, "Room"), "tides")
    house.clock.advance(timedelta(minutes=2))
    before = house.use_cases.chat.search(user_id=asha.user_id, text="tides")
    assert (before.entries, before.complete) == ([], False)
    after = search(house, asha, "tides")
    assert (len(after.entries), after.complete) == (1, True)


def test_names_are_on_the_first_page_only():
    house = House(basic_daily_prompts=100)
    asha = house.user(ASHA)
    rooms = [house.room(asha, f"Tide {number}") for number in range(CHATROOMS_SHOWN + 2)]
    for _ in range(3):
        house.say(asha, rooms[0], "tides")
    first = search(house, asha, "tide", limit=2)
    assert [named.room.id for named in first.chatrooms] == rooms[:1:-1]
    second = search(house, asha, "tide", limit=2, before=first.next_before)
    assert (second.chatrooms, len(second.entries), second.next_before) == ([], 1, None)


def test_a_name_is_found_as_soon_as_it_is_given():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha, "Old")
    house.use_cases.chat.change_chatroom(user_id=asha.user_id, chatroom_id=room, name="Épices", archived=True)
    found = house.use_cases.chat.search(user_id=asha.user_id, text="epice")
    assert [(named.room.name, named.room.archived) for named in found.chatrooms] == [("Épices", True)]


def test_searches_are_limited_for_each_user():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    for _ in range(SEARCHES.amount):
        search(house, asha, "tea")
    with pytest.raises(RateLimited) as refused:
        search(house, asha, "tea")
    assert (refused.value.policy, refused.value.limit) == ("search", SEARCHES.amount)
    search(house, ravi, "tea")
    house.clock.advance(SEARCHES.per)
    search(house, asha, "tea")


def test_a_search_for_nothing_counts_as_none():
    house = House()
    asha = house.user(ASHA)
    for _ in range(SEARCHES.amount + 1):
        with pytest.raises(InvalidValue):
            search(house, asha, "?!")
    search(house, asha, "tea")


def test_a_batch_at_a_time_becomes_searchable():
    house = House(basic_daily_prompts=100)
    asha = house.user(ASHA)
    room = house.room(asha)
    for number in range(house.replying.index_entries.batch + 1):
        house.say(asha, room, str(number))
        house.work()
    assert [house.replying.index_entries() for _ in range(3)] == [True, False, False]
    assert len(house.database.tables.search_terms) == 2 * (house.replying.index_entries.batch + 1)
