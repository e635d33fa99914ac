"""What the tests of the HTTP door may ask for."""

import pytest

from tests.api.door import Caller, Door
from tests.builders import ASHA, RAVI, House


@pytest.fixture
def door() -> Door:
    """The application on fakes, behind its HTTP door."""
    return Door()


@pytest.fixture
def house(door: Door) -> House:
    """What is behind the door."""
    return door.house


@pytest.fixture
def guest(door: Door) -> Caller:
    """Somebody without a token."""
    return door.guest()


@pytest.fixture
def asha(door: Door) -> Caller:
    """A user."""
    return door.log_in(ASHA)


@pytest.fixture
def ravi(door: Door) -> Caller:
    """Another user."""
    return door.log_in(RAVI)


@pytest.fixture(autouse=True)
def time_passes_as_planned(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long poll that waits for time alone waits for what the test has planned."""
    monkeypatch.setattr("entrypoints.server.waiting.pause", house.meanwhile)
