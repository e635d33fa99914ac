"""A message that cannot be answered fails clearly, once, and costs nothing; the next one is answered."""

from collections.abc import Iterator

import pytest

from tests.e2e.service import Person, Service, running, until
from tests.fakes.gemini_server import FakeGemini, Outcome

pytestmark = pytest.mark.real

ATTEMPTS = 2


@pytest.fixture(scope="module")
def service(gemini: FakeGemini, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(
        tmp_path_factory.mktemp("fails"),
        **gemini.settings,
        REPLY_LEASE_SECONDS="3",
        MODEL_IDLE_SECONDS="2",
        REPLY_MAX_ATTEMPTS=str(ATTEMPTS),
    ) as started:
        yield started


def assert_failed_for_free(person: Person, reply: str, code: str) -> None:
    """The reply failed with that code and was refunded, and the next message of the room is answered."""
    failed = person.reply(reply)
    assert failed["status"] == "failed"
    assert failed["content"] is None, "what went wrong is no answer"
    assert failed["error"]["code"] == code
    assert "not counted" in failed["error"]["detail"]
    assert person.used() == 0
    after = person.sent("And after that?")
    assert person.reply(after)["content"] == "echo: And after that?"
    assert [(one["id"], one["status"]) for one in person.replies()] == [(reply, "failed"), (after, "done")]
    assert person.used() == 1


def test_the_model_answers_with_500_every_time(service, gemini, person):
    prompt = "Are you broken?"
    gemini.will(*[Outcome("error", status=500, prompt=prompt)] * (ATTEMPTS + 1))
    assert_failed_for_free(person, person.sent(prompt), "model_unreachable")
    assert gemini.asked(prompt) == ATTEMPTS


def test_the_model_answers_with_500_once(service, gemini, person):
    prompt = "Are you still broken?"
    gemini.will(Outcome("error", status=500, prompt=prompt))
    assert person.reply(person.sent(prompt))["content"] == f"echo: {prompt}"
    assert gemini.asked(prompt) == 2
    assert person.used() == 1


@pytest.mark.parametrize("kind", ["safety", "blocked"])
def test_the_model_declines(service, gemini, person, kind):
    prompt = f"How is something {kind} made?"
    gemini.will(Outcome(kind, prompt=prompt))
    assert_failed_for_free(person, person.sent(prompt), "refused")
    assert gemini.asked(prompt) == 1, "asking again would not help"


def test_the_model_never_answers(service, gemini, person):
    prompt = "Are you asleep?"
    gemini.will(*[Outcome("hang", prompt=prompt)] * ATTEMPTS)
    assert_failed_for_free(person, person.sent(prompt), "model_unreachable")
    assert gemini.asked(prompt) == ATTEMPTS


def test_the_message_kills_its_worker_every_time(service, gemini, person):
    prompt = "A prompt of death"
    gemini.will(*[Outcome("hang", prompt=prompt)] * ATTEMPTS)
    reply = person.sent(prompt)
    for attempt in range(1, ATTEMPTS + 1):
        until(f"attempt {attempt}", lambda: gemini.asked(prompt) == attempt)  # noqa: B023 - asked within the turn
        service.replaced(service.kill("worker"), "worker")
    assert_failed_for_free(person, reply, "attempts_exhausted")
    assert gemini.asked(prompt) == ATTEMPTS
