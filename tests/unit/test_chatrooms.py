"""Users open chatrooms, list them and read them, but not those of others."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from application.chat.chatrooms import DEFAULT_ROOMS_PER_PAGE, ListedRooms
from application.ports.reader import RoomCursor, RoomPage
from domain.accounts import Principal
from domain.chat import MAX_PINNED, Chatroom, ChatroomId
from domain.errors import ChatroomNotFound, InvalidValue, TooManyPinned
from tests.builders import ASHA, RAVI, House


def render(page: RoomPage) -> bytes:
    return "\n".join(room.name for room in page.rooms).encode()


def list_rooms(house: House, who: Principal, render: Callable[[RoomPage], bytes] = render, **which) -> ListedRooms:
    version = house.list_version(who)
    return house.use_cases.chat.list_chatrooms(user_id=who.user_id, version=version, render=render, **which)


def listed(house: House, who: Principal, **which) -> tuple[list[str], bool]:
    """The names, and whether they came from the cache."""
    rooms = list_rooms(house, who, render, **which)
    return rooms.page.decode().split("\n") if rooms.page else [], rooms.from_cache


def test_the_newest_room_comes_first():
    house = House()
    asha = house.user(ASHA)
    for name in ("one", "two", "three"):
        house.room(asha, name)
    assert listed(house, asha) == (["three", "two", "one"], False)


def test_everybody_sees_their_own_rooms():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    house.room(asha, "hers")
    assert listed(house, ravi) == ([], False)
    assert listed(house, asha) == (["hers"], False)


def test_the_second_look_comes_from_the_cache():
    house = House()
    asha = house.user(ASHA)
    house.room(asha, "one")
    assert [listed(house, asha) for _ in range(2)] == [(["one"], False), (["one"], True)]


def test_an_empty_list_is_cached_too():
    house = House()
    asha = house.user(ASHA)
    assert [listed(house, asha) for _ in range(2)] == [([], False), ([], True)]


def test_a_new_room_shows_at_once_and_leaves_the_lists_of_others_cached():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    house.room(asha, "one")
    for who in (asha, ravi):
        listed(house, who)
    house.room(asha, "two")
    assert listed(house, asha) == (["two", "one"], False)
    assert listed(house, asha) == (["two", "one"], True)
    assert listed(house, ravi) == ([], True)


def test_a_room_that_was_refused_is_no_reason_to_forget():
    house = House()
    asha = house.user(ASHA)
    listed(house, asha)
    with pytest.raises(InvalidValue):
        house.room(asha, " ")
    assert listed(house, asha) == ([], True)


def test_a_list_that_was_read_before_a_room_was_opened_is_not_kept_after_it():
    house = House()
    asha = house.user(ASHA)

    def slow_render(page: RoomPage) -> bytes:
        house.room(asha, "opened while the list was being rendered")
        return render(page)

    stale = list_rooms(house, asha, slow_render)
    assert stale.page == b""
    assert listed(house, asha) == (["opened while the list was being rendered"], False)


def test_the_same_with_a_list_that_was_cached_before():
    house = House()
    asha = house.user(ASHA)
    listed(house, asha)
    house.room(asha, "one")

    def slow_render(page: RoomPage) -> bytes:
        house.room(asha, "two")
        return render(page)

    list_rooms(house, asha, slow_render)
    assert listed(house, asha) == (["two", "one"], False)


def test_pages_follow_one_another_and_only_the_usual_first_one_is_cached():
    house = House()
    asha = house.user(ASHA)
    ids = [house.room(asha, name) for name in "abcde"]
    assert listed(house, asha, limit=2) == (["e", "d"], False)
    assert listed(house, asha, limit=2) == (["e", "d"], False)
    assert listed(house, asha, limit=2, before=RoomCursor(ids[3])) == (["c", "b"], False)
    assert listed(house, asha, before=RoomCursor(ids[1])) == (["a"], False)
    assert listed(house, asha) == (["e", "d", "c", "b", "a"], False)


def test_a_page_says_where_the_next_begins():
    house = House()
    asha = house.user(ASHA)
    ids = [house.room(asha) for _ in range(DEFAULT_ROOMS_PER_PAGE)]
    pages: list[RoomPage] = []

    def keep(page: RoomPage) -> bytes:
        pages.append(page)
        return b""

    for limit in (DEFAULT_ROOMS_PER_PAGE - 1, DEFAULT_ROOMS_PER_PAGE):
        list_rooms(house, asha, keep, limit=limit)
    assert [page.next_before for page in pages] == [RoomCursor(ids[1]), None]


# --- Opening ---


def test_a_room_keeps_its_name_without_the_space_around_it():
    house = House()
    asha = house.user(ASHA)
    room = house.use_cases.chat.open_chatroom(user_id=asha.user_id, name="  Tea \n", system_prompt="Be brief.").chatroom
    assert (room.name, room.system_prompt, room.created_at) == ("Tea", "Be brief.", house.clock())
    assert house.database.tables.chatrooms[room.id] == room


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", {"name": ""}),
        ("name", {"name": " \t\n"}),
        ("name", {"name": "x" * 101}),
        ("systemPrompt", {"name": "Tea", "system_prompt": " "}),
        ("systemPrompt", {"name": "Tea", "system_prompt": "x" * 4_001}),
    ],
)
def test_a_text_that_breaks_a_rule_opens_nothing(field: str, given: dict[str, str]):
    house = House()
    asha = house.user(ASHA)
    with pytest.raises(InvalidValue) as refused:
        house.use_cases.chat.open_chatroom(user_id=asha.user_id, **given)
    assert refused.value.field == field
    assert not house.database.tables.chatrooms


def test_a_room_without_a_name_is_called_after_its_first_message():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha, name=None)
    other = house.room(asha, "Tea")
    assert listed(house, asha) == (["Tea", ""], False)
    first, second = house.say(asha, room, "Why is the sky blue? Be brief."), house.say(asha, room, "And the sea?")
    assert (first.title, second.title) == ("Why is the sky blue?", None)
    assert house.say(asha, other, "Which is best?").title is None
    assert listed(house, asha) == (["Tea", "Why is the sky blue?"], False)
    house.say(asha, room, "And the sun?")
    assert listed(house, asha) == (["Tea", "Why is the sky blue?"], True)


def test_a_name_that_was_given_before_the_first_message_stays():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha, name=None)
    change = house.use_cases.chat.change_chatroom
    unnamed = change(user_id=asha.user_id, chatroom_id=room, system_prompt="Be brief.")
    assert (unnamed.name, unnamed.system_prompt) == ("", "Be brief.")
    change(user_id=asha.user_id, chatroom_id=room, name="Mine")
    assert house.say(asha, room, "Why?").title is None
    assert listed(house, asha) == (["Mine"], False)


def test_a_repeated_first_message_is_answered_with_the_same_title():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha, name=None)
    titles = [house.say(asha, room, "Why?", key="k").title for _ in range(2)]
    house.use_cases.chat.change_chatroom(user_id=asha.user_id, chatroom_id=room, name="Mine")
    assert [*titles, house.say(asha, room, "Why?", key="k").title] == ["Why?"] * 3
    assert listed(house, asha) == (["Mine"], False)


# --- Pins and the archive ---


def change(house: House, who: Principal, room: ChatroomId, **changes: Any) -> Chatroom:
    return house.use_cases.chat.change_chatroom(user_id=who.user_id, chatroom_id=room, **changes)


def test_pinned_rooms_stand_first_and_archived_ones_apart():
    house = House()
    asha = house.user(ASHA)
    one, two, _, four = (house.room(asha, name) for name in ("one", "two", "three", "four"))
    listed(house, asha)
    change(house, asha, one, pinned=True)
    assert listed(house, asha) == (["one", "four", "three", "two"], False)
    change(house, asha, four, archived=True)
    change(house, asha, two, pinned=True)
    assert listed(house, asha) == (["two", "one", "three"], False)
    assert listed(house, asha) == (["two", "one", "three"], True)
    assert [listed(house, asha, archived=True) for _ in range(2)] == [(["four"], False)] * 2
    change(house, asha, two, pinned=False)
    change(house, asha, four, archived=False)
    assert listed(house, asha) == (["one", "four", "three", "two"], False)


def test_the_archive_takes_the_pin_and_the_pin_takes_out_of_the_archive():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    states = [
        (changed.pinned, changed.archived)
        for wish in ({"pinned": True}, {"archived": True}, {"archived": False}, {"archived": True}, {"pinned": True},
                     {"pinned": False, "archived": True}, {"pinned": False, "archived": False})
        for changed in [change(house, asha, room, **wish)]
    ]  # fmt: skip
    assert states == [
        (True, False), (False, True), (False, False), (False, True), (True, False), (False, True), (False, False)
    ]  # fmt: skip


def test_both_at_once_is_refused():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    with pytest.raises(InvalidValue) as refused:
        change(house, asha, room, pinned=True, archived=True)
    assert refused.value.field == "archived"
    assert listed(house, asha, archived=True) == ([], False)


def test_what_is_pinned_already_stays_so_since_then():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    first = change(house, asha, room, pinned=True)
    house.clock.advance(timedelta(hours=1))
    again = house.use_cases.chat.change_chatroom(user_id=asha.user_id, chatroom_id=room, name="Tea", pinned=True)
    assert (again.pinned_at, again.updated_at) == (first.pinned_at, house.clock())


def test_the_number_of_pinned_rooms_is_bounded():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    rooms = [house.room(asha) for _ in range(MAX_PINNED + 1)]
    for room in rooms[:MAX_PINNED]:
        change(house, asha, room, pinned=True)
    with pytest.raises(TooManyPinned) as refused:
        change(house, asha, rooms[-1], pinned=True)
    assert refused.value.limit == MAX_PINNED
    assert change(house, asha, rooms[0], pinned=True).pinned
    change(house, ravi, house.room(ravi), pinned=True)
    change(house, asha, rooms[0], archived=True)
    assert change(house, asha, rooms[-1], pinned=True).pinned


def test_a_message_takes_its_room_out_of_the_archive():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha, "Tea")
    change(house, asha, room, archived=True)
    assert listed(house, asha) == ([], False)
    house.say(asha, room, "Which is best?")
    assert listed(house, asha) == (["Tea"], False)
    assert listed(house, asha, archived=True) == ([], False)


# --- Reading ---


def test_a_foreign_room_and_a_missing_one_look_alike():
    house = House()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    hers, missing = house.room(asha), ChatroomId(UUID(int=10**9))
    refusals = []
    for room in (hers, missing):
        for ask in (lambda room: house.conversation(ravi, room), lambda room: house.say(ravi, room, "hi")):
            with pytest.raises(ChatroomNotFound) as refused:
                ask(room)
            refusals.append(refused.value.facts())
    assert refusals == [{}] * 4
    assert house.used(ravi) == 0
    assert house.conversation(asha, hers) == []


def test_a_reply_shows_as_soon_as_it_is_stored():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    house.say(asha, room, "hi")
    assert house.conversation(asha, room) == [("user", "hi"), ("queued", "")]
    claimed = house.claim_one()
    assert house.conversation(asha, room) == [("user", "hi"), ("running", "")]
    house.write(claimed)
    assert house.conversation(asha, room) == [("user", "hi"), ("bot", "echo: hi")]


def test_a_long_conversation_comes_in_pages_oldest_first_within_each():
    house = House(basic_daily_prompts=10)
    asha = house.user(ASHA)
    room = house.room(asha)
    for number in range(5):
        house.say(asha, room, str(number))
    read = house.use_cases.chat.read_chatroom
    pages = [read(user_id=asha.user_id, chatroom_id=room, turns=2)]
    while pages[-1].next_before is not None:
        pages.append(read(user_id=asha.user_id, chatroom_id=room, turns=2, before=pages[-1].next_before))
    assert [[turn.content for turn in page.turns] for page in pages] == [["3", "4"], ["1", "2"], ["0"]]


def test_a_cache_that_holds_nothing_costs_only_time():
    house = House()
    asha = house.user(ASHA)
    house.room(asha, "one")

    class NoCache(type(house.room_list_cache)):  # type: ignore[misc]
        def put(self, user_id, version, page) -> None:
            """Forget it at once, as without a server."""

    list_chatrooms = replace(house.use_cases.chat.list_chatrooms, room_list_cache=NoCache())
    for _ in range(2):
        rooms = list_chatrooms(user_id=asha.user_id, version=house.list_version(asha), render=render)
        assert (rooms.page, rooms.from_cache) == (b"one", False)
