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
