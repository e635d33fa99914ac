"""``KEY_PREFIX``: in the whole flow no key is written without it."""

from collections.abc import Iterator

import pytest

from tests.e2e.service import Person, Service, running, until
from tests.fakes.gemini_server import FakeGemini

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def service(gemini: FakeGemini, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("prefix"), **gemini.settings, KEY_PREFIX="chat:") as started:
        yield started


def test_every_key_has_it(service: Service, person: Person) -> None:
    reply = person.sent("Is anybody there?")
    assert person.reply(reply)["content"] == "echo: Is anybody there?"
    person.get("/chatroom")
    until("the worker is seen", lambda: service.readiness() == (200, []))
    with service.redis() as redis:
        kinds = {key.decode().split(":")[1] for key in redis.scan_iter("chat:*")}
        others = [key for key in redis.scan_iter() if not key.startswith(b"chat:")]
    assert others == []
    assert {"otp", "limits", "room_list", "reply", "rq", "workers"} <= {
        kind.partition("-")[0].lower() for kind in kinds
    }
