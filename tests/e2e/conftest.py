"""A scripted model, and a user of a service that is well. A module brings its own ``service``."""

from collections.abc import Iterator

import pytest

from tests.e2e.service import Person, Service, until
from tests.fakes.gemini_server import FakeGemini


@pytest.fixture(scope="module")
def gemini() -> Iterator[FakeGemini]:
    """A Gemini that does what a test tells it to."""
    with FakeGemini() as server:
        yield server


@pytest.fixture
def person(service: Service, gemini: FakeGemini) -> Person:
    """A user who has just logged in, when all is well and the model has nothing left to do."""
    until("all is well", lambda: service.readiness() == (200, []))
    gemini.reset()
    return Person(service).log_in()
