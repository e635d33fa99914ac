"""A room of the web server: its bounds in all and per client, and whose turn it is."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Event

import pytest

from entrypoints.server.rooms import Room

PATIENCE = 30.0


class Crowd:
    """Jobs in a room that end when they are told to."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.began: SimpleQueue[str] = SimpleQueue()
        self._ends: dict[str, Event] = {}
        self._ended: SimpleQueue[str] = SimpleQueue()

    def enter(self, name: str, client: str = "asha") -> bool:
        return self.room.enter(client, self._job(name))

    def end(self, name: str, client: str = "asha") -> None:
        """Let a job end, as the event loop learns of it."""
        self._ends[name].set()
        assert self._ended.get(timeout=PATIENCE) == name
        self.room.leave(client)

    def begun(self, count: int) -> set[str]:
        return {self.began.get(timeout=PATIENCE) for _ in range(count)}

    def _job(self, name: str) -> Callable[[], None]:
        end = self._ends[name] = Event()

        def job() -> None:
            self.began.put(name)
            end.wait(PATIENCE)
            self._ended.put(name)

        return job


def test_jobs_run_at_once_up_to_the_number_of_threads() -> None:
    crowd = Crowd(Room("work", threads=2, per_client=2, waiting=9))
    assert all(crowd.enter(name) for name in "abc")
    assert crowd.begun(2) == {"a", "b"}
    assert (crowd.room.running, crowd.room.waiting) == (2, 1)
    crowd.end("a")
    assert crowd.begun(1) == {"c"}


def test_a_full_room_refuses_at_once() -> None:
    crowd = Crowd(Room("payments", threads=1, per_client=1, waiting=1))
    assert [crowd.enter(name, client=name) for name in "abc"] == [True, True, False]
    crowd.begun(1)
    crowd.end("a", client="a")
    assert crowd.begun(1) == {"b"}
    assert crowd.enter("d", client="d")


def test_one_client_leaves_room_for_others() -> None:
    crowd = Crowd(Room("work", threads=3, per_client=2, waiting=9))
    for name in "abc":
        assert crowd.enter(name, client="flooder")
    assert crowd.enter("other", client="other")
    assert crowd.begun(3) == {"a", "b", "other"}
    crowd.end("other", client="other")
    crowd.end("a", client="flooder")
    assert crowd.begun(1) == {"c"}


def test_one_client_cannot_take_all_waiting_places() -> None:
    crowd = Crowd(Room("work", threads=1, per_client=1, waiting=3, per_client_waiting=2))
    assert [crowd.enter(name, client="flooder") for name in "abcd"] == [True, True, True, False]
    assert crowd.enter("other", client="other")


def test_clients_that_wait_take_turns() -> None:
    crowd = Crowd(Room("work", threads=1, per_client=1, waiting=9))
    for name, client in [("f1", "f"), ("f2", "f"), ("f3", "f"), ("a1", "asha"), ("b1", "bo")]:
        assert crowd.enter(name, client=client)
    order = [*crowd.begun(1)]
    for name, client in [("f1", "f"), ("a1", "asha"), ("b1", "bo"), ("f2", "f")]:
        crowd.end(name, client=client)
        order += crowd.begun(1)
    assert order == ["f1", "a1", "b1", "f2", "f3"]


@pytest.mark.parametrize("threads", [1, 3])
def test_nothing_is_kept_of_clients_that_have_left(threads: int) -> None:
    crowd = Crowd(Room("work", threads=threads, per_client=1, waiting=9))
    for name in "abcdef":
        assert crowd.enter(name, client=name)
    for name in "abcdef":
        crowd.end(name, client=name)
    assert (crowd.room.running, crowd.room.waiting, len(crowd.room._clients)) == (0, 0, 0)
