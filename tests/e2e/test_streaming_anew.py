"""A reply that is written anew is watched: its watchers are told to start over, and end with what is stored."""

import pytest

from tests.e2e.service import Service
from tests.e2e.streams import HALF, TEXT, Watcher, events_of
from tests.fakes.gemini_server import Outcome

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def service(hurried_service: Service) -> Service:
    return hurried_service


def test_the_model_falls_silent_in_the_middle(service, gemini, person):
    gemini.will(Outcome("stall", text=TEXT), Outcome(text=TEXT))
    reply = person.sent("Tell me a tale")
    watcher = Watcher(person, reply)

    watcher.saw(HALF)

    assert person.get(f"/message/{reply}")["status"] == "running"
    assert person.get(f"/message/{reply}")["content"] is None
    # The model stays silent for too long, and is asked once more: that is another text, though it may be the same.
    done = watcher.end()
    assert watcher.names == ["reset", "done"]
    assert watcher.text == TEXT
    assert done.data == person.get(f"/message/{reply}")
    assert done.data["content"] == TEXT


def test_the_worker_is_killed_in_the_middle(service, gemini, person):
    gemini.will(Outcome("stall", text=TEXT), Outcome(text="Another tale. The end."))
    reply = person.sent("Tell me a tale")
    watcher = Watcher(person, reply)
    watcher.saw(HALF)

    service.kill("worker")

    done = watcher.end()
    assert watcher.names == ["reset", "done"]
    assert watcher.text == done.data["content"] == "Another tale. The end."
    assert watcher.connections == 1
    assert done.id == f"2-{len(watcher.text)}-end"
    assert person.used() == 1
    # Who comes back with a position in the text that is void starts over as well.
    late = events_of(person, reply, after=f"1-{len(HALF)}")
    assert [event.name for event in late] == ["reset", "delta", "done"]
    assert late[1].data["text"] == watcher.text


def test_the_worker_is_asked_to_stop_in_the_middle(service, gemini, person):
    gemini.will(Outcome("stall", text=TEXT), Outcome(text="Another tale."))
    reply = person.sent("Tell me a tale")
    watcher = Watcher(person, reply)
    watcher.saw(HALF)
    worker = service.process("worker")

    worker.terminate()

    assert watcher.end().data["content"] == watcher.text == "Another tale."
    service.replaced(worker, "worker")
