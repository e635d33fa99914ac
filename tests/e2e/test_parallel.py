"""The quota holds when all prompts come at once."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.e2e.service import Person, Service, running

pytestmark = pytest.mark.real

PROMPTS = 50
ALLOWED = 5


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("parallel")) as started:
        yield started


@pytest.mark.parametrize("rooms", [1, PROMPTS], ids=["into_one_room", "each_into_its_own"])
def test_of_fifty_prompts_at_once_five_are_accepted_and_answered(service, rooms):
    person = Person(service).log_in()
    places = [person.open_room(f"Room {number}") for number in range(rooms)]
    together = Barrier(PROMPTS)

    def prompt(number: int) -> tuple[str, int, str]:
        room = places[number % rooms]
        with service.http(person.token) as http:
            together.wait()
            answer = http.post(f"/chatroom/{room}/message", json={"message": f"Parallel prompt {number}"})
        return room, answer.status_code, answer.json()["reply"]["id"] if answer.status_code == 202 else ""

    with ThreadPoolExecutor(PROMPTS) as threads:
        outcomes = list(threads.map(prompt, range(PROMPTS)))

    assert Counter(status for _, status, _ in outcomes) == {202: ALLOWED, 429: PROMPTS - ALLOWED}
    accepted = {reply: room for room, status, reply in outcomes if status == 202}
    assert [person.reply(reply, room)["status"] for reply, room in accepted.items()] == ["done"] * ALLOWED
    stored = service.query("SELECT id::text, state FROM replies WHERE user_id = %s", person.id)
    assert sorted(stored) == sorted((reply, "done") for reply in accepted)
    prompts = "SELECT count(*) FROM messages JOIN chatrooms c ON c.id = chatroom_id WHERE user_id = %s"
    assert service.query(prompts, person.id) == [(ALLOWED,)]
    assert person.used() == ALLOWED
