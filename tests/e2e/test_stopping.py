"""A process that is asked to stop hands back what it cannot finish: no user waits for a lease to run out.

The lease is an hour here, so that a reply can only have come because its lease was handed back.
"""

import time
from collections.abc import Iterator

import pytest

from tests.e2e.service import Person, Service, asleep, running, until
from tests.fakes.gemini_server import FakeGemini, Outcome

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def service(gemini: FakeGemini, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(
        tmp_path_factory.mktemp("stopping"),
        **gemini.settings,
        REPLY_LEASE_SECONDS="3600",
        REPLY_DEADLINE_SECONDS="3600",
        REPLY_MAX_ATTEMPTS="1",
    ) as started:
        yield started


def in_mid_reply(person: Person, gemini: FakeGemini, prompt: str) -> str:
    """A message for which the model is thinking, and would for ever. Asked again it answers at once."""
    gemini.will(Outcome("hang", prompt=prompt))
    reply = person.sent(prompt)
    until("the model is asked", lambda: prompt in [call.prompt for call in gemini.calls])
    return reply


def assert_answered_by_another(person: Person, gemini: FakeGemini, reply: str, prompt: str) -> None:
    """The reply is done, although only one attempt is allowed: the one that was handed back did not count."""
    assert person.reply(reply)["content"] == f"echo: {prompt}"
    assert [call.prompt for call in gemini.calls].count(prompt) == 2
    assert person.service.query("SELECT attempt FROM replies WHERE id = %s", reply) == [(1,)]
    assert [one["id"] for one in person.replies()] == [reply]
    assert person.used() == 1


def test_a_worker_that_is_asked_to_stop_hands_its_reply_back(service, gemini, person):
    prompt = "Will you pass this on?"
    reply = in_mid_reply(person, gemini, prompt)
    worker = service.process("worker")

    worker.terminate()
    time.sleep(1.5)  # RQ overlooks a second signal within a second; we overlook every one
    worker.terminate()

    service.replaced(worker, "worker")
    assert_answered_by_another(person, gemini, reply, prompt)
    assert "worker ended with status 0" in service.said()


def test_a_worker_that_is_asked_to_stop_finishes_what_it_can(service, gemini, person):
    prompt = "Will you finish this?"
    gemini.will(Outcome(latency=1.0, prompt=prompt))
    reply = person.sent(prompt)
    until("the model is asked", lambda: prompt in [call.prompt for call in gemini.calls])
    worker = service.process("worker")

    worker.terminate()

    assert person.reply(reply)["status"] == "done"
    assert [call.prompt for call in gemini.calls].count(prompt) == 1
    service.replaced(worker, "worker")


@pytest.mark.parametrize("trouble", ["hangs", "is_gone"])
def test_a_worker_can_be_asked_to_stop_while_redis(service, gemini, person, trouble):
    prompt = f"Will you pass this on though Redis {trouble}?"
    reply = in_mid_reply(person, gemini, prompt)
    worker, valkey = service.process("worker"), service.process("valkey-server")

    if trouble == "hangs":
        with asleep(valkey):
            worker.terminate()
            service.replaced(worker, "worker")
            assert_answered_by_another(person, gemini, reply, prompt)
    else:
        with asleep(service.supervisor):
            service.kill("valkey-server")
            until("it is noticed", lambda: service.readiness() == (200, ["redis"]))
            worker.terminate()
            handed_back = "SELECT state FROM replies WHERE id = %s"
            until("it is handed back", lambda: service.query(handed_back, reply) == [("queued",)])
        service.replaced(worker, "worker")
        assert_answered_by_another(person, gemini, reply, prompt)


def test_the_whole_service_is_asked_to_stop_and_answers_after_the_next_start(service, gemini, person):
    prompt = "See you after the break?"
    reply = in_mid_reply(person, gemini, prompt)

    assert service.stop() == 0
    service.start()

    assert "made to end" not in service.said()
    assert_answered_by_another(person, gemini, reply, prompt)
