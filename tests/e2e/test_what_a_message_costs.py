"""What a message costs on an idle service, as the servers count it: commands of Redis, statements of PostgreSQL.

Both are paid for at some providers, by the command or by the CPU that it takes.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from tests.e2e.service import Person, Service, running, until
from tests.e2e.streams import events_of
from tests.fakes.gemini_server import FakeGemini

pytestmark = pytest.mark.real

MESSAGES = 20
REST_SECONDS = 12.0

COMMANDS_A_MESSAGE = 16
COMMANDS_A_SECOND_AT_REST = 1
STATEMENTS_A_MESSAGE = 8
STATEMENTS_A_SECOND_AT_REST = 10
# Of those, the looks for entries that cannot be searched yet.
LOOKS_AT_REST = 0.3

STATEMENTS = """
SELECT query, sum(calls)::integer FROM pg_stat_statements
WHERE query !~ 'pg_stat_statements|^SELECT .1 FROM replies WHERE id' GROUP BY query
"""


@pytest.fixture(scope="module")
def service(gemini: FakeGemini, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose PostgreSQL counts statements: those of a message that has several, and those of transactions."""
    with running(tmp_path_factory.mktemp("costs"), **gemini.settings, BASIC_DAILY_PROMPTS="1000") as started:
        started.query("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
        started.stop()
        started.start()
        started.query("CREATE EXTENSION pg_stat_statements")
        yield started


@pytest.fixture
def redis(service: Service) -> Iterator[Redis]:
    with service.redis() as redis:
        yield redis


@pytest.fixture
def person(person: Person) -> Person:
    """A user of a service that is warm: statements are prepared, scripts loaded."""
    send_and_leave(person)
    return person


def send_and_leave(person: Person) -> None:
    """Send a message. Whether it is answered is found out beside the service."""
    reply = person.sent("Hello?")
    until("it is stored", lambda: person.service.query("SELECT 1 FROM replies WHERE id = %s AND state = 'done'", reply))


def send_and_wait(person: Person) -> None:
    answer = person.http.post(
        f"/chatroom/{person.room}/message", json={"message": "Hello?"}, headers={"Prefer": "wait=25"}
    )
    assert answer.status_code == 201, answer.text


def send_and_stream(person: Person) -> None:
    assert events_of(person, person.sent("Hello?"))[-1].name == "done"


def commands(redis: Redis) -> Counter[str]:
    """How often each was called so far, within scripts and transactions, too; not that which asks for it."""
    counted: Counter[str] = Counter()
    for name, statistics in redis.info("commandstats").items():
        counted[name.removeprefix("cmdstat_")] = statistics["calls"]
    del counted["info"]
    return counted


def statements(service: Service) -> Counter[str]:
    """How often each was run so far; not those of this test."""
    return Counter(dict(service.query(STATEMENTS)))


def table(counted: Counter[str], per: float) -> str:
    """What to look at when it is too much."""
    return "\n".join(f"{number / per:8.2f}  {' '.join(what.split())[:100]}" for what, number in counted.most_common())


def test_at_rest_redis_is_left_alone(service: Service, person: Person, redis: Redis) -> None:
    before = commands(redis)
    time.sleep(REST_SECONDS)
    counted = commands(redis) - before
    assert counted.total() / REST_SECONDS < COMMANDS_A_SECOND_AT_REST, table(counted, REST_SECONDS)


def test_at_rest_postgresql_is_asked_little(service: Service, person: Person) -> None:
    before = statements(service)
    time.sleep(REST_SECONDS)
    counted = statements(service) - before
    assert counted.total() / REST_SECONDS < STATEMENTS_A_SECOND_AT_REST, table(counted, REST_SECONDS)
    looks = sum(number for what, number in counted.items() if "words IS NULL ORDER BY id DESC" in what)
    assert looks / REST_SECONDS < LOOKS_AT_REST, table(counted, REST_SECONDS)


@pytest.mark.parametrize("send", [send_and_leave, send_and_wait, send_and_stream])
def test_commands_of_redis(person: Person, redis: Redis, send: Callable[[Person], None]) -> None:
    send(person)
    before = commands(redis)
    for _ in range(MESSAGES):
        send(person)
    counted = commands(redis) - before
    assert counted.total() / MESSAGES <= COMMANDS_A_MESSAGE, table(counted, MESSAGES)


def test_statements_of_postgresql(service: Service, person: Person) -> None:
    """Beside those that a worker makes at rest, and one each 0.4 seconds while the model writes: its wish to stop."""
    began, before = time.monotonic(), statements(service)
    time.sleep(REST_SECONDS)
    rest = statements(service) - before
    rested = time.monotonic() - began
    began, before = time.monotonic(), statements(service)
    for _ in range(MESSAGES):
        send_and_leave(person)
    counted = statements(service) - before
    took = time.monotonic() - began
    expected_at_rest = rest.total() / rested * took
    assert (counted.total() - expected_at_rest) / MESSAGES <= STATEMENTS_A_MESSAGE, table(counted, MESSAGES)
