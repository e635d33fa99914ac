"""Fixtures of the tests of the HTTP API."""

import pytest

from tests.api.client import Api, Client
from tests.builders import ASHA, RAVI, House
from tests.stripe_house import StripeHouse


@pytest.fixture
def api() -> Api:
    """The API on in-memory adapters."""
    return Api()


@pytest.fixture
def house(api: Api) -> House:
    """The application behind the API."""
    return api.house


@pytest.fixture
def guest(api: Api) -> Client:
    """A client without a token."""
    return api.guest()


@pytest.fixture
def asha(api: Api) -> Client:
    """A user."""
    return api.log_in(ASHA)


@pytest.fixture
def ravi(api: Api) -> Client:
    """Another user."""
    return api.log_in(RAVI)


@pytest.fixture
def stripe_house() -> StripeHouse:
    """The application with a simulated Stripe."""
    return StripeHouse()


@pytest.fixture
def buyer(stripe_house: StripeHouse) -> Client:
    """A user of it."""
    return Api(stripe_house).log_in(ASHA)


@pytest.fixture
def stripe(stripe_house: StripeHouse) -> Client:
    """Stripe, which sends webhooks."""
    return Api(stripe_house).guest()


@pytest.fixture(autouse=True)
def time_passes_as_planned(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long poll that waits for time alone waits for what the test has planned."""
    monkeypatch.setattr("entrypoints.server.waiting.pause", house.meanwhile)
