"""Which room of the web server a request is answered in."""

import pytest

from entrypoints.web_rooms import rooms

A_ROOM = "/chatroom/019cad20-11f8-7d60-a1c5-90b37e4f2d18"


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", A_ROOM, "chat"),
        ("GET", f"{A_ROOM}/export", "exports"),
        ("GET", f"{A_ROOM}/export/", "exports"),
        ("HEAD", f"{A_ROOM}/export", "exports"),
        ("POST", f"{A_ROOM}/export", "chat"),
        ("GET", "/user/export", "accounts"),
        ("GET", "/user/me", "work"),
    ],
)
def test_a_request_is_answered_in_its_room(method: str, path: str, name: str):
    room = rooms(8).room_of({"REQUEST_METHOD": method, "PATH_INFO": path})
    assert room is not None
    assert room.name == name


def test_every_room_is_looked_after():
    all_rooms = rooms(8)
    assert {room.name for room in all_rooms.all} >= {"chat", "work", "accounts", "exports", "probes"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/search", "/search/"])
def test_a_slow_search_makes_only_other_searches_wait(method: str, path: str):
    of_process = rooms(8)
    room = of_process.room_of({"REQUEST_METHOD": method, "PATH_INFO": path})
    assert room is not None
    assert room.name == "search"
    assert room not in {of_process.chat, of_process.work}
