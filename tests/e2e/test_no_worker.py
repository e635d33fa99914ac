"""While no worker is there, messages fail at their deadline, give their prompts back, and make room for the next."""

from collections.abc import Iterator

import pytest

from tests.e2e.service import Person, Service, asleep, running, until
from tests.fakes.gemini_server import FakeGemini

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def service(gemini: FakeGemini, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(
        tmp_path_factory.mktemp("deserted"),
        **gemini.settings,
        REPLY_LEASE_SECONDS="3",
        MODEL_IDLE_SECONDS="2",
        REPLY_DEADLINE_SECONDS="3",
        BACKLOG_REPLIES="1",
    ) as started:
        yield started


def assert_failed_for_free(person: Person, reply: str) -> None:
    failed = person.reply(reply)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "deadline_exceeded")
    assert person.used() == 0


def test_messages_fail_at_their_deadline_and_make_room(service: Service, person: Person) -> None:
    other = Person(service).log_in()
    with asleep(service.process("worker")):
        first = person.sent("Is anybody there?")
        assert other.send("And for me?").json()["code"] == "backlog_full"

        def accepted() -> str | None:
            answer = other.send("And for me?")
            return answer.json()["reply"]["id"] if answer.status_code == 202 else None

        # Nobody reads the first message: the second one needs its place.
        second = until("there is room", accepted)
        assert_failed_for_free(person, first)
        assert_failed_for_free(other, second)
