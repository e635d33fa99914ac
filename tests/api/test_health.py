"""/, /health and /problems."""

import pytest

from domain.errors import DomainError
from entrypoints.api.problems import HTTP_PROBLEMS, leaves, status_of
from entrypoints.api.waiting import TooManyWaiting
from tests.api.client import Client, body_of
from tests.builders import House


def test_home_says_where_to_go(guest: Client):
    body = body_of(guest.get("/"))
    assert body["message"] == "Home Route"
    for link in body["links"].values():
        with guest.get(link) as answer:
            assert answer.status_code == 200


def test_liveness_asks_for_nothing(guest: Client, house: House):
    house.database_probe.on = house.redis_probe.on = house.worker_heartbeat.on = False
    assert body_of(guest.get("/health/live")) == {"status": "ok"}


def test_ready(guest: Client):
    assert body_of(guest.get("/health/ready")) == {"status": "ok", "degraded": []}


@pytest.mark.parametrize(("probe", "name"), [("redis_probe", "redis"), ("worker_heartbeat", "workers")])
def test_degraded_is_still_ready(guest: Client, house: House, probe: str, name: str):
    getattr(house, probe).on = False
    assert body_of(guest.get("/health/ready")) == {"status": "degraded", "degraded": [name]}


def test_not_ready_without_the_database(guest: Client, house: House):
    house.database_probe.on = False
    assert body_of(guest.get("/health/ready"), 503) == {"status": "unavailable", "degraded": ["database"]}


def test_every_problem_is_described(guest: Client):
    answer = guest.get("/problems")
    assert answer.mimetype == "text/markdown"
    for leaf in leaves(DomainError):
        assert f"## {leaf.code}\n\n{status_of(leaf)}: {leaf.title}." in answer.text
    for code, _ in (*HTTP_PROBLEMS.values(), TooManyWaiting.problem):
        assert answer.text.count(f"## {code}\n") == 1
