"""Which room of the web server a request is answered in."""

import pytest

from entrypoints.web_rooms import rooms


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/search", "/search/"])
def test_a_slow_search_makes_only_other_searches_wait(method: str, path: str):
    of_process = rooms(8)
    room = of_process.room_of({"REQUEST_METHOD": method, "PATH_INFO": path})
    assert room is not None
    assert room.name == "search"
    assert room not in {of_process.chat, of_process.work}
