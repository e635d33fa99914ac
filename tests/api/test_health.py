"""/ and /health."""

import pytest

from application.ports.health import Fault, Part
from entrypoints.server.server import STOPPING
from tests.api.client import Client, body_of
from tests.api.pages import BROWSER, Page
from tests.builders import House


def test_home_says_where_to_go(guest: Client):
    body = body_of(guest.get("/"))
    assert body["message"] == "Home Route"
    for link in body["links"].values():
        with guest.get(link) as answer:
            assert answer.status_code == 200


def test_home_is_a_page_for_browsers(guest: Client):
    answer = guest.get("/", headers=BROWSER)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    page = Page(answer.text)
    assert {"/app/", "/docs/", "/health/ready", "/problems"} <= page.links
    for link in page.links:
        with guest.get(link, headers=BROWSER) as led_to:
            assert led_to.status_code == 200, link


@pytest.mark.parametrize("headers", [{}, BROWSER])
def test_caches_keep_the_page_and_the_json_of_home_apart(guest: Client, headers: dict[str, str]):
    assert "Accept" in guest.get("/", headers=headers).headers["Vary"]


def test_liveness_asks_for_nothing(guest: Client, house: House):
    house.probe.faults = dict.fromkeys(Part, Fault.UNREACHABLE)
    assert body_of(guest.get("/health/live")) == {"status": "ok"}


def test_ready(guest: Client):
    assert body_of(guest.get("/health/ready")) == {"status": "ok", "degraded": [], "reasons": {}}


def test_degraded_is_still_ready(guest: Client, house: House):
    house.probe.faults = {Part.REDIS: Fault.NO_WRITES, Part.BACKLOG: Fault.HALF_FULL}
    assert body_of(guest.get("/health/ready")) == {
        "status": "degraded",
        "degraded": ["redis", "backlog"],
        "reasons": {"redis": "no_writes", "backlog": "half_full"},
    }


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.READ_ONLY, Fault.SCHEMA])
def test_not_ready_without_the_database(guest: Client, house: House, fault: Fault):
    house.probe.faults = {Part.DATABASE: fault}
    assert body_of(guest.get("/health/ready"), 503) == {
        "status": "unavailable",
        "degraded": ["database"],
        "reasons": {"database": fault.value},
    }


def test_not_ready_while_the_server_is_about_to_stop(guest: Client):
    answer = guest.get("/health/ready", environ_overrides={STOPPING: True})
    assert body_of(answer, 503) == {
        "status": "unavailable",
        "degraded": ["server"],
        "reasons": {"server": "stopping"},
    }
