"""A scripted model, services to share, and a user of a service that is well. A module brings its own ``service``."""

from collections.abc import Iterator

import pytest

from tests.e2e.service import Person, Service, running, until
from tests.fakes.gemini_server import FakeGemini


@pytest.fixture(scope="session")
def gemini() -> Iterator[FakeGemini]:
    """A Gemini that does what a test tells it to."""
    with FakeGemini() as server:
        yield server


@pytest.fixture(scope="session")
def patient_service(gemini: FakeGemini, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service in which no reply ends because of the time it takes."""
    with running(
        tmp_path_factory.mktemp("patient"),
        **gemini.settings,
        REPLY_LEASE_SECONDS="600",
        REPLY_DEADLINE_SECONDS="600",
        BASIC_DAILY_PROMPTS="1000",
        WAITING_REQUESTS_PER_USER="100",
    ) as started:
        yield started


@pytest.fixture(scope="session")
def hurried_service(gemini: FakeGemini, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service in which another worker soon takes over what one does not finish."""
    with running(
        tmp_path_factory.mktemp("hurried"),
        **gemini.settings,
        REPLY_LEASE_SECONDS="3",
        MODEL_IDLE_SECONDS="2",
        REPLY_MAX_ATTEMPTS="3",
        BASIC_DAILY_PROMPTS="1000",
    ) as started:
        yield started


@pytest.fixture
def person(service: Service, gemini: FakeGemini) -> Person:
    """A user who has just logged in, when all is well and the model has nothing left to do."""
    until("all is well", lambda: service.readiness() == (200, []))
    gemini.reset()
    return Person(service).log_in()
