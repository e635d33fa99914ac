"""What every test may ask for: real servers, and a clean place on them.

==================== ==================================================================================================
``database_url``     a migrated PostgreSQL database of this test run; may hold rows of other tests
``redis_url``        a Redis database of this test run; may hold keys of other tests
``clean_database``   the same URL, all tables empty
``clean_redis``      the same URL, no keys but the one that says whose it is
``database_server``  URL of the PostgreSQL server, to make other databases on with ``tests.servers.new_database``
==================== ==================================================================================================

A test that asks for one of them, itself or through another fixture, is marked ``real``. None of these begins in the
last minute of a UTC day: their servers' clocks are not ours to set, and quotas are counted by the day.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings

from entrypoints.local_stack.embedded import Servers
from tests import servers
from tests.left_out import say_what_was_left_out

NEEDS_SERVERS = frozenset({"started_servers", "database_server", "database_url", "redis_url"})

# Longer than a test takes that counts what a user has used today.
LAST_OF_THE_DAY = timedelta(minutes=1)

# How long an example takes says how busy the machine is.
settings.register_profile("tests", deadline=None, print_blob=True)
settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs real servers."""
    for item in items:
        if NEEDS_SERVERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("real")


@pytest.hookimpl(tryfirst=True)  # before the fixtures
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a test of real servers have one day only."""
    if item.get_closest_marker("real"):
        time.sleep(until_a_day_is_long_enough(datetime.now(UTC)).total_seconds())


def pytest_unconfigure(config: pytest.Config) -> None:
    say_what_was_left_out(config)


def until_a_day_is_long_enough(now: datetime) -> timedelta:
    """How long to wait for the next day; nothing if there is enough left of this one."""
    midnight = (now + LAST_OF_THE_DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(midnight - now, timedelta())


@pytest.fixture(scope="session")
def started_servers() -> Iterator[Servers]:
    """Servers out of the wheels, started by the first test that needs one."""
    with servers.started_servers() as started:
        yield started


@pytest.fixture(scope="session")
def database_server(request: pytest.FixtureRequest) -> str:
    """URL of the PostgreSQL server."""
    given = servers.given_database_url()
    if given is not None:
        return given
    started: Servers = request.getfixturevalue("started_servers")
    return started.database_url


@pytest.fixture(scope="session")
def database_url(database_server: str) -> Iterator[str]:
    """A migrated database of this run."""
    with servers.new_database(database_server) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    url = servers.given_redis_url()
    if url is None:
        started: Servers = request.getfixturevalue("started_servers")
        url = started.redis_url
    servers.take_redis(url)
    yield url
    servers.give_back_redis(url)


@pytest.fixture
def clean_database(database_url: str) -> str:
    servers.empty_all_tables(database_url)
    return database_url


@pytest.fixture
def clean_redis(redis_url: str) -> str:
    servers.flush_redis(redis_url)
    return redis_url
