"""Fixtures of the tests of the HTTP API."""

import pytest

from tests.api.client import Api, Client
from tests.builders import ASHA, RAVI, House
from tests.stripe_house import StripeHouse


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def house(api: Api) -> House:
    return api.house


@pytest.fixture
def guest(api: Api) -> Client:
    return api.guest()


@pytest.fixture
def asha(api: Api) -> Client:
    return api.log_in(ASHA)


@pytest.fixture
def ravi(api: Api) -> Client:
    return api.log_in(RAVI)


@pytest.fixture
def stripe_house() -> StripeHouse:
    return StripeHouse()


@pytest.fixture
def buyer(stripe_house: StripeHouse) -> Client:
    return Api(stripe_house).log_in(ASHA)


@pytest.fixture
def stripe(stripe_house: StripeHouse) -> Client:
    return Api(stripe_house).guest()


@pytest.fixture(autouse=True)
def time_passes_as_planned(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long poll that waits for time alone waits for what the test has planned."""
    monkeypatch.setattr("entrypoints.server.waiting.pause", house.meanwhile)
